package dev

import (
	"sort"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// journey is how far one lead has travelled.
type journey struct {
	Subject   string
	Tenant    string
	Name      string
	Began     time.Time
	Sequence  int64 // of lead.created
	Score     int64
	Scored    bool
	Projected bool
	Archived  bool
	Sent      bool
	SentID    string // the CRM's id of the contact
	SentAt    time.Time
	Finished  time.Time // as soon as the view has looked how far the projector and the archiver are
	printed   bool
}

// arrived reports whether every stage has the lead.
func (j *journey) arrived() bool { return j.Scored && j.Projected && j.Archived && j.Sent }

// travel is a fold of the log, and of the consumers' progress, into journeys. It keeps the youngest few of this run, and totals
// of all: the log of a folder that was used before holds leads that travelled long ago.
type travel struct {
	since    time.Time // when this run began
	limit    int
	journeys map[string]*journey // by tenant and subject
	order    []string
	heads    map[string]int64 // tenant → highest sequence in the log
	stories  stories
}

// newTravel follows leads that were recorded at since or later, the youngest limit of them.
func newTravel(limit int, since time.Time) *travel {
	return &travel{since: since, limit: limit, journeys: map[string]*journey{}, heads: map[string]int64{}}
}

// admitted notes an event of the log; data is its decoded body, nil when it could not be decoded.
func (t *travel) admitted(r *event.Recorded, data map[string]any, now time.Time) {
	t.heads[r.TenantID] = max(t.heads[r.TenantID], r.Sequence)
	t.stories.admitted(r, data)
	key := r.TenantID + " " + r.Subject
	j := t.journeys[key]
	switch r.Type {
	case "lead.created":
		if j != nil || r.EffectiveOrigin() != event.OriginLive || r.RecordedTime.Before(t.since) {
			return
		}
		name, _ := data["email"].(string)
		t.journeys[key] = &journey{Subject: r.Subject, Tenant: r.TenantID, Name: name, Began: now, Sequence: r.Sequence}
		t.order = append(t.order, key)
		t.forget()
	case "lead.scored":
		if j != nil {
			j.Scored = true
			j.Score, _ = data["score"].(int64)
		}
	case "crm.contact.upsert.succeeded":
		if j != nil && !j.Sent {
			j.Sent, j.SentAt = true, now
			j.SentID, _ = data["remote_id"].(string)
		}
	}
	if j != nil {
		j.finish(now)
	}
}

// progressed notes how far the projector and the archiver have come with a tenant.
func (t *travel) progressed(tenant, consumer string, sequence int64, now time.Time) {
	for _, j := range t.journeys {
		if j.Tenant != tenant || sequence < j.Sequence {
			continue
		}
		switch consumer {
		case "projector":
			j.Projected = true
		case "archiver":
			j.Archived = true
		}
		j.finish(now)
	}
}

func (j *journey) finish(now time.Time) {
	if j.arrived() && j.Finished.IsZero() {
		j.Finished = now
	}
}

// forget drops the oldest journeys beyond the limit.
func (t *travel) forget() {
	for len(t.order) > t.limit {
		delete(t.journeys, t.order[0])
		t.order = t.order[1:]
	}
}

// latest returns the youngest n journeys, youngest first.
func (t *travel) latest(n int) []*journey {
	out := make([]*journey, 0, n)
	for i := len(t.order) - 1; i >= 0 && len(out) < n; i-- {
		out = append(out, t.journeys[t.order[i]])
	}
	return out
}

// arrivals returns the journeys that finished and were not returned before, oldest first.
func (t *travel) arrivals() []*journey {
	var out []*journey
	for _, key := range t.order {
		if j := t.journeys[key]; j.arrived() && !j.printed {
			j.printed = true
			out = append(out, j)
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Finished.Before(out[b].Finished) })
	return out
}

// head is the sum of all tenants' sequences: how many events the log holds.
func (t *travel) head() int64 {
	var n int64
	for _, h := range t.heads {
		n += h
	}
	return n
}
