package standin

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
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
//	redirect  302 to To; default the address where clouds keep a machine's credentials
//	half      the true answer up to its middle, as if it were all
//	wrong_id  the true answer with another id for what was made or changed
//	stored    422 in the vendor's shape, although the request took effect
//	bare429   429 without Retry-After, without the headers of the limits and without a body
//	gzip      Status (default 200), gzip that inflates to Bytes, rounded up to a MiB; default 1 GiB
//
// Of half, wrong_id, stored, drip and delay the request takes effect.
type Fault struct {
	ID         int64   `json:"id"`
	Kind       string  `json:"kind"`
	Location   string  `json:"location,omitempty"` // "" = any
	Method     string  `json:"method,omitempty"`   // "" = any
	Path       string  `json:"path,omitempty"`     // path.Match pattern, e.g. /contacts/*/notes; "" = any
	Count      int     `json:"count,omitempty"`    // requests to spoil; 0 = 1, negative = until reset
	Skip       int     `json:"skip,omitempty"`     // matching requests to let pass first
	Share      float64 `json:"share,omitempty"`    // of the matching requests, by chance; 0 = all
	Apply      bool    `json:"apply,omitempty"`    // let the request take effect first
	Status     int     `json:"status,omitempty"`
	RetryAfter string  `json:"retry_after,omitempty"`
	Body       string  `json:"body,omitempty"`
	DelayMS    int     `json:"delay_ms,omitempty"`
	Bytes      int64   `json:"bytes,omitempty"`
	To         string  `json:"to,omitempty"`
	Hits       int     `json:"hits"`
}

const maxFaults = 1000

func (f *Fault) check() error {
	switch f.Kind {
	case "close", "delay", "status", "html", "empty", "drip", "huge", "redirect", "half", "wrong_id", "stored", "bare429", "gzip":
	default:
		return errors.New("kind must be close, delay, status, html, empty, drip, huge, redirect, half, wrong_id, stored, bare429 or gzip")
	}
	if f.Share < 0 || f.Share > 1 {
		return errors.New("share must be 0 to 1")
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

// applies tells whether the request takes effect, whatever the client is told.
func (f *Fault) applies() bool {
	switch f.Kind {
	case "delay", "drip", "half", "wrong_id", "stored":
		return true
	}
	return f.Apply
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
		if f.Share > 0 && rand.Float64() >= f.Share {
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
		w.Header().Set("Location", cmp.Or(f.To, metadataURL))
		w.WriteHeader(http.StatusFound)
	case "half":
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
	case "wrong_id":
		w.WriteHeader(status)
		_, _ = w.Write(body) // the server has put the other id in
	case "stored":
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = w.Write(unprocessable([]string{"an unknown error occurred"}).encode(newID()))
	case "bare429":
		for k := range w.Header() {
			if strings.HasPrefix(k, "X-RateLimit-") || k == "Retry-After" {
				delete(w.Header(), k)
			}
		}
		w.WriteHeader(http.StatusTooManyRequests)
	case "gzip":
		if f.Status == 0 {
			status = http.StatusOK
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		member := gzipMember()
		for left := cmp.Or(f.Bytes, 1<<30); left > 0; left -= gzipMemberBytes {
			if _, err := w.Write(member); err != nil {
				return
			}
		}
	}
}

// metadataURL is where the machines of most clouds find their own credentials.
const metadataURL = "http://169.254.169.254/latest/meta-data/"

// gzipMemberBytes is what one member of a bomb inflates to. RFC 1952, section 2.2: a file may be many members, so a bomb of any size costs
// the compression of one.
const gzipMemberBytes = 1 << 20

func gzipMember() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(bytes.Repeat([]byte(" "), gzipMemberBytes))
	if err = errors.Join(err, z.Close()); err != nil {
		panic("standin: gzip into memory failed: " + err.Error())
	}
	return b.Bytes()
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
