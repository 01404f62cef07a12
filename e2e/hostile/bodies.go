package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// inflated is what a stalled body comes to: just under the 8 MiB that a request may have.
const inflated = 79 << 20 / 10

// squeezedSpaces is a gzip member of spaces without its end, so that its reader waits for more.
var squeezedSpaces = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = w.Write(bytes.Repeat([]byte(" "), inflated))   // a Buffer takes everything
	_ = w.Flush()
	return b.Bytes()
})

// StallStats are what became of the bodies of a Stall.
type StallStats struct {
	Opened, Answered, Held atomic.Int64 // Held: for the whole time
	mu                     sync.Mutex
	answers                map[string]int
}

// Answers are the status lines of the refusals.
func (s *StallStats) Answers() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.answers)
}

// Stall posts batches of a few kilobytes on several connections at once, each of which inflates to almost 8 MiB and then sends nothing
// for so long. A connection that is closed or answered is opened again after a moment. It ends when ctx does.
func (a *Attacker) Stall(ctx context.Context, connections int, hold time.Duration, stats *StallStats) {
	body := squeezedSpaces()
	stats.answers = map[string]int{}
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			for ctx.Err() == nil {
				answer, held := a.stall(ctx, body, hold)
				stats.Opened.Add(1)
				switch {
				case held:
					stats.Held.Add(1)
				case answer != "":
					stats.Answered.Add(1)
				}
				stats.mu.Lock()
				stats.answers[answer]++
				stats.mu.Unlock()
				pause(ctx, 250*time.Millisecond)
			}
		})
	}
	running.Wait()
}

// stall sends one such request and returns the status line of its answer.
func (a *Attacker) stall(ctx context.Context, body []byte, hold time.Duration) (answer string, held bool) {
	dial, host := net.Dialer{Timeout: 5 * time.Second}, strings.TrimPrefix(a.URL, "http://")
	conn, err := dial.DialContext(ctx, "tcp", host)
	if err != nil {
		return "", false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var req bytes.Buffer
	fmt.Fprintf(&req, "POST /v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/cloudevents-batch+json\r\n"+
		"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", host, a.Tenant.Key, len(body))
	req.Write(body)
	req.WriteString("\r\n")
	if _, err := conn.Write(req.Bytes()); err != nil {
		return "", false
	}
	_ = conn.SetReadDeadline(time.Now().Add(hold)) // it is a TCP connection
	line := make([]byte, 64)
	n, err := conn.Read(line)
	if n == 0 {
		return "", errors.Is(err, os.ErrDeadlineExceeded)
	}
	answer, _, _ = strings.Cut(string(line[:n]), "\r\n")
	return answer, false
}

// Refused is what one costly refusal came to.
type Refused struct {
	Status  int
	In, Out int // bytes
	Took    time.Duration
}

// unknownBatch is a gzip body of so many events, each with so many fields that no schema has.
var unknownBatch = sync.OnceValue(func() []byte {
	data := map[string]any{"lead_id": "unknown"}
	for i := range 700 {
		data[fmt.Sprintf("f%d", i)] = 1
	}
	one, _ := json.Marshal(Event{SpecVersion: "1.0", ID: "unknown", Source: "/e2e/attacker", Type: "lead.created", Data: data}) // plain values
	var b bytes.Buffer
	w := gzip.NewWriter(&b) // a Buffer takes everything
	_, _ = w.Write([]byte("["))
	for i := range 700 {
		if i > 0 {
			_, _ = w.Write([]byte(","))
		}
		_, _ = w.Write(one)
	}
	_, _ = w.Write([]byte("]"))
	_ = w.Close()
	return b.Bytes()
})

// Unknown posts a batch of 700 events, squeezed to some kilobytes, each with 700 fields that no schema has.
func (a *Attacker) Unknown(ctx context.Context) (Refused, error) {
	body := unknownBatch()
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	began := time.Now()
	status, answer := post(ctx, client, a.URL, a.Tenant.Key, "application/cloudevents-batch+json", body, "gzip")
	return Refused{Status: status, In: len(body), Out: len(answer), Took: time.Since(began)}, nil
}
