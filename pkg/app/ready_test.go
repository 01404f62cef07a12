package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestReadiness_ComponentIsNotReadyOnceAttemptsHaveFailedForTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReadiness()
		r.Set("projector", nil)
		full := errors.New("53100 could not extend file: No space left on device")
		r.Attempt("writing a batch", ComponentPostgres, full)
		time.Sleep(Grace - time.Second)
		r.Attempt("writing a batch", ComponentPostgres, full)
		if err := r.Err(); err != nil {
			t.Errorf("not ready within the grace: %v", err)
		}
		time.Sleep(2 * time.Second)
		r.Attempt("writing a batch", ComponentPostgres, full)
		want := "postgres: 53100 could not extend file: No space left on device, since 00:00:00 UTC, retried 2 times"
		if err := r.Err(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		r.Attempt("probe", ComponentPostgres, nil) // it answers, but takes no writes
		if r.Err() == nil {
			t.Error("an answer to a question counts as a batch that was written")
		}
		r.Attempt("writing a batch", ComponentPostgres, nil)
		if err := r.Err(); err != nil {
			t.Errorf("still not ready: %v", err)
		}
	})
}

func TestReadiness_BlamesTheComponentOfEachFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReadiness()
		r.Attempt("writing a batch", ComponentPostgres, errors.New("away"))
		time.Sleep(Grace)
		r.Attempt("writing a batch", ComponentPostgres, Blamed(ComponentKafka, errors.New("no broker")))
		time.Sleep(Grace)
		if r.Down(ComponentPostgres) != nil || r.Down(ComponentKafka) == nil {
			t.Errorf("postgres: %v, kafka: %v", r.Down(ComponentPostgres), r.Down(ComponentKafka))
		}
	})
}

func TestReadiness_TroubleOfAnotherRoleIsToldButTakesNobodyOutOfService(t *testing.T) {
	r := NewReadiness()
	r.Serving("http")
	r.Set("http", nil)
	r.Set("sequencer partition 3", errors.New("paused: schema_unavailable"))
	h := AdminHandler(NewRegistry(), r, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if body := w.Body.String(); w.Code != 200 || !strings.HasPrefix(body, "ok\n") || !strings.Contains(body, "sequencer partition 3: paused: schema_unavailable, since ") {
		t.Errorf("%d %s", w.Code, body)
	}
	r.Set("http", errors.New("stopping"))
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, "http: stopping") || !strings.Contains(body, "sequencer partition 3: paused") {
		t.Errorf("%d %s", w.Code, body)
	}
}

