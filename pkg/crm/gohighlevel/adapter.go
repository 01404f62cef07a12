package gohighlevel

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

// Name is that of the adapter.
const Name = "gohighlevel"

// Adapter is the one for GoHighLevel. Its zero value is ready.
type Adapter struct{}

var _ crm.Adapter = Adapter{}

// Name implements crm.Adapter.
func (Adapter) Name() string { return Name }

// Kinds implements crm.Adapter. The contact of a new lead is looked for by both of its keys first.
func (Adapter) Kinds() map[string]crm.Kind {
	return map[string]crm.Kind{crm.KindUpsert: {Cost: 3}, crm.KindTag: {Cost: 1}, crm.KindAssign: {Cost: 1}, crm.KindNote: {Cost: 1}, crm.KindTask: {Cost: 1},
		crm.KindOpportunity: {Cost: 1}, crm.KindMove: {Cost: 1}, crm.KindClose: {Cost: 1}, crm.KindMessage: {Cost: 1},
		crm.KindEnrol: {Cost: 1}, crm.KindLeave: {Cost: 1}, crm.KindFinish: {Cost: 1},
		crm.KindDND: {Cost: 1}, crm.KindField: {Cost: 1}, crm.KindBook: {Cost: 2}, crm.KindReschedule: {Cost: 3}, crm.KindCancel: {Cost: 1}}
}

// Next implements crm.Adapter.
func (Adapter) Next(w crm.Work) crm.Step {
	a := attempt{state: state{Work: w}, trail: w.Trail}
	a.run()
	if len(w.Trail) == 0 && a.step.End == nil {
		a.step.Might, a.step.Claims = state{Work: w}.ahead()
	}
	return a.step
}

const (
	// lookAgain times the attempts made is the pause before a contact that the CRM's search did not find is looked up again: the
	// search lags behind writes by seconds. After looks attempts the contact counts as missing.
	lookAgain = 2 * time.Second
	looks     = 3
)

// attempt goes through an attempt from its start each time: what was answered is taken from the trail, and the first thing that was not asked
// for yet is the next step. So it reads like code that sends requests, and is pure. Methods report whether it goes on; if not, step is set.
type attempt struct {
	state
	trail   []crm.Exchange // what is left of it
	refused bool           // by the answer that was read last, if it proves that nothing was acted upon
	learned map[string]map[string][]string
	step    crm.Step
}

func (a *attempt) run() {
	if a.Link.Contact == "" && a.findBy() == (crm.Keys{}) {
		detail := "no contact of this lead is known in the CRM; upsert it first"
		if a.Kind == crm.KindUpsert {
			detail = "no contact of this lead is known in the CRM, and a new one needs an e-mail address or a phone number"
		}
		a.end(failed(crm.CodeContactUnknown, detail))
		return
	}
	if end := a.unfit(); end != nil {
		a.end(*end)
		return
	}
	if !a.findOwner() || !a.findStage() || !a.findAutomation() || !a.findField() || !a.findSlot() {
		return
	}
	if end := a.unopened(); end != nil {
		a.end(*end)
		return
	}
	switch {
	case a.Link.Contact == "":
		if !a.find("") {
			return
		}
	case len(a.calls()) == 0:
		a.end(a.nothing())
		return
	}
	o, on := a.carryOut()
	if on && o.Code == crm.CodeContactUnknown && a.Link.Contact != "" {
		// That a contact is gone is said before anything is written, so its successor may get the same, whatever the class.
		if !a.find(a.Link.Contact) {
			return
		}
		if o, on = a.carryOut(); on && o.Code == crm.CodeContactUnknown {
			o = a.wait(crm.CodeContactGone, o.Detail)
		}
	}
	if on {
		a.end(o)
	}
}

// next gives what came of a step.
func (a *attempt) next(s crm.Step) (x crm.Exchange, on bool) {
	if len(a.trail) == 0 {
		s.Refused = a.refused
		a.step = s
		return x, false
	}
	x, a.trail, a.refused = a.trail[0], a.trail[1:], false
	return x, true
}

