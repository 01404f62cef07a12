package standin

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

const (
	logEntries = 50_000
	logBody    = 1024 // bytes of a body kept; the hash covers all of it
)

// Entry is one request as the stand-in saw it. Applied tells what happened inside, Status what the CRM decided, Fault how the
// answer was spoilt (Status is then not what the client saw).
type Entry struct {
	N          int64     `json:"n"` // 1, 2, 3 … since the start or the last reset
	Time       time.Time `json:"time"`
	Location   string    `json:"location"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Body       string    `json:"body,omitempty"`
	BodySHA256 string    `json:"body_sha256,omitempty"`
	Status     int       `json:"status"`
	Applied    bool      `json:"applied"`
	Fault      string    `json:"fault,omitempty"`
	ContactID  string    `json:"contact_id,omitempty"`
	RemoteID   string    `json:"remote_id,omitempty"`
	TraceID    string    `json:"trace_id,omitempty"`
}

type requestLog struct {
	next    int64
	entries []Entry // ring once full: index (N-1) % logEntries
	counts  map[string]int64
}

func (l *requestLog) add(e Entry, body []byte) {
	l.next++
	e.N = l.next
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		e.BodySHA256 = hex.EncodeToString(sum[:])
		if len(body) > logBody {
			body = body[:logBody]
		}
		e.Body = string(body)
	}
	if len(l.entries) < logEntries {
		l.entries = append(l.entries, e)
	} else {
		l.entries[(e.N-1)%logEntries] = e
	}
	if l.counts == nil {
		l.counts = map[string]int64{}
	}
	if strings.HasPrefix(e.Path, "/oauth/") { // about no object of an account
		l.counts["tokens"]++
		return
	}
	l.counts["requests"]++
	if e.Applied {
		l.counts["applied"]++
		l.counts["applied "+e.Method+" "+route(e.Method, e.Path)]++
	}
	l.counts["status "+itoa(e.Status)]++
}

// since lists the entries after n, oldest first, at most limit; location "" means all.
func (l *requestLog) since(n int64, loc string, limit int) []Entry {
	out := []Entry{}
	first := max(n+1, l.next-int64(len(l.entries))+1)
	for i := first; i <= l.next && len(out) < limit; i++ {
		e := l.entries[(i-1)%logEntries]
		if loc == "" || e.Location == loc {
			out = append(out, e)
		}
	}
	return out
}

func (l *requestLog) reset() {

	l.entries, l.counts, l.next = nil, nil, 0
}