// A process reports Postgres as soon as it has connected, and listens later: until then a client's connection is refused.
func TestReadiness_WaitsForEveryComponentThatServes(t *testing.T) {
	r := NewReadiness()
	r.Serving("http", ComponentKafka)
	r.Attempt("start: connect", ComponentPostgres, nil)
	r.Attempt("start: check the topics", ComponentKafka, nil)
	if err := r.Err(); err == nil || err.Error() != "http: starting" {
		t.Errorf("before it listens: %v", err)
	}
	r.Set("http", nil)
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestReadyz_AnswersInJSONWhenAskedFor(t *testing.T) {
	r := NewReadiness()
	r.Set("rules", nil)
	r.Set(ComponentRegistry, errors.New("no answer"))
	req := httptest.NewRequest("GET", "/readyz", nil)
	req.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	AdminHandler(NewRegistry(), r, nil).ServeHTTP(w, req)
	var got struct {
		Ready      bool
		Components []Component
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || got.Ready || len(got.Components) != 2 || got.Components[0].Name != ComponentRegistry || got.Components[0].Reason != "no answer" || !got.Components[1].Ready {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReadiness_TellsNoCredentialsAndNoControlCharacters(t *testing.T) {
	r := NewReadiness()
	r.Set("x", errors.New("cannot use postgres://neuronx_ops:hunter2@db/neuronx: host=db password='hunter 2'\x1b[2J\nnext: PASSWORD=hunter2, sslmode=off"))
	got := r.Err().Error()
	if strings.Contains(got, "hunter") || strings.ContainsAny(got, "\x1b\n") || !strings.Contains(got, "@db/neuronx") || !strings.Contains(got, "sslmode=off") {
		t.Error(got)
	}
}

func TestReadiness_IsToldAsMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		rt := NewRuntime("rules", "0", slog.New(slog.DiscardHandler), reg)
		rt.Ready.Set("rules", nil)
		rt.Ready.Attempt("probe", ComponentPostgres, errors.New("away"))
		time.Sleep(90 * time.Second)
		err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP neuronx_ready 1 when the component is fine, 0 when the process waits for it.
# TYPE neuronx_ready gauge
neuronx_ready{component="postgres",service="rules"} 0
neuronx_ready{component="rules",service="rules"} 1
# HELP neuronx_waiting_seconds How long the process has been waiting for the component; 0 when it is fine.
# TYPE neuronx_waiting_seconds gauge
neuronx_waiting_seconds{component="postgres",service="rules"} 90
neuronx_waiting_seconds{component="rules",service="rules"} 0
`), "neuronx_ready", "neuronx_waiting_seconds")
		if err != nil {
			t.Error(err)
		}
	})
}

// A component that works for a moment now and then may be ready whenever somebody looks.
func TestReadiness_CountsEverySpellAlsoBetweenLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReadiness()
		away := errors.New("away")
		attempt := func(activity, component string, err error, then time.Duration) {
			r.Attempt(activity, component, err)
			time.Sleep(then)
		}
		attempt("write", ComponentPostgres, nil, time.Second)
		for range 3 {
			attempt("write", ComponentPostgres, away, Grace+time.Second)
			attempt("write", ComponentPostgres, nil, time.Second)
		}
		if n := r.Spells(ComponentPostgres); n != 3 {
			t.Errorf("three spells between two looks count as %d", n)
		}
		attempt("write", ComponentPostgres, away, Grace-time.Second)
		attempt("write", ComponentPostgres, nil, time.Minute)
		if n := r.Spells(ComponentPostgres); n != 3 {
			t.Errorf("a failure within the grace makes %d spells of 3", n)
		}
		// One spell for as long as anything blames the component.
		attempt("write", ComponentPostgres, away, time.Second)
		attempt("probe", ComponentPostgres, away, Grace)
		attempt("write", ComponentPostgres, nil, Grace)
		attempt("write", ComponentPostgres, away, Grace)
		if n := r.Spells(ComponentPostgres); n != 4 {
			t.Errorf("spells that overlap count as %d, want 1", n-3)
		}
		// An activity that blames another component has ended the spell of the first.
		attempt("probe", ComponentPostgres, nil, 0)
		attempt("write", ComponentRegistry, away, Grace)
		attempt("write", ComponentPostgres, away, Grace)
		if p, g := r.Spells(ComponentPostgres), r.Spells(ComponentRegistry); p != 5 || g != 1 {
			t.Errorf("%d spells of postgres, %d of the registry, want 5 and 1", p, g)
		}
	})
}

func TestWait_TriesUntilItSucceedsAndEndsAtWhatWaitingCantMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := NewRuntime("rules", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		began, tries := time.Now(), 0
		err := rt.Wait(t.Context(), ComponentPostgres, "connect", QuickAttempt, func(ctx context.Context) error {
			tries++
			switch {
			case tries == 1: // takes the connection and never answers
				<-ctx.Done()
				return ctx.Err()
			case time.Since(began) < 10*time.Minute:
				return errors.New("connection refused")
			}
			return nil
		})
		if took := time.Since(began); err != nil || took > 10*time.Minute+8*time.Second || tries < 600/8 {
			t.Errorf("%v after %s and %d tries", err, took, tries)
		}
		if rt.Ready.Down(ComponentPostgres) != nil {
			t.Error("still down")
		}
		err = rt.Wait(t.Context(), ComponentPostgres, "connect to Postgres", QuickAttempt, func(context.Context) error {
			return Fatal(errors.New("wrong password"))
		})
		if err == nil || err.Error() != "connect to Postgres: wrong password" {
			t.Error(err)
		}
	})
}

func TestProbe_TellsADependencyThatTakesConnectionsAndNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := NewRuntime("rules", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		back := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- rt.Probe(ctx, ComponentPostgres, 2*time.Second, func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-back:
					return nil
				}
			})
		}()
		time.Sleep(Grace + 2*time.Second)
		time.Sleep(Grace)
		if err := rt.Ready.Down(ComponentPostgres); err == nil || !strings.Contains(err.Error(), "no answer in 5s") {
			t.Error(err)
		}
		close(back)
		time.Sleep(Grace)
		if err := rt.Ready.Down(ComponentPostgres); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
