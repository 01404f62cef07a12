package event

import (
	"maps"
	"slices"
	"strings"
)

// TypeSetAside is the type of the placeholder that uses up the number of an outbox row which must not be sent. No deriver may derive
// it, so the sequencer always refuses it as deriver_forbidden, and the deriver goes on with the next number.
const TypeSetAside = "engine.outbox.set_aside"

// derivers is what each deriver may derive, and is declared nowhere else. A type that is not reserved may be derived where open is
// set; a reserved one only if it is listed, where `crm.*.requested` stands for one with any words in between. Control types (tenant.*,
// rules.*, subject.*, engine.replay.*, engine.rule.reset and .rerun, engine.effect.resolved, and the requests among workflow.*) are in no list:
// people and the engine's own jobs publish them without a deriver's number.
var derivers = map[string]struct {
	open     bool
	reserved []string
	hops     bool // it only answers other events, so that what it derives is at least one hop from a fact
}{
	"rules": {open: true, hops: true, reserved: fromRules},
	// A timer that is due begins a chain: its firing is a fact of the clock, no hop from what armed it. One that was refused is fired again by
	// its own table, so the dead letters' deriver may not send it.
	"timers": {reserved: []string{"timer.fired"}},
	// Only what became of commands: what an adapter learns from a CRM comes in at the HTTP API, under an API key.
	"gohighlevel": {hops: true, reserved: fromAdapters},
	// What was refused is sent again under a number of this deriver, also what rules or an adapter had derived. A refused control event
	// is not: its command is run again. Nor is a firing: what waits for it fires it again.
	"deadletter": {open: true, reserved: slices.Concat([]string{"engine.dead_letter.retried", "engine.dead_letter.edited", "engine.dead_letter.dropped"},
		fromRules, fromAdapters)},
}

var (
	// fromRules is what rules and workflows derive: commands, and what they tell about themselves.
	fromRules = []string{"crm.*.requested", "engine.rule.failed", "engine.storm.detected", "engine.timer.refused",
		"workflow.started", "workflow.advanced", "workflow.completed", "workflow.cancelled", "workflow.faulted", "workflow.rejected",
		"workflow.incident.raised", "workflow.verb.refused"}
	fromAdapters = []string{"crm.*.succeeded", "crm.*.failed", "engine.effect.recorded"}
)

// openOnce tells types that were reserved after rule sets could be published that derive them: crm.* but for commands and their outcomes.
// Such a rule set goes on as it was. An adapter's own facts are told from them by their deriver.
func openOnce(typ string) bool {
	return strings.HasPrefix(typ, "crm.") && !strings.HasSuffix(typ, ".requested") && !strings.HasSuffix(typ, ".succeeded") && !strings.HasSuffix(typ, ".failed")
}

// Derivers lists the derivers, sorted.
func Derivers() []string { return slices.Sorted(maps.Keys(derivers)) }

// MayDerive reports whether a deriver may derive events of a type. One that is not listed, such as an adapter of a newer build, may
// derive what anybody may publish, and no reserved type.
func MayDerive(deriver, typ string) bool {
	d, listed := derivers[deriver]
	switch {
	case !Reserved(typ):
		return d.open || !listed
	case d.open && openOnce(typ):
		return true
	}
	for _, allowed := range d.reserved {
		before, after, some := strings.Cut(allowed, "*")
		if typ == allowed || some && len(typ) > len(before)+len(after) && strings.HasPrefix(typ, before) && strings.HasSuffix(typ, after) {
			return true
		}
	}
	return false
}

// CheckDerived refuses a derived event that its deriver may not derive: by its type (code deriver_forbidden), because it names itself as
// its cause, or because it counts no hop although rules and adapters only answer other events (code invalid_attribute). The cause's own
// hops are not known here, so a count that is too small but not zero passes. It says nothing about an event without a deriver.
func (e *Event) CheckDerived() *Refusal {
	switch {
	case !e.Derived():
		return nil
	case !MayDerive(e.Deriver, e.Type):
		return Refuse(CodeDeriverForbidden, "deriver %s may not derive %s", e.Deriver, e.Type)
	case e.CausationID == e.ID:
		return Refuse(CodeInvalidAttribute, "the event names itself as its cause").At("header " + hCausation)
	case e.Hops == 0 && derivers[e.Deriver].hops && !Tells(e.Type):
		return Refuse(CodeInvalidAttribute, "an event that deriver %s derived is at least one hop from a fact", e.Deriver).At("header " + hHops)
	}
	return nil
}