// ask gives what the answer to a call means.
func (a *attempt) ask(c crm.Call) (o outcome, answer crm.Answer, on bool) {
	x, on := a.next(crm.Step{Call: &c})
	if !on {
		return o, answer, false
	}
	o = classify(a.Kind, c, x.Answer)
	a.refused = o.refused
	return o, x.Answer, true
}

func (a *attempt) end(o outcome) {
	o.Learned = a.learned
	a.step = crm.Step{End: &o.End, Refused: a.refused}
}

// wait ends an attempt whose finding may change in a moment.
func (a *attempt) wait(code, detail string) outcome {
	return outcome{End: crm.End{Status: crm.Pending, Code: code, Detail: detail, After: lookAgain * time.Duration(max(1, a.Attempts))}}
}

// final reports whether the attempts before, which ended with code, waited long enough for the search.
func (a *attempt) final(code string) bool { return a.LastCode == code && a.Attempts >= looks }

func failed(code, detail string) outcome {
	return outcome{End: crm.End{Status: crm.Failed, Code: code, Detail: detail}}
}

// nothing ends an effect for whose known contact there is nothing to send.
func (a *attempt) nothing() outcome {
	end := crm.End{Status: crm.Done, Detail: "nothing to do"}
	if a.Kind == crm.KindUpsert {
		end = crm.End{Status: crm.Done, Code: crm.CodeUnchanged, Detail: unchanged(a.state), RemoteID: a.Link.Contact, Named: a.names()}
		if older := a.older(); len(older) > 0 {
			end.Code, end.Detail = crm.CodeSuperseded, superseded(older)
		}
	}
	return outcome{End: end}
}

// carryOut makes the calls that change something.
func (a *attempt) carryOut() (done outcome, on bool) {
	done.End = crm.End{Status: crm.Done, Wrote: map[string]string{}}
	if a.Kind == crm.KindUpsert {
		done.Named = a.names()
	}
	for _, c := range a.calls() {
		o, answer, on := a.ask(c.Call)
		if on && o.other != "" {
			o, on = a.refusedFor(c.Call, o)
		}
		if on && o.Status == crm.Unknown && c.Op == opMessage {
			o, on = a.readBack(o)
		}
		if on && c.Op == opBook && (o.Status == crm.Unknown || o.Code == crm.CodeSlotTaken) {
			o, on = a.booked(o)
		}
		if !on || o.Status != crm.Done {
			return o, on
		}
		if why := a.untaken(c.Call, answer.Body); why != "" {
			return failed(crm.CodeRejected, why), true
		}
		if o.RemoteID != "" {
			done.RemoteID = o.RemoteID
		}
		if o.Detail != "" || c.lacks != "" {
			done.Detail = cmp.Or(o.Detail, c.lacks)
		}
		maps.Copy(done.Wrote, c.Writes)
		if c.Op == opUpdate && len(a.omit) > 0 {
			done.Wrote["email"] = a.Command.Email // it holds it already, as a second one
		}
		if lost := dropped(c.Call, answer.Body); len(c.Writes) > 0 && len(lost) > 0 {
			done.Detail = "the CRM did not take over " + strings.Join(lost, " and ") + ": it may belong to another contact"
			for _, name := range lost {
				delete(done.Wrote, name)
			}
		}
	}
	return done, true
}

