package httpin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// serve runs the server as the process does, with its time-outs, and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func zipped(t testing.TB, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// stalled is a gzip batch that inflates to almost the limit and then does not end.
func stalled(t testing.TB) []byte {
	whole := zipped(t, bytes.Repeat([]byte{' '}, MaxBatchBody-100<<10))
	return whole[:len(whole)-16]
}

// stall posts a chunk of a chunked body, waits for the answer and returns its status; 0 is a connection that was closed without one.
func stall(addr, key, media, encoding string, chunk []byte) (int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	head := fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n", key, media, encoding, len(chunk))
	if _, err := conn.Write(append([]byte(head), chunk...)); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Body.Close()
}

const gzipped = "Content-Encoding: gzip\r\n"

func TestServe_StalledBodiesHoldAShareOfMemoryAndEndWithoutKeepingOutOthers(t *testing.T) {
	_, f, _ := live(t)
	addr := serve(t, f.Server)
	body := stalled(t)
	for _, n := range []int{60, 300} {
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		var heap uint64
		look := func() {
			runtime.ReadMemStats(&now)
			heap = max(heap, now.HeapInuse)
		}
		f.memory.mu.Lock()
		f.memory.high = 0
		f.memory.mu.Unlock()
		statuses, mu := map[int]int{}, sync.Mutex{}
		var clients sync.WaitGroup
		var open atomic.Int64
		for range n {
			open.Add(1)
			clients.Go(func() {
				defer open.Add(-1)
				status, err := stall(addr, f.keys["acme"], mediaBatch, gzipped, body)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[status]++
			})
		}
		others := 0
		for open.Load() > 0 {
			look()
			if status, answer := post(t, "http://"+addr, f.keys["globex"], mediaStructured, with("id", fmt.Sprint(n, "/", others))); status != http.StatusAccepted {
				t.Fatalf("another tenant's post is answered %d %s", status, answer)
			}
			others++
		}
		clients.Wait()
		f.memory.mu.Lock()
		reserved := f.memory.high
		f.memory.mu.Unlock()
		if statuses[http.StatusRequestTimeout] == 0 || statuses[http.StatusTooManyRequests] == 0 || statuses[http.StatusRequestTimeout]+statuses[http.StatusTooManyRequests] != n {
			t.Errorf("of %d stalled posts: %v", n, statuses)
		}
		if others == 0 || reserved > f.memory.share+1<<20 || reserved < MaxBatchBody {
			t.Errorf("%d posts of another tenant, %d MiB were reserved, the share is %d MiB", others, reserved>>20, f.memory.share>>20)
		}
		grown := int64(heap) - int64(before.HeapInuse)
		if grown > 192<<20 {
			t.Errorf("%d stalled posts: the heap grew by %d MiB", n, grown>>20)
		}
		t.Logf("%d stalled posts: %v, %d posts of another tenant, %d MiB reserved at most, heap grew by %d MiB", n, statuses, others, reserved>>20, grown>>20)
	}
	if n := f.memory.reserved(); n != 0 {
		t.Errorf("%d bytes stay reserved", n)
	}
}

func TestServe_ABodyThatDripsEndsAndOneThatComesSteadilyDoesNot(t *testing.T) {
	f := newFixture(t, nil)
	addr := serve(t, f.Server)
	send := func(pieces int, piece []byte, pause time.Duration) (status int) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", f.keys["acme"], mediaBatch, pieces*len(piece))
		answered := make(chan int, 1)
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				answered <- 0
				return
			}
			_ = res.Body.Close()
			answered <- res.StatusCode
		}()
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for range pieces {
			select {
			case status := <-answered:
				return status
			case <-tick.C:
				_, _ = conn.Write(piece)
			}
		}
		return <-answered
	}
	var both sync.WaitGroup
	both.Go(func() {
		began := time.Now()
		if status := send(1000, []byte(" "), 100*time.Millisecond); status != http.StatusRequestTimeout || time.Since(began) >= readTimeout {
			t.Errorf("a body that drips is answered %d after %s", status, time.Since(began))
		}
	})
	both.Go(func() { // longer than a window, in which it brings enough
		if status := send(70, bytes.Repeat([]byte{' '}, 16<<10), 100*time.Millisecond); status != http.StatusBadRequest {
			t.Errorf("a steady body of spaces is answered %d", status)
		}
	})
	both.Wait()
}

func TestServe_WithoutAKeyABodyHoldsNothing(t *testing.T) {
	f := newFixture(t, nil)
	addr := serve(t, f.Server)
	status, err := stall(addr, "nx_nobody", mediaBatch, gzipped, stalled(t))
	if err != nil || status != http.StatusUnauthorized {
		t.Errorf("%d %v", status, err)
	}
	if n := f.memory.reserved(); n != 0 {
		t.Errorf("%d bytes reserved", n)
	}
}

