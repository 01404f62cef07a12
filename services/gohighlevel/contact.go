package gohighlevel

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
)

const (
	// lookAgain times the attempts made is the pause before a contact that the CRM's search did not find is looked up again: the
	// search lags behind writes by seconds. After looks attempts the contact counts as missing.
	lookAgain = 2 * time.Second
	looks     = 3
	// freshFor is how long a key that was written counts as its lead's whatever the search says.
	freshFor = time.Minute
	// busyFor is how long a lead waits for another with the same key that is being written.
	busyFor = time.Second
)

// find looks for the contact of a lead by its keys and plans the calls for it; gone is the contact that was linked and is not there any
// more. ok is false when the attempt ends here, as the outcome says. The request that changes something is sent only after the link
// is committed, so that no other lead gets the same contact meanwhile.
func (w *worker) find(ctx context.Context, stopping <-chan struct{}, j *job, gone string) (o effect.Outcome, ok bool) {
	rounds := []effect.Keys{j.state.FindBy()}
	if gone != "" && j.state.Keys != (effect.Keys{}) && j.state.Keys != rounds[0] {
		rounds = slices.Insert(rounds, 0, j.state.Keys) // what the CRM was told; the command may bring new ones
	}
	for _, keys := range rounds {
		found := map[string]*effect.Contact{}
		for _, k := range []struct{ name, value string }{{"email", keys.Email}, {"phone", keys.Phone}} {
			if c, held := j.held[k.name]; held {
				found[k.name] = &c
				continue
			}
			if k.value == "" {
				continue
			}
			_, o = w.call(ctx, stopping, j, effect.Lookup(j.state.Location, k.name, k.value))
			switch {
			case o.Verdict != effect.VerdictDone && o.Code != effect.CodeContactUnknown:
				return o, false
			case o.Found != nil && o.Found.ID == gone:
				return wait(j, effect.CodeContactGone, "the contact is gone, and the CRM's search does not show it yet"), false
			}
			found[k.name] = o.Found
		}
		id, code, detail, sure := effect.Match(keys, found["email"], found["phone"])
		if !sure {
			return w.doubtful(ctx, j, code, detail, found), false
		}
		if id == "" {
			continue
		}
		j.state.Omit = nil
		if c := found["email"]; c != nil && !effect.SureSame(keys, effect.Keys{Email: c.Email}, "email") {
			j.state.Omit = []string{"email"} // it has the address as a second one, and would lose its first
		}
		return w.adopt(ctx, j, id, gone)
	}
	switch {
	case gone != "" && !j.final(effect.CodeContactGone):
		return wait(j, effect.CodeContactGone, "the contact is gone; its keys are looked up again, because the CRM's search lags"), false
	case gone != "":
		return failed(effect.CodeContactDeleted, fmt.Sprintf("contact %s is not in the CRM any more and no other has the keys of lead %s; "+
			"it is not made again: make one in the CRM and resend, or resolve this", gone, leadID(j.effect))), false
	case !j.state.Makes():
		return failed(effect.CodeContactUnknown, "no contact of this lead is known in the CRM, and none has the keys it was written with before"), false
	}
	j.step.Calls = effect.Calls(j.state)
	return effect.Outcome{}, true
}

// wait ends an attempt whose finding may change in a moment.
func wait(j *job, code, detail string) effect.Outcome {
	return effect.Outcome{Verdict: effect.VerdictRetry, Code: code, Detail: detail, After: lookAgain * time.Duration(max(1, j.effect.Attempts))}
}

// final reports whether the attempts before, which ended with code, waited long enough for the search.
func (j *job) final(code string) bool { return j.effect.Code == code && j.effect.Attempts >= looks }

// doubtful ends an attempt that cannot tell which contact is the lead's. If the contact is another lead's, the outcome names that lead.
func (w *worker) doubtful(ctx context.Context, j *job, code, detail string, found map[string]*effect.Contact) effect.Outcome {
	if c := found["phone"]; code == effect.CodeContactTaken && c != nil {
		owner, err := ledger.Owner(ctx, w.pool, j.effect.TenantID, j.state.Location, c.ID, j.local)
		if err != nil {
			return wait(j, codeNotLinked, "a contact was found, and it could not be looked up whose it is")
		}
		if owner != "" {
			detail = effect.Taken(c.ID, owner)
		}
	}
	return failed(code, detail)
}

func failed(code, detail string) effect.Outcome {
	return effect.Outcome{Verdict: effect.VerdictFailed, Code: code, Detail: detail}
}