// find looks for the contact of the lead by its keys, and plans for it; gone is the contact that was linked and is not there any more. It goes on
// where a contact is linked, or a new one is to be made.
func (a *attempt) find(gone string) bool {
	rounds := []crm.Keys{a.findBy()}
	if gone != "" && a.Link.Keys != (crm.Keys{}) && a.Link.Keys != rounds[0] {
		rounds = slices.Insert(rounds, 0, a.Link.Keys) // what the CRM was told; the command may bring new ones
	}
	for _, keys := range rounds {
		found := map[string]*crm.Contact{}
		for _, k := range single(keys) {
			if c, held := a.Held[k.name]; held {
				found[k.name] = &c
				continue
			}
			if k.value == "" {
				continue
			}
			o, _, on := a.ask(lookup(a.Account, k.name, k.value))
			switch {
			case !on:
				return false
			case o.Status != crm.Done && o.Code != crm.CodeContactUnknown:
				a.end(o)
				return false
			case o.found != nil && o.found.ID == gone:
				a.end(a.wait(crm.CodeContactGone, "the contact is gone, and the CRM's search does not show it yet"))
				return false
			}
			found[k.name] = o.found
		}
		id, code, detail, sure := match(keys, found["email"], found["phone"])
		if !sure {
			a.doubtful(code, detail, found)
			return false
		}
		if id == "" {
			continue
		}
		a.omit = nil
		if c := found["email"]; c != nil && !crm.SureSame(keys, crm.Keys{Email: c.Email}, "email") {
			a.omit = []string{"email"} // it has the address as a second one, and would lose its first
		}
		return a.adopt(id, gone)
	}
	switch {
	case gone != "" && !a.final(crm.CodeContactGone):
		a.end(a.wait(crm.CodeContactGone, "the contact is gone; its keys are looked up again, because the CRM's search lags"))
	case gone != "":
		a.end(failed(crm.CodeContactDeleted, fmt.Sprintf("contact %s is not in the CRM any more and no other has the keys of lead %s; "+
			"it is not made again: make one in the CRM and resend, or resolve this", gone, a.Command.LeadID)))
	case !a.makes():
		a.end(failed(crm.CodeContactUnknown, "no contact of this lead is known in the CRM, and none has the keys it was written with before"))
	default:
		return true
	}
	return false
}

// adopt links the lead to a contact that was found, unless it is another lead's.
func (a *attempt) adopt(id, gone string) bool {
	a.Link.Contact, a.Link.Known, a.Link.Fresh = id, nil, gone == ""
	x, on := a.next(crm.Step{Adopt: id})
	switch {
	case !on:
		return false
	case x.Unknown:
		a.end(a.wait(crm.CodeNotLinked, "the contact was found and could not be linked; nothing was written"))
		return false
	case x.Owner != "" && !x.Same:
		a.end(failed(crm.CodeContactTaken, crm.Taken(id, x.Owner)))
		return false
	case x.Same:
		a.Link.Fresh = false
	}
	return true
}

// doubtful ends an attempt that cannot tell which contact is the lead's. If the contact is another lead's, the outcome names that lead.
func (a *attempt) doubtful(code, detail string, found map[string]*crm.Contact) {
	if c := found["phone"]; code == crm.CodeContactTaken && c != nil {
		x, on := a.next(crm.Step{Whose: c.ID})
		switch {
		case !on:
			return
		case x.Unknown:
			a.end(a.wait(crm.CodeNotLinked, "a contact was found, and it could not be looked up whose it is"))
			return
		case x.Owner != "":
			detail = crm.Taken(c.ID, x.Owner)
		}
	}
	a.end(failed(code, detail))
}

// refusedFor explains a refusal that names another contact, and decides whether it is final: a contact that was made a moment ago is
// found by the search a little later.
func (a *attempt) refusedFor(c crm.Call, o outcome) (outcome, bool) {
	x, on := a.next(crm.Step{Whose: o.other})
	switch {
	case !on:
		return o, false
	case x.Unknown:
		return a.wait(crm.CodeNotLinked, "the CRM refused, and it could not be looked up whose contact it names"), true
	case x.Same:
		o.Detail = "contact " + o.other + " of lead " + x.Owner + ", who is the same person by a merge, has the e-mail address or phone number; nothing was written: merge the two contacts in the CRM, then resend"
	case x.Owner != "":
		o.Detail = crm.Taken(o.other, x.Owner)
	case c.Op == opUpsert && !a.final(crm.CodeContactExists):
		return a.wait(crm.CodeContactExists, "contact "+o.other+" has the e-mail address or phone number; it is looked up again, because the CRM's search lags"), true
	}
	if a.Link.Contact != "" {
		o.Detail += "; the contact of this lead is " + a.Link.Contact
	}
	return o, true
}
