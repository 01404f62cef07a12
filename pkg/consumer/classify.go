package consumer

import (
	"fmt"

	"github.com/neuronx/engine/pkg/event"
)

// State of a (generation, tenant).
type State string

// The states; see the package comment.
const (
	Live       State = "live"
	CatchingUp State = "catching-up"
	Stalled    State = "stalled"
	Retired    State = "retired"
)

// Reasons for which a tenant is stalled that are not the text of an error.
const (
	ReasonGap        = "gap"
	ReasonLogChanged = "log_changed"
)

// reasonOtherBuild begins the reason of a tenant that another build of the service may go on with: see OtherBuild.
const reasonOtherBuild = "another build is needed: "

// Outcome is a label of neuronx_events_consumed_total: what became of one event in one generation.
type outcome string

const (
	outcomeApplied    outcome = "applied"
	outcomeDuplicate  outcome = "duplicate"  // applied before, seen again
	outcomePassed     outcome = "passed"     // the tenant is stalled or catching up: taken from the archive later
	outcomeUnreadable outcome = "unreadable" // no event at all
	outcomeDeadLetter outcome = "dead_letter"
)

// decision is what is to be done with a tenant's events of a batch in one generation.
type decision struct {
	apply   []event.Recorded // consecutive from the row's sequence + 1
	skipped int              // applied before, under the same log
	passed  int              // not for now
	seen    int64            // highest sequence that was passed; 0 for none
	gapFrom int64            // > 0: gapFrom up to, excluding, after[0].Sequence is missing
	after   []event.Recorded // what follows the gap
	stall   string           // reason to stall after apply; empty for none
	detail  string           // for the log
}

// classify decides over the events of one tenant, in the order of the log, for one generation. It is pure.
func classify(r Row, events []event.Recorded, logs lineage) decision {
	if r.State != Live {
		return pass(r, events, logs)
	}
	var d decision
	sequence, id, logID := r.Sequence, r.EventID, r.LogID
	for i, e := range events {
		switch {
		case !logs.continues(logID, sequence, &events[i]):
			d.logChanged(fmt.Sprintf("sequence %d is of log %s, applied were events of log %s", e.Sequence, e.LogID, logID), len(events)-i)
			return d
		case e.Sequence == sequence && id != "" && e.ID != id:
			d.logChanged(fmt.Sprintf("sequence %d is event %s in the log, applied was event %s", sequence, e.ID, id), len(events)-i)
			return d
		case e.Sequence <= sequence:
			d.skipped++
		case e.Sequence == sequence+1:
			d.apply = append(d.apply, e)
			sequence, id, logID = e.Sequence, e.ID, e.LogID
		default:
			d.gapFrom, d.after = sequence+1, events[i:]
			return d
		}
	}
	return d
}

// pass leaves the events to the catch-up that feeds the generation from the archive, and remembers how far the log goes.
func pass(r Row, events []event.Recorded, logs lineage) decision {
	var d decision
	for i, e := range events {
		if r.State == CatchingUp && !logs.continues(r.LogID, r.Sequence, &events[i]) {
			d.logChanged(fmt.Sprintf("sequence %d is of log %s, applied were events of log %s", e.Sequence, e.LogID, r.LogID), len(events)-i)
			return d
		}
		if e.Sequence <= r.Sequence {
			d.skipped++
			continue
		}
		d.passed++
		d.seen = max(d.seen, e.Sequence)
	}
	return d
}

func (d *decision) logChanged(detail string, rest int) {
	d.stall, d.detail = ReasonLogChanged, detail
	d.passed += rest
}

// postpone turns a gap that cannot be filled now into passed events.
func (d *decision) postpone() {
	d.passed += len(d.after)
	for _, e := range d.after {
		d.seen = max(d.seen, e.Sequence)
	}
	d.after = nil
}

// target is how far a generation must come before it has everything that is known of the tenant's log.
func target(rows []Row) int64 {
	var t int64
	for _, r := range rows {
		if r.State != Retired {
			t = max(t, r.Sequence, r.Seen)
		}
	}
	return t
}
