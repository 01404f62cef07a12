package standin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// maxBody bounds a request body in bytes.
const maxBody = 1 << 20

// versions are the published values of the Version header; the contacts API takes any of them.
var versions = map[string]bool{"v3": true, "2023-02-21": true, "2021-07-28": true, "2021-04-15": true}

// Server is the stand-in CRM. Make one with New; it is safe for concurrent use.
type Server struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	file   *journal // nil: nothing is kept
	record *os.File // nil: requests are not recorded
	done   chan struct{}
	once   sync.Once

	mu        sync.Mutex
	locations map[string]*location
	tokens    map[string]string // token → location
	auth      oauth
	faults    []*Fault
	nextFault int64
	requests  requestLog
}

// New makes a stand-in and, with a data directory, loads what was kept. Close it after use.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	record, err := openRecord()
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, log: log, record: record, now: time.Now, done: make(chan struct{}), locations: map[string]*location{}, tokens: map[string]string{},
		auth: oauth{codes: map[string]*grant{}, refresh: map[string]*grant{}, access: map[string]time.Time{}}}
	if cfg.DataDir != "" {
		j, err := openJournal(cfg.DataDir, s)
		if err != nil {
			if record != nil {
				err = errors.Join(err, record.Close())
			}
			return nil, err
		}
		s.file = j
	}
	for token, loc := range cfg.Tokens {
		s.addLocation(LocationSettings{Location: loc, Token: token})
	}
	for _, in := range cfg.Setup {
		if s.locations[in.Location] == nil {
			s.addLocation(LocationSettings{Location: in.Location, Token: "standin-" + in.Location})
		}
		if _, err := s.Setup(in); err != nil {
			return nil, errors.Join(fmt.Errorf("set up location %s: %w", in.Location, err), s.Close())
		}
	}
	return s, nil
}

// Close ends waiting faults and closes the journal.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		err = s.file.close()
		if s.record != nil {
			err = errors.Join(err, s.record.Close())
		}
	})
	return err
}

// Handler serves the CRM and, under /_standin/, its controls.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.admin(mux)
	mux.HandleFunc("GET /v2/oauth/chooselocation", s.chooseLocation)
	mux.HandleFunc("POST /oauth/token", s.tokenEndpoint((*Server).token))
	mux.HandleFunc("POST /oauth/reconnect", s.tokenEndpoint((*Server).reconnect))
	mux.HandleFunc("/", s.crm)
	return mux
}

// addLocation makes or changes a location. The caller holds the lock or is alone.
func (s *Server) addLocation(set LocationSettings) {
	if l := s.locations[set.Location]; l != nil {
		if len(set.MatchOrder) == 0 {
			set.MatchOrder = l.settings.MatchOrder
		}
		if set.Installed == nil {
			set.Installed = l.settings.Installed
		}
		if set.Token == "" {
			set.Token = l.settings.Token
		}
		l.settings = set
	} else {
		s.locations[set.Location] = newLocation(set, &window{max: s.cfg.Burst, interval: s.cfg.BurstInterval, daily: s.cfg.Daily})
	}
	if set.Token != "" {
		s.tokens[set.Token] = set.Location
	}
	s.file.write(record{Op: "location", Location: &set})
}

// crm is the transport around the CRM: checks, limits, faults, log.
func (s *Server) crm(w http.ResponseWriter, r *http.Request) {
	body, tooLarge := readBody(w, r)
	trace := newID()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")

	s.mu.Lock()
	loc, refusal := s.admit(r, len(body) > 0)
	entry := Entry{Time: s.now().UTC(), Method: r.Method, Path: r.URL.Path, TraceID: trace}
	var fault *Fault
	if loc != nil {
		entry.Location = loc.settings.Location
		fault, s.faults = pick(s.faults, loc.settings.Location, r.Method, r.URL.Path)
		if refusal == nil && !loc.limit.take(s.now()) {
			a := refuse(http.StatusTooManyRequests, "Too many requests") // text undocumented
			refusal = &a
		}
		loc.limit.headers(w.Header())
	}
	if refusal == nil && tooLarge {
		a := refuse(http.StatusRequestEntityTooLarge, "request entity too large")
		refusal = &a
	}
	if fault != nil {
		entry.Fault = fault.Kind
		if fault.Kind == "delay" && !fault.Apply {
			// A slow server finishes what it has read, also when the client hung up long ago.
			s.mu.Unlock()
			s.pause(time.Duration(fault.DelayMS) * time.Millisecond)
			s.mu.Lock()
		}
	}
	a := answer{}
	switch {
	case refusal != nil:
		a = *refusal
	case fault == nil || fault.applies():
		a = loc.serve(request{method: r.Method, path: r.URL.Path, query: r.URL.Query(), version: r.Header.Get("Version"), body: body, now: s.now(), lag: s.cfg.SearchLag})
		if a.applied && a.contact != "" {
			s.file.write(record{Op: "contact", ID: a.contact, At: entry.Location, Contact: loc.contacts[a.contact]})
		}
		s.flush(loc)
	default:
		a.status = fault.Status
	}
	entry.Status, entry.Applied, entry.ContactID, entry.RemoteID = a.status, a.applied, a.contact, a.remote
	s.requests.add(entry, body)
	err := s.keep(r, body, a.status)
	s.mu.Unlock()

	if err != nil {
		s.log.Error("a request is missing in the record", "err", err)
		reply(w, http.StatusInternalServerError, map[string]any{"error": "stand-in: the request can't be recorded; see " + RecordVariable})
		return
	}
	if fault != nil {
		body := a.encode(trace)
		if fault.Kind == "wrong_id" && a.remote != "" {
			body = bytes.ReplaceAll(body, []byte(a.remote), []byte(newID()))
		}
		fault.write(w, r, a.status, body)
		return
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.encode(trace))
}

func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done:
	}
}

// admit checks the headers. The location is known as soon as the token is.
func (s *Server) admit(r *http.Request, hasBody bool) (*location, *answer) {
	say := func(status int, text string) *answer { a := refuse(status, text); return &a }
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || token == "" {
		return nil, say(http.StatusUnauthorized, "Invalid JWT")
	}
	name, known := s.tokens[token]
	if !known && s.cfg.AnyToken {
		if auto, found := strings.CutPrefix(token, "standin-"); found && validLocation(auto) {
			s.addLocation(LocationSettings{Location: auto, Token: token})
			name, known = auto, true
		}
	}
	if end, ends := s.auth.access[token]; ends && s.now().After(end) {
		known = false
	}
	if !known {
		return nil, say(http.StatusUnauthorized, "Invalid token: access token is invalid")
	}
	loc := s.locations[name]
	switch v := r.Header.Get("Version"); {
	case v == "":
		return loc, say(http.StatusUnauthorized, "version header was not found.")
	case !versions[v]:
		return loc, say(http.StatusUnauthorized, "version header is invalid")
	}
	if hasBody {
		ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if !strings.EqualFold(strings.TrimSpace(ct), "application/json") {
			return loc, say(http.StatusUnsupportedMediaType, "Content-Type must be application/json") // undocumented
		}
	}
	return loc, nil
}

// readBody reads at most maxBody bytes and tells whether there was more.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, true
	}
	return b, false
}
