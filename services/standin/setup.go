package standin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Setup is what a person sets up in a location and the API only reads. Ids that are missing are made.
type Setup struct {
	Location     string        `json:"location"`
	Pipelines    []Pipeline    `json:"pipelines,omitempty"`
	Users        []User        `json:"users,omitempty"`
	CustomFields []CustomField `json:"custom_fields,omitempty"`
	Calendars    []Calendar    `json:"calendars,omitempty"`
	Workflows    []Automation  `json:"workflows,omitempty"`
	Campaigns    []Automation  `json:"campaigns,omitempty"`
}

// Setup adds objects to a location, or changes those that are there, and returns them with their ids.
func (s *Server) Setup(in Setup) (Setup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locations[in.Location]
	if l == nil {
		return in, errors.New("there is no location " + in.Location)
	}
	for _, c := range in.Calendars {
		if err := c.check(); err != nil {
			return in, err
		}
	}
	now := s.now()
	for i := range in.Pipelines {
		p := &in.Pipelines[i]
		p.ID = cmp.Or(p.ID, newID())
		for j := range p.Stages {
			p.Stages[j].ID, p.Stages[j].Position = cmp.Or(p.Stages[j].ID, newID()), j
		}
		l.pipelines.put(l, p.ID, *p, now)
	}
	for i := range in.Users {
		in.Users[i].ID = cmp.Or(in.Users[i].ID, newID())
		l.users.put(l, in.Users[i].ID, in.Users[i], now)
	}
	for i := range in.CustomFields {
		f := &in.CustomFields[i]
		f.ID, f.Model, f.DataType = cmp.Or(f.ID, newID()), cmp.Or(f.Model, "contact"), cmp.Or(f.DataType, "TEXT")
		f.FieldKey = cmp.Or(f.FieldKey, fieldKey(f.Model, f.Name))
		l.customFields.put(l, f.ID, *f, now)
	}
	for i := range in.Calendars {
		in.Calendars[i].ID = cmp.Or(in.Calendars[i].ID, newID())
		l.calendars.put(l, in.Calendars[i].ID, in.Calendars[i], now)
	}
	for i := range in.Workflows {
		w := &in.Workflows[i]
		w.ID, w.Status = cmp.Or(w.ID, newID()), cmp.Or(w.Status, "published")
		l.workflows.put(l, w.ID, *w, now)
	}
	for i := range in.Campaigns {
		c := &in.Campaigns[i]
		c.ID, c.Status = cmp.Or(c.ID, newID()), cmp.Or(c.Status, "published")
		l.campaigns.put(l, c.ID, *c, now)
	}
	s.flush(l)
	return in, nil
}

// Objects lists the objects of one kind in a location as they are, oldest first: pipeline, user, customField, calendar, workflow,
// campaign, opportunity, task, conversation, message, appointment or enrolment.
func (s *Server) Objects(location, kind string) ([]json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locations[location]
	if l == nil {
		return nil, errors.New("there is no location " + location)
	}
	t := l.tables()[kind]
	if t == nil {
		return nil, errors.New("there are no objects of kind " + kind)
	}
	out := []json.RawMessage{}
	var failed error
	t.each(func(id string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			failed = fmt.Errorf("encode %s %s: %w", kind, id, err)
		}
		out = append(out, raw)
	})
	return out, failed
}

// flush writes what changed in a location to the journal. The caller holds the lock.
func (s *Server) flush(l *location) {
	for _, rec := range l.changes {
		s.file.write(rec)
	}
	l.changes = nil
}

func (s *Server) postSetup(w http.ResponseWriter, r *http.Request) {
	var in Setup
	if !decode(w, r, &in) {
		return
	}
	out, err := s.Setup(in)
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	reply(w, http.StatusCreated, out)
}

func (s *Server) getObjects(w http.ResponseWriter, r *http.Request) {
	out, err := s.Objects(r.URL.Query().Get("location"), r.URL.Query().Get("kind"))
	if err != nil {
		reply(w, http.StatusNotFound, map[string]any{"error": err.Error()})
		return
	}
	reply(w, http.StatusOK, map[string]any{"objects": out})
}

// vendorTime is how the vendor writes the time of an object.
func vendorTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
