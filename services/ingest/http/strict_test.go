package httpin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// spend does strict work of so long, over and over until ctx ends, in n goroutines. It returns the time spent and how many were refused a turn.
func spend(ctx context.Context, q *quota, n int, each time.Duration, refused bool) (spent time.Duration, sent int64) {
	var total, turnedAway atomic.Int64
	var running sync.WaitGroup
	for range n {
		running.Go(func() {
			for ctx.Err() == nil {
				end, p := q.strictly(ctx)
				if p != nil {
					turnedAway.Add(1)
					continue
				}
				time.Sleep(each)
				total.Add(int64(each))
				end(refused)
			}
		})
	}
	running.Wait()
	return time.Duration(total.Load()), turnedAway.Load()
}

func TestStrictly_RefusalsOfATenantTakeAShareOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRates(Quotas{})
		q := r.of("hostile", tenant.Limits{})
		q.refusals = newRefusals(2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		spent, _ := spend(ctx, q, 8, 3*time.Millisecond, true)
		const share = time.Minute * 2 / refusalParts
		if spent > share+refusalBurst+8*3*time.Millisecond || spent < share*9/10 {
			t.Errorf("refusals took %s of a minute, want about %s", spent, share)
		}
		// The others do not wait for it, and neither do they wait for what is accepted.
		other := r.of("other", tenant.Limits{})
		began := time.Now()
		for range 1_000 {
			end, p := other.strictly(t.Context())
			if p != nil {
				t.Fatal(p)
			}
			time.Sleep(10 * time.Millisecond)
			end(false)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("ten seconds of events that are accepted took %s", took)
		}
		// New limits do not forgive what is owed.
		end, p := r.of("hostile", tenant.Limits{EventsPerSecond: 5}).strictly(t.Context())
		if p != nil {
			t.Fatal(p)
		}
		time.Sleep(time.Minute)
		end(true)
		if owes := r.of("hostile", tenant.Limits{}).refusals.debt(time.Now()); owes < time.Minute {
			t.Errorf("%s are owed", owes)
		}
	})
}

func TestStrictly_NoRequestWaitsForItsTurnForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRates(Quotas{}).of("hostile", tenant.Limits{})
		end, p := q.strictly(t.Context())
		if p != nil {
			t.Fatal(p)
		}
		time.Sleep(10 * time.Minute)
		end(true)
		for range 3 {
			began := time.Now()
			_, p := q.strictly(t.Context())
			if p == nil || p.Code != event.CodeRateLimited || p.Status != http.StatusTooManyRequests || p.retryAfter == 0 || time.Since(began) != refusalWait {
				t.Errorf("%v after %s", p, time.Since(began))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, p := q.strictly(ctx); p == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s, but its sender has gone", p, time.Since(began))
		}
		time.Sleep(time.Hour)
		if end, p := q.strictly(t.Context()); p != nil {
			t.Errorf("%v: nothing is owed any more", p)
		} else {
			end(false)
		}
	})
}

// A request whose turn does not come is refused whole: nothing of a batch may be stored that is answered with "send it again".
func TestPost_ABatchIsRefusedWholeWhenTheTenantsRefusalsTookTooLong(t *testing.T) {
	f := newFixture(t, nil)
	q := f.rates.of("acme", tenant.Limits{})
	q.refusals.charge(time.Hour, time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the wait ends at once
	if _, p := q.strictly(ctx); p == nil {
		t.Fatal("nothing is owed")
	}
	batch := "[" + good + "," + with("id", "2", "data", map[string]any{"lead_id": "2", "nope": 1}) + "]"
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/events", strings.NewReader(batch))
	r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
	r.Header.Set("Content-Type", mediaBatch)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if p := decode[Problem](t, w); w.Code != http.StatusTooManyRequests || p.Code != event.CodeRateLimited || len(p.Items) > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := len(f.producer.taken()); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

// What waits for its turn holds memory, and so would every batch that is read meanwhile; single events go on.
func TestPost_BatchesAreRefusedUnreadWhileOneWaitsForItsTurn(t *testing.T) {
	f := newFixture(t, nil)
	q := f.rates.of("acme", tenant.Limits{})
	q.refusals.charge(time.Hour, time.Now())
	q.refusals.turn <- struct{}{}
	send := func(key, media, text string) (*httptest.ResponseRecorder, int) {
		body := &hands{Reader: strings.NewReader(text)}
		r := httptest.NewRequest(http.MethodPost, "/v1/events", body)
		r.Header.Set("Authorization", "Bearer "+f.keys[key])
		r.Header.Set("Content-Type", media)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w, body.read
	}
	if w, read := send("acme", mediaBatch, "["+good+"]"); w.Code != http.StatusTooManyRequests || read != 0 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d after %d bytes were read: %s", w.Code, read, w.Body)
	}
	for key, media := range map[string]string{"acme": mediaStructured, "globex": mediaBatch} {
		text := good
		if media == mediaBatch {
			text = "[" + good + "]"
		}
		if w, _ := send(key, media, text); w.Code != http.StatusAccepted {
			t.Errorf("%s of %s: %d %s", media, key, w.Code, w.Body)
		}
	}
	<-q.refusals.turn
	if w, _ := send("acme", mediaBatch, "["+good+"]"); w.Code != http.StatusAccepted {
		t.Errorf("nothing waits any more: %d %s", w.Code, w.Body)
	}
}