// adopt links the lead to a contact that was found, unless it is another lead's.
func (w *worker) adopt(ctx context.Context, j *job, id, gone string) (effect.Outcome, bool) {
	j.state.ContactID, j.state.Known, j.state.Adopt = id, nil, gone == ""
	j.step.Calls = effect.Calls(j.state)
	owner, err := "", error(nil)
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		link := ledger.SaveLink
		if gone == "" {
			link = ledger.Adopt
		}
		owner, err = link(ctx, tx, j.effect.TenantID, j.state.Location, j.local, id)
		if err == nil && owner != "" && slices.Contains(j.person, owner) {
			err = j.goOnWith(ctx, tx, owner, gone)
			owner = ""
		}
		if err != nil || owner != "" {
			return err
		}
		j.version, err = ledger.Forget(ctx, tx, j.effect.TenantID, j.state.Location, j.local, written(j.step.Calls)...)
		return err
	})
	switch {
	case err != nil:
		return wait(j, codeNotLinked, "the contact was found and could not be linked; nothing was written"), false
	case owner != "":
		return failed(effect.CodeContactTaken, effect.Taken(id, owner)), false
	}
	j.adopted = j.state.Adopt
	return effect.Outcome{}, true
}

// goOnWith carries an effect out on the contact of another lead who is the same person, such as where the CRM merged the two contacts as well.
// The link to a contact that is gone ends, so that the next effect goes to that contact at once.
func (j *job) goOnWith(ctx context.Context, tx pgx.Tx, lead, gone string) error {
	if gone != "" {
		if err := ledger.Unlink(ctx, tx, j.effect.TenantID, j.state.Location, j.local, gone); err != nil {
			return err
		}
	}
	j.local, j.state.Adopt = lead, false
	j.step.Calls = effect.Calls(j.state)
	return nil
}

// codeNotLinked ends an attempt whose contact could not be linked, because the database is away or another lead was faster.
const codeNotLinked = "not_linked"

// refusedFor explains a refusal that names another contact, and decides whether it is final: a contact that was made a moment ago is
// found by the search a little later.
func (w *worker) refusedFor(ctx context.Context, j *job, call effect.Call, o effect.Outcome) effect.Outcome {
	owner, err := ledger.Owner(ctx, w.pool, j.effect.TenantID, j.state.Location, o.Other, j.local)
	switch {
	case err != nil:
		return wait(j, codeNotLinked, "the CRM refused, and it could not be looked up whose contact it names")
	case slices.Contains(j.person, owner):
		o.Detail = "contact " + o.Other + " of lead " + owner + ", who is the same person by a merge, has the e-mail address or phone number; nothing was written: merge the two contacts in the CRM, then resend"
	case owner != "":
		o.Detail = effect.Taken(o.Other, owner)
	case call.Endpoint == effect.EndpointUpsert && !j.final(effect.CodeContactExists):
		return wait(j, effect.CodeContactExists, "contact "+o.Other+" has the e-mail address or phone number; it is looked up again, because the CRM's search lags")
	}
	if j.state.ContactID != "" {
		o.Detail += "; the contact of this lead is " + j.state.ContactID
	}
	return o
}

// claims keeps the keys of an upsert without a known contact from other leads until it has ended. Where another lead has such a key, the
// search may not show it yet: a linked one counts as found, and one that is being written is waited for.
func (w *worker) claims(ctx context.Context, tx pgx.Tx, j *job) (held map[string]effect.Contact, busy string, err error) {
	s := j.state
	names := s.FindBy().Claims()
	keys := make([]string, 0, len(names))
	for _, k := range names {
		keys = append(keys, k)
	}
	others, err := ledger.ClaimAll(ctx, tx, j.effect.TenantID, s.Location, j.local, keys, 2*w.lease())
	if err != nil {
		return nil, "", err
	}
	held = map[string]effect.Contact{}
	for name, k := range names {
		h, is := others[k]
		switch {
		case !is:
		case h.Contact != "" && effect.SureSame(s.FindBy(), h.Keys, name):
			held[name] = effect.Contact{ID: h.Contact, Email: h.Keys.Email, Phone: h.Keys.Phone}
		default:
			busy = "lead " + h.Lead + " with the same " + strings.Replace(name, "email", "e-mail address", 1) + " was or is being written"
		}
	}
	return held, busy, nil
}

// save writes the link and what the contact is known to hold after an upsert that was carried out.
func (w *worker) save(ctx context.Context, tx pgx.Tx, j *job, contact string) error {
	e, loc := j.effect, j.state.Location
	owner, err := ledger.SaveLink(ctx, tx, e.TenantID, loc, j.local, contact)
	if err == nil && owner != "" {
		err = fmt.Errorf("contact %s was given to %s meanwhile", contact, effect.Holder(owner))
	}
	if err == nil {
		err = ledger.Learn(ctx, tx, e.TenantID, loc, j.local, j.version, j.wrote)
	}
	if err == nil {
		var keys []string
		for _, k := range (effect.Keys{Email: j.wrote["email"], Phone: j.wrote["phone"]}).Claims() {
			keys = append(keys, k)
		}
		_, err = ledger.ClaimAll(ctx, tx, e.TenantID, loc, j.local, keys, freshFor)
	}
	if err == nil {
		err = ledger.Named(ctx, tx, e.TenantID, loc, j.local, e.Envelope.Fact, j.state.Named())
	}
	return err
}

func written(calls []effect.Call) []string {
	var out []string
	for _, c := range calls {
		for name := range c.Writes {
			out = append(out, name)
		}
	}
	return out
}
