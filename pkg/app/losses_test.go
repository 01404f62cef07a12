package app

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func lossesOf(r *Readiness, component string) *Losses {
	for _, c := range r.Components() {
		if c.Name == component {
			return c.Lost
		}
	}
	return nil
}

func TestReadiness_RemembersHowOftenADependencyWasLostAndSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReadiness()
		lose := func(component, why string, d time.Duration) {
			r.Attempt("write", component, errors.New(why))
			time.Sleep(d)
			r.Attempt("write", component, nil)
		}
		lose(ComponentPostgres, "a short one", Grace-1)
		if l := lossesOf(r, ComponentPostgres); l != nil {
			t.Errorf("a failure within the grace is lost: %+v", l)
		}
		lose(ComponentPostgres, "first", 8*time.Second)
		if l := lossesOf(r, ComponentPostgres); l == nil || l.Times != 1 || l.Recent != 1 || l.Flapping || l.Seconds != 8 || l.Until.Sub(l.Since) != 8*time.Second || l.Reason != "first" {
			t.Errorf("after one: %+v", l)
		}
		time.Sleep(3 * time.Minute)
		if l := lossesOf(r, ComponentPostgres); l == nil || l.Times != 1 || l.Recent != 0 {
			t.Errorf("three minutes later: %+v", l)
		}
		lose(ComponentPostgres, "second", 8*time.Second)
		lose(ComponentPostgres, "third", 10*time.Second)
		if l := lossesOf(r, ComponentPostgres); l == nil || l.Times != 3 || l.Recent != 2 || !l.Flapping || l.Seconds != 26 || l.Reason != "third" {
			t.Errorf("after three: %+v", l)
		} else if want := "lost 3 times in the last 10 minutes for 26 s in all, last from 00:03:20 to 00:03:30 UTC: third"; l.String() != want {
			t.Errorf("%s, want %s", l, want)
		}
		if r.Err() != nil && strings.Contains(r.Err().Error(), "postgres") {
			t.Error(r.Err())
		}
		time.Sleep(FlapWindow)
		if l := lossesOf(r, ComponentPostgres); l == nil || l.Times != 3 || l.Flapping {
			t.Errorf("a minute later: %+v", l)
		}
		time.Sleep(LossMemory)
		if l := lossesOf(r, ComponentPostgres); l != nil {
			t.Errorf("it is not forgotten: %+v", l)
		}
		// Another component is blamed while the first is down: that ends the loss of the first.
		r.Attempt("write", ComponentPostgres, errors.New("away"))
		time.Sleep(Grace)
		r.Attempt("write", ComponentRegistry, errors.New("away"))
		if l := lossesOf(r, ComponentPostgres); l == nil || l.Times != 1 {
			t.Errorf("blamed on another one: %+v", l)
		}
		// Bounded, however often it happens.
		for range 3 * maxLosses {
			r.Set(ComponentKafka, errors.New("away"))
			r.Set(ComponentKafka, nil)
		}
		if l := lossesOf(r, ComponentKafka); l == nil || l.Times != maxLosses {
			t.Errorf("bounded: %+v", l)
		}
		// What a process says of itself is no loss.
		for range 3 {
			r.Set("rules", errors.New("starting"))
			r.Set("rules", nil)
		}
		if l := lossesOf(r, "rules"); l != nil || r.Spells("rules") != 3 {
			t.Errorf("a start is a loss: %+v, %d spells", l, r.Spells("rules"))
		}
	})
}

func TestReadyz_TellsWhatIsLostAgainAndAgainWhileItIsThere(t *testing.T) {
	r := NewReadiness()
	h := AdminHandler(NewRegistry(), r, nil)
	get := func(accept, path string) (int, string) {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	lose := func() {
		r.Set(ComponentPostgres, errors.New("no answer in 5s"))
		r.Set(ComponentPostgres, nil)
	}
	lose()
	if code, body := get("", "/readyz"); code != 200 || body != "ok\n" {
		t.Errorf("once: %d %s", code, body)
	}
	if _, body := get("", "/readyz?verbose"); !strings.Contains(body, "postgres: lost once in the last 10 minutes") {
		t.Errorf("once, verbose: %s", body)
	}
	lose()
	if code, body := get("", "/readyz"); code != 200 || !strings.HasPrefix(body, "ok\npostgres: lost 2 times in the last 10 minutes") || !strings.Contains(body, ": no answer in 5s\n") {
		t.Errorf("twice: %d %s", code, body)
	}
	_, body := get("application/json", "/readyz")
	var got struct{ Components []Component }
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Components) != 1 || got.Components[0].Lost == nil || !got.Components[0].Lost.Flapping || got.Components[0].Lost.Times != 2 {
		t.Errorf("%s %v", body, err)
	}
}
