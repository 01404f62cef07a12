package importer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// outcome of an event or a row. Of the events of a row the greatest one counts.
type outcome int

const (
	leftOut   outcome = iota // no event: no condition held, or every field is empty
	duplicate                // recorded before, with the same content
	admitted
	unjudged // sent and without a verdict; in a dry run, what would be sent
	conflict // recorded before with another content
	refused
)

var outcomeNames = map[outcome]string{conflict: "conflict", refused: "refused"}

// Tally counts events by what became of them.
type Tally struct {
	Admitted  int64 `json:"admitted"`
	Duplicate int64 `json:"duplicate"`
	Conflict  int64 `json:"conflict"`
	Refused   int64 `json:"refused"`
	Unjudged  int64 `json:"not_yet_judged"` // in a dry run: would be sent
}

func (t *Tally) add(o outcome) {
	switch o {
	case admitted:
		t.Admitted++
	case duplicate:
		t.Duplicate++
	case conflict:
		t.Conflict++
	case refused:
		t.Refused++
	case unjudged:
		t.Unjudged++
	}
}

// Counts of an import. Rows is the sum of LeftOut and the row's tally: a row that becomes several events counts as its worst one.
type Counts struct {
	Rows    int64 `json:"rows"`
	LeftOut int64 `json:"left_out"` // that become no event
	Tally
	Events  Tally `json:"events"`
	Updates int64 `json:"updates"` // of the events, those sent because a row has changed
}

// Partial reports whether something was not imported.
func (c Counts) Partial() bool { return c.Conflict > 0 || c.Refused > 0 }

// tally is what became of everything up to the last row that was read.
func (r *run) tally() Counts {
	c := r.pos.Counts
	for _, row := range r.rows {
		c.Rows++
		worst := row.outcome
		for _, it := range row.events {
			worst = max(worst, it.outcome)
			c.Events.add(it.outcome)
			if it.update {
				c.Updates++
			}
		}
		if worst == leftOut {
			c.LeftOut++
		}
		c.add(worst)
	}
	return c
}

// Rejection is one row or event that was not imported.
type Rejection struct {
	File    string         `json:"file"`
	Line    int            `json:"line"` // where the row begins, from 1
	Row     int64          `json:"row"`  // from 1, the header not counted
	Outcome string         `json:"outcome"`
	Type    string         `json:"type,omitempty"`
	ID      string         `json:"id,omitempty"`
	Code    event.Code     `json:"code,omitempty"`
	Reason  string         `json:"reason"`
	Values  map[string]any `json:"values,omitempty"` // of the row, where it could be read
}

func (s *rowState) rejections(file string) (out []Rejection) {
	base := Rejection{File: file, Line: s.row.Line, Row: s.row.Number, Values: s.row.Values}
	if s.reason != "" {
		rej := base
		rej.Outcome, rej.Reason = outcomeNames[refused], s.reason
		out = append(out, rej)
	}
	for _, it := range s.events {
		if it.outcome < conflict {
			continue
		}
		rej := base
		rej.Outcome, rej.Type, rej.ID, rej.Code, rej.Reason = outcomeNames[it.outcome], it.event.Type, it.event.ID, it.code, it.reason
		out = append(out, rej)
	}
	return out
}

// plan decides what of the pending events is to be sent.
func (r *run) plan() (todo []*item, err error) {
	for _, it := range r.pending {
		twin, equal := r.census.twin(it)
		if it.was == nil {
			if r.Sender == nil && twin.line > 0 && twin.line != it.row.row.Line {
				it.outcome = duplicate
				if !equal {
					it.conflict("line %d of the file has the same key and other data: only the first one is taken", twin.line)
				}
				continue
			}
			todo = append(todo, it)
			continue
		}
		fields, err := it.changed()
		if err != nil {
			return nil, fmt.Errorf("compare event %s with the archive: %w", it.event.ID, err)
		}
		named := strings.Join(fields, ", ")
		switch {
		case len(fields) == 0:
			it.outcome = duplicate
			if r.again && it.was.sequence > r.pos.Floor {
				it.outcome = admitted // by the run that this one continues
			}
		case twin.differs:
			it.conflict("differs from what was imported in: %s; two rows have this key and other data, the first in line %d, so which one is newer can't be known", named, twin.line)
		case !r.Update:
			it.conflict("differs from what was imported in: %s; --update sends the change, unless another row with this key says something else", named)
		default:
			e, err := it.asUpdate(r.Tenant, r.Spec.Name, fields)
			if err != nil {
				it.conflict("differs from what was imported in: %s; it can't be sent as an update: %v", named, err)
				continue
			}
			it.event, it.update = e, true
			todo = append(todo, it)
		}
	}
	return todo, nil
}

func (it *item) conflict(format string, args ...any) {
	it.outcome, it.code, it.reason = conflict, event.CodeConflict, fmt.Sprintf(format, args...)
}

// maxAsked is how often a batch is sent for its verdicts; the HTTP endpoint waits for them each time.
const maxAsked = 5

// judge sends events until there is a verdict on each. An event has its id, so a repeat is dropped, and told as a duplicate of what the
// first one became: floor, the highest sequence before, tells whether that was this import's.
func (r *run) judge(ctx context.Context, todo []*item) (floor int64, err error) {
	floor = r.pos.Floor
	first := map[string]*item{}
	for _, it := range todo {
		if first[it.event.ID] == nil {
			first[it.event.ID] = it
		}
	}
	for asked := 1; len(todo) > 0; asked++ {
		if asked > maxAsked {
			return 0, event.Refuse(event.CodeUnavailable, "%d events are stored, but there is no verdict on them yet", len(todo)).
				Hint("is the sequencer (neuronx-ingest) running? `neuronx doctor` looks; then run the same command again: it goes on there")
		}
		if asked > 1 {
			r.Note("%s: there is no verdict on %d events yet; asking again", r.in.File, len(todo))
			if err := r.Pause(ctx, time.Duration(1<<asked)*time.Second/4); err != nil {
				return 0, err
			}
		}
		var left []*item
		for len(todo) > 0 {
			n := min(len(todo), r.Batch)
			outcomes, err := r.send(ctx, todo[:n])
			if err != nil {
				return 0, err
			}
			for i, o := range outcomes {
				it := todo[i]
				it.outcome, it.code, it.reason = o.is(), o.Code, o.Detail
				own := r.again || o.Resent || asked > 1
				if it.outcome == duplicate && own && o.Of > r.pos.Floor && first[it.event.ID] == it {
					it.outcome = admitted
				}
				floor = max(floor, o.Sequence)
				if it.outcome == admitted {
					floor = max(floor, o.Of)
				}
				if it.outcome == unjudged {
					left = append(left, it)
				}
				if it.outcome == conflict {
					it.reason += "; another row or an earlier import has the same key and other data"
				}
			}
			todo = todo[n:]
		}
		todo = left
	}
	return floor, nil
}

func (r *run) send(ctx context.Context, todo []*item) ([]Outcome, error) {
	events := make([]Event, len(todo))
	for i, it := range todo {
		events[i] = it.event
	}
	return r.Sender.Send(ctx, events)
}
