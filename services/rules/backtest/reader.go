package backtest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

const (
	answers = 14 * 24 * time.Hour // after a message, in which a fact about the lead may answer it
	pending = 25 * time.Hour      // how long the outcome of a command is waited for at most
)

// reader tells facts from what the engine made of them, and learns what a backtest must know of the record.
type reader struct {
	cfg     Config
	schemas *schemas
	begun   bool

	facts     int
	types     map[string]int // facts by type
	left      map[string]int // what only answers the rules of then, by type
	answering map[string]int // facts by type about leads that were messaged shortly before
	messaged  map[string]int64
	asked     map[string]int64 // commands without an outcome, by id: when they were recorded
	took      []int64          // ms from a command to its outcome
	first     time.Time        // of what was folded
}

func newReader(cfg Config, s *schemas) *reader {
	return &reader{cfg: cfg, schemas: s, types: map[string]int{}, left: map[string]int{}, answering: map[string]int{}, messaged: map[string]int64{}, asked: map[string]int64{}}
}

// at is the time of an event by the log, in ms since 1970.
func at(e *event.Recorded) int64 { return event.PositionTime(e.Position) }

// read says what timelines are to be given of an event.
func (r *reader) read(ctx context.Context, e *event.Recorded) (out []input, err error) {
	now := at(e)
	if r.first.IsZero() {
		r.first = time.UnixMilli(now).UTC()
	}
	if now >= r.cfg.To.UnixMilli() {
		err = errRead
	}
	if !r.begun && now >= r.cfg.From.UnixMilli() {
		r.begun = true
		out = append(out, input{begins: true, latency: r.latency()})
	}
	if err != nil {
		return out, err
	}
	if err := r.note(ctx, e, now); err != nil {
		return out, err
	}
	if !r.begun {
		return append(out, input{event: e}), nil
	}
	if !isFact(e) {
		r.left[e.Type]++
		return out, nil
	}
	r.facts++
	r.types[e.Type]++
	return append(out, input{event: e}), nil
}

// latency is the median of what is on record.
func (r *reader) latency() time.Duration {
	if len(r.took) == 0 {
		return usual
	}
	slices.Sort(r.took)
	return time.Duration(r.took[len(r.took)/2]) * time.Millisecond
}

// note learns how long commands take, and which facts may answer a message.
func (r *reader) note(ctx context.Context, e *event.Recorded, now int64) error {
	switch base, kind := command(e.Type); {
	case kind == asks:
		reach, err := r.schemas.reaches(ctx, e.Type)
		if err != nil {
			return err
		}
		if lead, is := strings.CutPrefix(e.Subject, "lead/"); is && reach {
			r.messaged[lead] = now
		}
		if !r.begun {
			r.asked[e.ID] = now
		}
	case base != "" && !r.begun:
		if asked, there := r.asked[e.CausationID]; there {
			r.took = append(r.took, now-asked)
			delete(r.asked, e.CausationID)
		}
	case r.begun && len(r.messaged) > 0 && isFact(e):
		lead, err := leadOf(ctx, r.schemas, &e.Event)
		if err != nil {
			return err
		}
		if last, there := r.messaged[lead]; there && now-last <= answers.Milliseconds() {
			r.answering[e.Type]++
		}
	}
	return nil
}

// isFact tells what came from outside: producers, the CRM, people. What rules, workflows, timers and adapters made of it is not fed: each timeline
// makes its own.
func isFact(e *event.Recorded) bool {
	_, kind := command(e.Type)
	switch {
	case e.Hops > 0, kind != neither, e.Deriver == "rules", e.Deriver == "timers", e.Deriver == "gohighlevel", e.Type == "rules.published", e.Type == "timer.fired", event.Tells(e.Type),
		e.Type == "workflow.start.requested", e.Type == "workflow.migrated": // they name sequences of the log, and texts that were in force then
		return e.Type == "engine.rule.reset"
	}
	return true
}

// Kinds of types of commands to the CRM.
const (
	neither = iota
	asks
	ends
)

// command takes the type of a command, or of its outcome, apart.
func command(typ string) (base string, kind int) {
	if !strings.HasPrefix(typ, "crm.") {
		return "", neither
	}
	if base, is := strings.CutSuffix(typ, ".requested"); is {
		return base, asks
	}
	for _, end := range []string{".succeeded", ".failed"} {
		if base, is := strings.CutSuffix(typ, end); is {
			return base, ends
		}
	}
	return "", neither
}
