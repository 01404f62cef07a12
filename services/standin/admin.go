package standin

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// admin registers the controls of the stand-in. They take no token: the stand-in is for loopback and tests.
func (s *Server) admin(mux *http.ServeMux) {
	mux.HandleFunc("GET /_standin/health", func(w http.ResponseWriter, r *http.Request) { reply(w, 200, map[string]any{"ok": true}) })
	mux.HandleFunc("POST /_standin/locations", s.postLocation)
	mux.HandleFunc("GET /_standin/locations", s.getLocations)
	mux.HandleFunc("POST /_standin/faults", s.postFault)
	mux.HandleFunc("GET /_standin/faults", s.getFaults)
	mux.HandleFunc("DELETE /_standin/faults", s.deleteFaults)
	mux.HandleFunc("GET /_standin/requests", s.getRequests)
	mux.HandleFunc("GET /_standin/contacts", s.getContacts)
	mux.HandleFunc("POST /_standin/setup", s.postSetup)
	mux.HandleFunc("GET /_standin/objects", s.getObjects)
	mux.HandleFunc("GET /_standin/counts", s.getCounts)
	mux.HandleFunc("POST /_standin/merge", s.postMerge)
	mux.HandleFunc("POST /_standin/limits", s.postLimits)
	mux.HandleFunc("POST /_standin/reset", s.postReset)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nothing to do
}

// decode reads an admin body strictly; it answers and returns false on failure.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		reply(w, 400, map[string]any{"error": err.Error()})
		return false
	}
	return true
}

func (s *Server) postLocation(w http.ResponseWriter, r *http.Request) {
	var set LocationSettings
	if !decode(w, r, &set) {
		return
	}
	for _, f := range set.MatchOrder {
		if f != "email" && f != "phone" {
			reply(w, 400, map[string]any{"error": "match_order takes email and phone"})
			return
		}
	}
	if !validLocation(set.Location) || len(set.Token) > 4096 {
		reply(w, 400, map[string]any{"error": "location must be 1 to 64 letters, digits, '-' or '_'"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner, taken := s.tokens[set.Token]; taken && owner != set.Location {
		reply(w, 409, map[string]any{"error": "the token names location " + owner})
		return
	}
	s.addLocation(set)
	reply(w, 201, s.locations[set.Location].settings)
}

func (s *Server) getLocations(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []map[string]any{}
	for id, l := range s.locations {
		out = append(out, map[string]any{"location": id, "allow_duplicate_contact": l.settings.AllowDuplicateContact,
			"match_order": l.settings.MatchOrder, "contacts": len(l.contacts), "requests_today": l.limit.today})
	}
	reply(w, 200, map[string]any{"locations": out})
}

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !decode(w, r, &f) {
		return
	}
	if err := f.check(); err != nil {
		reply(w, 400, map[string]any{"error": err.Error()})
		return
	}
	if err := s.AddFault(f); err != nil {
		reply(w, 409, map[string]any{"error": err.Error()})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, 201, map[string]any{"id": s.nextFault})
}

func (s *Server) getFaults(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := append([]*Fault{}, s.faults...)
	reply(w, 200, map[string]any{"faults": out})
}

func (s *Server) deleteFaults(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	reply(w, 200, map[string]any{"ok": true})
}

func (s *Server) getRequests(w http.ResponseWriter, r *http.Request) {
	since, limit := int64(0), 1000
	var err error
	if v := r.URL.Query().Get("since"); v != "" {
		if since, err = strconv.ParseInt(v, 10, 64); err != nil || since < 0 {
			reply(w, 400, map[string]any{"error": "since must be a number of a request"})
			return
		}
	}
	if v := r.URL.Query().Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > 10_000 {
			reply(w, 400, map[string]any{"error": "limit must be 1 to 10000"})
			return
		}
	}
	s.mu.Lock()
	out := s.requests.since(since, r.URL.Query().Get("location"), limit)
	next := s.requests.next
	s.mu.Unlock()
	if len(out) == limit {
		next = out[len(out)-1].N
	}
	reply(w, 200, map[string]any{"requests": out, "next_since": next})
}

func (s *Server) getContacts(w http.ResponseWriter, r *http.Request) {
	reply(w, 200, map[string]any{"contacts": s.Contacts(r.URL.Query().Get("location"))})
}

func (s *Server) getCounts(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int64{}
	for k, v := range s.requests.counts {
		out[k] = v
	}
	contacts, notes := int64(0), int64(0)
	for _, l := range s.locations {
		contacts += int64(len(l.contacts))
		for _, c := range l.contacts {
			notes += int64(len(c.Notes))
		}
	}
	out["contacts"], out["notes"] = contacts, notes
	for _, l := range s.locations {
		for kind, t := range l.tables() {
			out["objects "+kind] += int64(t.size())
		}
	}
	reply(w, 200, out)
}

// postMerge merges one contact of a location into another.
func (s *Server) postMerge(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Location string `json:"location"`
		From     string `json:"from"`
		Into     string `json:"into"`
	}
	if !decode(w, r, &q) {
		return
	}
	if !s.Merge(q.Location, q.From, q.Into) {
		reply(w, 404, map[string]any{"error": "from and into must be two contacts of the location"})
		return
	}
	reply(w, 200, map[string]any{"ok": true})
}

// postLimits changes the rate limits of one location (or of all) from now on.
func (s *Server) postLimits(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Location   string `json:"location"`
		Burst      int    `json:"burst"`
		IntervalMS int64  `json:"interval_ms"`
		Daily      int    `json:"daily"`
	}
	if !decode(w, r, &q) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.locations {
		if q.Location == "" || q.Location == id {
			l.limit.set(q.Burst, q.IntervalMS, q.Daily)
		}
	}
	reply(w, 200, map[string]any{"ok": true})
}

func (s *Server) postReset(w http.ResponseWriter, r *http.Request) {
	s.Reset()
	reply(w, 200, map[string]any{"ok": true})
}
