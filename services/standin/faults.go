package standin

import (
	"errors"
	"net/http"
	"path"
	"time"
)

// Fault spoils the answers of matching requests. Kinds:
//
//	close     the connection is closed without an answer (Apply true: the answer is lost after the effect)
//	delay     the answer comes DelayMS later; without Apply the effect too, and then even if the client has gone
//	status    Status is answered (429, 5xx, 3xx …), with RetryAfter and Body if given
//	html      a gateway's HTML page with Status (default 502)
//	empty     Status (default 200) with no body
//	drip      the true answer, one byte each DelayMS
//	huge      Status (default 200) and Bytes of spaces
//	redirect  302 to To
type Fault struct {
	ID         int64  `json:"id"`
	Kind       string `json:"kind"`
	Location   string `json:"location,omitempty"` // "" = any
	Method     string `json:"method,omitempty"`   // "" = any
	Path       string `json:"path,omitempty"`     // path.Match pattern, e.g. /contacts/*/notes; "" = any
	Count      int    `json:"count,omitempty"`    // requests to spoil; 0 = 1, negative = until reset
	Skip       int    `json:"skip,omitempty"`     // matching requests to let pass first
	Apply      bool   `json:"apply,omitempty"`    // let the request take effect first
	Status     int    `json:"status,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`
	Body       string `json:"body,omitempty"`
	DelayMS    int    `json:"delay_ms,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
	To         string `json:"to,omitempty"`
	Hits       int    `json:"hits"`
}

const maxFaults = 1000

func (f *Fault) check() error {
	switch f.Kind {
	case "close", "delay", "status", "html", "empty", "drip", "huge", "redirect":
	default:
		return errors.New("kind must be close, delay, status, html, empty, drip, huge or redirect")
	}
	if _, err := path.Match(f.Path, "/"); err != nil {
		return errors.New("path is not a pattern")
	}
	if f.Kind == "status" && (f.Status < 200 || f.Status > 599) {
		return errors.New("status must be 200 to 599")
	}
	if f.DelayMS < 0 || f.DelayMS > 600_000 || f.Bytes < 0 || f.Bytes > 1<<36 || f.Skip < 0 {
		return errors.New("delay_ms, bytes or skip out of range")
	}
	if f.Count == 0 {
		f.Count = 1
	}
	return nil
}

func (f *Fault) matches(loc, method, p string) bool {
	if f.Location != "" && f.Location != loc || f.Method != "" && f.Method != method {
		return false
	}
	if f.Path == "" {
		return true
	}
	hit, err := path.Match(f.Path, p)
	return err == nil && hit
}

// pick uses up one hit of the first matching fault and returns a copy of it, or nil.
func pick(faults []*Fault, loc, method, p string) (*Fault, []*Fault) {
	for i, f := range faults {
		if !f.matches(loc, method, p) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Hits++
		hit := *f
		if f.Count > 0 {
			if f.Count--; f.Count == 0 {
				faults = append(append([]*Fault{}, faults[:i]...), faults[i+1:]...)
			}
		}
		return &hit, faults
	}
	return nil, faults
}

// write spoils the answer as the fault says. body is the true answer.
func (f *Fault) write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	pause := time.Duration(f.DelayMS) * time.Millisecond
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Status != 0 {
		status = f.Status
	}
	switch f.Kind {
	case "close":
		panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
	case "delay":
		if f.Apply && !sleep(r, pause) { // without Apply the server has waited already
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	case "status":
		w.WriteHeader(status)
		if f.Body != "" {
			_, _ = w.Write([]byte(f.Body))
		}
	case "html":
		if f.Status == 0 {
			status = http.StatusBadGateway
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html><body><h1>" + http.StatusText(status) + "</h1></body></html>"))
	case "empty":
		if f.Status == 0 {
			status = http.StatusOK
		}
		w.WriteHeader(status)
	case "drip":
		w.WriteHeader(status)
		rc := http.NewResponseController(w)
		for i := range body {
			if !sleep(r, pause) {
				return
			}
			if _, err := w.Write(body[i : i+1]); err != nil {
				return
			}
			if err := rc.Flush(); err != nil {
				return
			}
		}
	case "huge":
		if f.Status == 0 {
			status = http.StatusOK
		}
		w.WriteHeader(status)
		chunk := make([]byte, 64<<10)
		for i := range chunk {
			chunk[i] = ' '
		}
		for left := f.Bytes; left > 0; left -= int64(len(chunk)) {
			if _, err := w.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
				return
			}
		}
	case "redirect":
		w.Header().Set("Location", f.To)
		w.WriteHeader(http.StatusFound)
	}
}

// sleep waits d or until the client is gone; it tells whether the client is still there.
func sleep(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