func TestServe_WaitingForAVerdictHoldsNoBodyAndIsNotEndedByTheBodysDeadline(t *testing.T) {
	f := newFixture(t, nil)
	f.waitlist.live.Store(true)
	addr := serve(t, f.Server)
	pad := strings.Repeat("x", 900<<10)
	answered := make(chan int, 1)
	go func() {
		status, _ := post(t, "http://"+addr, f.keys["acme"], mediaStructured, with("data", map[string]any{"lead_id": "42", "campaign": pad}), "Prefer", "wait=7")
		answered <- status
	}()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var least int64
	for waits := true; waits; {
		select {
		case status := <-answered:
			if status != http.StatusAccepted || time.Since(began) < 6*time.Second {
				t.Errorf("%d after %s", status, time.Since(began))
			}
			waits = false
		case <-tick.C:
			if f.waitlist.size() > 0 && len(f.producer.taken()) > 0 {
				if n := f.memory.reserved(); least == 0 || n > 0 && n < least {
					least = n
				}
			}
		}
	}
	if least != requestCost {
		t.Errorf("a request that waits holds %d bytes", least)
	}
	if n := f.memory.reserved(); n != 0 {
		t.Errorf("%d bytes stay reserved", n)
	}
}

func TestPost_MemoryIsReturnedOnEveryPath(t *testing.T) {
	f := newFixture(t, nil)
	big := []byte("[" + strings.Repeat(good+",", 200) + good + "]")
	bad := zipped(t, big)
	bad[len(bad)/2] ^= 0xff
	torn := zipped(t, big)
	torn = torn[:len(torn)/2]
	zip := []string{"Content-Type", mediaBatch, "Content-Encoding", "gzip"}
	for name, tt := range map[string]struct {
		body    []byte
		headers []string
		status  int
	}{
		"stored":         {[]byte(good), []string{"Content-Type", mediaStructured}, 202},
		"batch":          {big, []string{"Content-Type", mediaBatch}, 202},
		"gzip":           {zipped(t, big), zip, 202},
		"broken gzip":    {bad, zip, 400},
		"torn gzip":      {torn, zip, 400},
		"no gzip":        {big, zip, 400},
		"after gzip":     {append(zipped(t, big), 0), zip, 400},
		"bomb":           {zipped(t, make([]byte, 64<<20)), zip, 413},
		"not JSON":       {[]byte("[{"), []string{"Content-Type", mediaBatch}, 400},
		"bad data":       {[]byte(with("data", map[string]any{"nothing": 1})), []string{"Content-Type", mediaStructured}, 422},
		"too many names": {[]byte(`[{"data":{` + strings.TrimSuffix(strings.Repeat(`"a":1,`, maxNames), ",") + `}}]`), []string{"Content-Type", mediaBatch}, 413},
	} {
		if w := f.call("POST", "/v1/events", f.keys["acme"], tt.body, tt.headers...); w.Code != tt.status {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body)
		}
		if n := f.memory.reserved(); n != 0 {
			t.Errorf("%s: %d bytes stay reserved", name, n)
		}
	}
	panics := httptest.NewRequest(http.MethodPost, "/v1/events", &dropped{after: 10 << 10, then: func() { panic("in the middle of a body") }})
	panics.Header.Set("Authorization", "Bearer "+f.keys["acme"])
	panics.Header.Set("Content-Type", mediaStructured)
	f.handler.ServeHTTP(httptest.NewRecorder(), panics)
	if n := f.memory.reserved(); n != 0 {
		t.Errorf("after a panic %d bytes stay reserved", n)
	}
}

// dropped is a body that ends in the middle.
type dropped struct {
	after int
	then  func()
}

func (d *dropped) Read(p []byte) (int, error) {
	if d.after <= 0 {
		d.then()
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, bytes.Repeat([]byte{' '}, min(len(p), d.after)))
	d.after -= n
	return n, nil
}

func TestQuota_ABodyThatFailsIsChargedForWhatWasRead(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Quotas = Quotas{Bytes: 1 << 20} })
	now := time.Now()
	f.now = func() time.Time { return now }
	left := func() int { return int(f.rates.of("acme", f.rates.tenants["acme"].limits).bytes.TokensAt(now)) }
	f.structured(good)
	before := left()
	r := httptest.NewRequest(http.MethodPost, "/v1/events", &dropped{after: 100 << 10, then: func() {}})
	r.ContentLength = -1
	r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
	r.Header.Set("Content-Type", mediaStructured)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if got := before - left(); w.Code != http.StatusBadRequest || got != 100<<10 {
		t.Errorf("%d: charged %d bytes", w.Code, got)
	}
	before = left()
	body := zipped(t, bytes.Repeat([]byte{' '}, 3<<20))
	w = f.call("POST", "/v1/events", f.keys["acme"], body[:len(body)-8], "Content-Type", mediaBatch, "Content-Encoding", "gzip")
	if got := before - left(); w.Code != http.StatusBadRequest || got != 3<<20 {
		t.Errorf("%d: charged %d bytes", w.Code, got)
	}
}

func TestPost_OverMemorySaysWhoseItIs(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.BodyMemory, c.TenantBodyMemory = 1<<20, 100<<10 })
	held := &lease{of: f.memory, tenant: "acme"}
	if p := held.take(90 << 10); p != nil {
		t.Fatal(p)
	}
	w := f.structured(good)
	if p := decode[Problem](t, w); w.Code != http.StatusTooManyRequests || p.Code != event.CodeTenantMemoryFull || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.memory.used = f.memory.limit
	w = f.call("POST", "/v1/events", f.keys["globex"], []byte(good), "Content-Type", mediaStructured)
	if p := decode[Problem](t, w); w.Code != http.StatusServiceUnavailable || p.Code != event.CodeMemoryFull || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(f.producer.taken()) != 0 {
		t.Error("something was stored")
	}
}
