package httpin

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// clock is a connection that notes the deadlines that it is given.
type clock struct {
	http.ResponseWriter
	set []time.Time
}

func (c *clock) SetReadDeadline(t time.Time) error {
	c.set = append(c.set, t)
	return nil
}

// pieces gives n bytes a read.
type pieces struct {
	io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.n)]) }

func TestIntake_TheDeadlineMovesOnlyWithWhatABodyBrings(t *testing.T) {
	for _, c := range []struct {
		size, renewed int
		whole         bool
	}{
		{300, 0, true}, {windowBytes - 1, 0, true}, {windowBytes, 1, true}, {5*windowBytes + 5<<10, 5, true}, {100, 0, false}, {2*windowBytes + 2<<10, 2, false},
	} {
		conn := &clock{}
		var src io.Reader = pieces{bytes.NewReader(make([]byte, c.size)), 1 << 10}
		if !c.whole {
			src = io.MultiReader(src, &dropped{then: func() {}})
		}
		r := httptest.NewRequest(http.MethodPost, "/", src)
		r.ContentLength = -1
		in, p := newBudget(0, 0).open("acme")
		if p != nil {
			t.Fatal(p)
		}
		began := time.Now()
		body, p := in.body(conn, r, MaxBatchBody)
		if (p == nil) != c.whole || p == nil && len(body) != c.size {
			t.Fatalf("%d bytes: %d read, %v", c.size, len(body), p)
		}
		want := 1 + c.renewed
		if len(conn.set) != want {
			t.Errorf("%d bytes, whole %v: the deadline was set %d times, want %d", c.size, c.whole, len(conn.set), want)
		}
		if first := conn.set[0].Sub(began); first < bodyWindow || first >= readTimeout {
			t.Errorf("the first deadline is after %s", first)
		}
		in.close()
	}
}

func TestIntake_ReservesInStepsAndNotWhatIsAnnounced(t *testing.T) {
	f := newFixture(t, nil)
	f.contract = nil
	for _, c := range []struct {
		announced int64
		sent      int
		most      int64
	}{
		{300, 300, 32 << 10}, {MaxBatchBody, 300, 128 << 10}, {-1, 300, 32 << 10}, {-1, 1 << 20, 8 << 20},
	} {
		f.memory.high = 0
		r := httptest.NewRequest(http.MethodPost, "/v1/events", &dropped{after: c.sent, then: func() {}})
		r.ContentLength = c.announced
		r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		r.Header.Set("Content-Type", mediaBatch)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if p := decode[Problem](t, w); p.Code != event.CodeInvalidJSON || f.memory.high > c.most || f.memory.high < int64(c.sent) {
			t.Errorf("%d announced, %d sent: %d %s, reserved %d bytes", c.announced, c.sent, w.Code, p.Code, f.memory.high)
		}
	}
}

func TestSaid_LogsAFailureThatGoesOnOnceAndCountsIt(t *testing.T) {
	s := newSaid()
	now := time.Now()
	a, b := failure{event.CodeMemoryFull, "a"}, failure{event.CodeMemoryFull, "b"}
	if _, yes := s.say(a, now); !yes {
		t.Error("the first is not logged")
	}
	for i := range 500 {
		if _, yes := s.say(a, now.Add(time.Duration(i)*time.Millisecond)); yes {
			t.Fatal("a repeat is logged")
		}
	}
	if _, yes := s.say(b, now); !yes {
		t.Error("another tenant's is not logged")
	}
	if skipped, yes := s.say(a, now.Add(sayEvery)); !yes || skipped != 500 {
		t.Errorf("later: %v, %d not logged", yes, skipped)
	}
	if skipped, yes := s.say(a, now.Add(2*sayEvery)); !yes || skipped != 0 {
		t.Errorf("still later: %v, %d not logged", yes, skipped)
	}
}
