package gohighlevel

import (
	"net/http"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/crm/pace"
)

// Limits implements crm.Adapter. They are those of an OAuth app: 100 requests in 10 s.
func (Adapter) Limits() pace.Limits {
	return pace.Limits{Max: 100, Interval: 10 * time.Second, Remaining: -1, Daily: -1}
}

// Learn implements crm.Adapter: it updates limits from the headers of an answer. What is missing or absurd stays as it was.
func (Adapter) Learn(l pace.Limits, h http.Header) pace.Limits {
	num := func(name string, most int64) (int64, bool) {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		return n, err == nil && n >= 0 && n <= most
	}
	if n, ok := num("X-RateLimit-Max", 1_000_000); ok && n > 0 {
		l.Max = int(n)
	}
	if n, ok := num("X-RateLimit-Interval-Milliseconds", 3_600_000); ok && n > 0 {
		l.Interval = time.Duration(n) * time.Millisecond
	}
	l.Remaining = -1
	if n, ok := num("X-RateLimit-Remaining", 1_000_000); ok {
		l.Remaining = int(n)
	}
	if n, ok := num("X-RateLimit-Daily-Remaining", 1<<40); ok {
		l.Daily = int(n)
	}
	return l
}
