package httpin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// hands is a body that counts what is read of it.
type hands struct {
	io.Reader
	read int
}

func (h *hands) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.read += n
	return n, err
}

func TestQuota_AFloodIsRefusedBeforeItsBodiesAreRead(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Quotas = Quotas{Events: 10} })
	now := time.Now()
	f.now = func() time.Time { return now }
	passed, read := 0, 0
	for i := range 5000 {
		body := &hands{Reader: strings.NewReader(with("id", fmt.Sprint(i)))}
		r := httptest.NewRequest(http.MethodPost, "/v1/events", body)
		r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		r.Header.Set("Content-Type", mediaStructured)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code == http.StatusAccepted {
			passed++
			continue
		}
		read += body.read
		if p := decode[Problem](t, w); w.Code != http.StatusTooManyRequests || p.Code != event.CodeRateLimited || w.Header().Get("Retry-After") != "1" {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	if passed != maxBatchItems || read != 0 {
		t.Errorf("%d events passed, %d bytes of refused ones were read", passed, read)
	}
	if w := f.call("POST", "/v1/events", f.keys["globex"], []byte(good), "Content-Type", mediaStructured); w.Code != http.StatusAccepted {
		t.Errorf("another tenant gets %d", w.Code)
	}
	now = now.Add(time.Second)
	passed = 0
	for i := range 100 {
		if f.structured(with("id", fmt.Sprint("later", i))).Code == http.StatusAccepted {
			passed++
		}
	}
	if passed != 10 {
		t.Errorf("a second later %d events passed, want 10", passed)
	}
}

func TestQuota_FieldsSayWhatIsLeft(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Quotas = Quotas{Events: 500, Bytes: 1 << 20, Burst: 10 * time.Second} })
	now := time.Now()
	f.now = func() time.Time { return now }
	w := f.structured(good)
	if got := w.Header().Get("RateLimit-Policy"); got != `"events";q=5000;w=10, "bytes";q=10485760;w=10;qu="content-bytes"` {
		t.Error(got)
	}
	if got := w.Header().Get("RateLimit"); got != fmt.Sprintf(`"events";r=4999;t=1, "bytes";r=%d;t=1`, 10<<20-len(good)) {
		t.Error(got)
	}
	if w := newFixture(t, nil).structured(good); w.Header().Get("RateLimit") != "" || w.Header().Get("RateLimit-Policy") != "" {
		t.Error("fields without a quota")
	}
}

func TestQuota_OwnLimitsReplaceTheDefault(t *testing.T) {
	r := newRates(Quotas{Events: 10})
	now := time.Now()
	if q := r.of("a", tenant.Limits{}); q.events.Limit() != 10 || q.bytes != nil || r.of("a", tenant.Limits{}) != q {
		t.Errorf("%+v", q)
	}
	own := r.of("a", tenant.Limits{EventsPerSecond: 5000, BytesPerSecond: 7})
	if own.events.Limit() != 5000 || own.events.Burst() != 10_000 || own.bytes.Limit() != 7 || own.bytes.Burst() != MaxBatchBody {
		t.Errorf("%v %v", own.events, own.bytes)
	}
	if back := r.of("a", tenant.Limits{}); back == own || back.events.Limit() != 10 {
		t.Error("the default does not come back")
	}
	if p := newRates(Quotas{}).of("a", tenant.Limits{}).enter(true, 1<<40, now); p != nil {
		t.Errorf("no limit, and %v", p)
	}
}

func TestQuota_ABatchThatIsTooLargeForNowKeepsOthersFromBeingRead(t *testing.T) {
	q := newRates(Quotas{Events: 100}).of("a", tenant.Limits{})
	now := time.Now()
	if p := q.batch(900, now); p != nil {
		t.Fatal(p)
	}
	p := q.batch(600, now)
	if p == nil || p.retryAfter != 5 {
		t.Fatalf("%+v", p)
	}
	if p := q.enter(true, -1, now.Add(4*time.Second)); p == nil || p.retryAfter != 1 {
		t.Errorf("%+v", p)
	}
	if p := q.enter(false, -1, now); p != nil {
		t.Errorf("a single event would fit, and %v", p)
	}
	now = now.Add(5100 * time.Millisecond)
	if p := errors.Join(asError(q.enter(true, -1, now)), asError(q.batch(600, now))); p != nil {
		t.Error(p)
	}
}

func asError(p *Problem) error {
	if p == nil {
		return nil
	}
	return p
}

func TestQuota_BytesCountDecompressedAndAnnouncedOnesBeforeTheyAreRead(t *testing.T) {
	q := newRates(Quotas{Bytes: 1000}).of("a", tenant.Limits{})
	now := time.Now()
	const all = MaxBatchBody
	if p := q.enter(true, all-1000, now); p != nil {
		t.Fatal(p)
	}
	if p := q.enter(true, 3000, now); p == nil || p.retryAfter != 2 || p.Code != event.CodeRateLimited {
		t.Fatalf("%+v", p)
	}
	if p := q.enter(true, -1, now); p != nil {
		t.Fatal(p)
	}
	q.read(5000, -1, now) // chunked: charged when it was read, from the future
	if p := q.enter(true, -1, now); p == nil || p.retryAfter != 5 {
		t.Errorf("%+v", p)
	}
	q.read(900, 1000, now)
	if left := q.bytes.TokensAt(now); left < -4001 || left > -3999 {
		t.Errorf("%v bytes left", left)
	}
}
