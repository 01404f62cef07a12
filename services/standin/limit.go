package standin

import (
	"net/http"
	"strconv"
	"time"
)

// window counts the requests of one location in the running interval and the running UTC day.
type window struct {
	max      int
	interval time.Duration
	daily    int

	start time.Time
	used  int
	day   string
	today int
}

// take books one request. It tells whether the request is within both limits.
func (w *window) take(now time.Time) bool {
	if now.Sub(w.start) >= w.interval || now.Before(w.start) {
		w.start, w.used = now, 0
	}
	if d := now.UTC().Format(time.DateOnly); d != w.day {
		w.day, w.today = d, 0
	}
	if w.used >= w.max || w.today >= w.daily {
		return false
	}
	w.used++
	w.today++
	return true
}

// headers writes the five headers under the vendor's exact names; mind that only one of the daily pair says "Limit".
func (w *window) headers(h http.Header) {
	h["X-RateLimit-Limit-Daily"] = []string{strconv.Itoa(w.daily)}
	h["X-RateLimit-Daily-Remaining"] = []string{strconv.Itoa(max(0, w.daily-w.today))}
	h["X-RateLimit-Interval-Milliseconds"] = []string{strconv.FormatInt(w.interval.Milliseconds(), 10)}
	h["X-RateLimit-Max"] = []string{strconv.Itoa(w.max)}
	h["X-RateLimit-Remaining"] = []string{strconv.Itoa(max(0, w.max-w.used))}
}

// set changes the limits that are positive.
func (w *window) set(burst int, intervalMS int64, daily int) {
	if burst > 0 {
		w.max = burst
	}
	if intervalMS > 0 {
		w.interval = time.Duration(intervalMS) * time.Millisecond
	}
	if daily > 0 {
		w.daily = daily
	}
}
