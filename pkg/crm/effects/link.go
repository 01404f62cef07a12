package effects

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
)

const (
	// freshFor is how long a key that was written counts as its lead's whatever the CRM's search says.
	freshFor = time.Minute
	// busyFor is how long a lead waits for another with the same key that is being written.
	busyFor = time.Second
)

// whose finds out which other lead has a contact.
func (w *worker) whose(ctx context.Context, j *job, contact string) crm.Exchange {
	owner, err := w.ledger.Owner(ctx, w.pool, j.effect.TenantID, j.work.Account, contact, j.local)
	if err != nil {
		return crm.Exchange{Unknown: true}
	}
	return crm.Exchange{Owner: owner, Same: slices.Contains(j.person, owner)}
}

// adopt links the lead to a contact that was found, unless it is another lead's. The request that changes something is sent only after the link is
// committed, so that no other lead gets the same contact meanwhile. Where the contact is that of another lead who is the same person, such as
// where the CRM merged the two contacts as well, the attempt goes on with that lead's link, and the link to a contact that is gone ends, so that the
// next effect goes there at once.
func (w *worker) adopt(ctx context.Context, j *job, contact string) crm.Exchange {
	gone := j.work.Link.Contact
	x, next := crm.Exchange{}, *j
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		link := w.ledger.SaveLink
		if gone == "" {
			link = w.ledger.Adopt
		}
		owner, err := link(ctx, tx, j.effect.TenantID, j.work.Account, j.local, contact)
		x.Owner, x.Same = owner, slices.Contains(j.person, owner)
		if err != nil || owner != "" && !x.Same {
			return err
		}
		next.contact, next.adopted, next.forgot = contact, gone == "" && !x.Same, nil
		if x.Same {
			if gone != "" {
				if err := w.ledger.Unlink(ctx, tx, j.effect.TenantID, j.work.Account, j.local, gone); err != nil {
					return err
				}
			}
			next.local = owner
		}
		then := j.work
		then.Trail = append(slices.Clip(then.Trail), x)
		if call := w.adapter.Next(then).Call; call != nil {
			return w.forget(ctx, tx, &next, *call)
		}
		return nil
	})
	if err != nil {
		return crm.Exchange{Unknown: true}
	}
	*j = next
	return x
}

// forget notes, before the first byte of a call, that what the lead's contact holds in the fields that it writes is no longer known: the answer may
// be lost. Where there is no contact yet, there is nothing to note.
func (w *worker) forget(ctx context.Context, q ledger.Querier, j *job, c crm.Call) (err error) {
	fields := slices.Sorted(maps.Keys(c.Writes))
	fields = slices.DeleteFunc(fields, func(f string) bool { return slices.Contains(j.forgot, f) })
	if len(fields) == 0 || j.contact == "" {
		return nil
	}
	if j.version, err = w.ledger.Forget(ctx, q, j.effect.TenantID, j.work.Account, j.local, fields...); err == nil {
		j.forgot = slices.Concat(j.forgot, fields)
	}
	return err
}

// claims keeps keys from other leads until the attempt has ended. Where another lead has such a key, the CRM's search may not show it yet: a linked
// one counts as found, and one that is being written is waited for.
func (w *worker) claims(ctx context.Context, tx pgx.Tx, j *job, names map[string]string) (held map[string]crm.Contact, busy string, err error) {
	own := crm.Keys{Email: j.work.Command.Email, Phone: j.work.Command.Phone}.Or(j.work.Link.Keys)
	others, err := w.ledger.ClaimAll(ctx, tx, j.effect.TenantID, j.work.Account, j.local, slices.Collect(maps.Values(names)), 2*w.lease())
	if err != nil {
		return nil, "", err
	}
	held = map[string]crm.Contact{}
	for name, k := range names {
		h, is := others[k]
		switch {
		case !is:
		case h.Contact != "" && crm.SureSame(own, h.Keys, name):
			held[name] = crm.Contact{ID: h.Contact, Email: h.Keys.Email, Phone: h.Keys.Phone}
		default:
			busy = "lead " + h.Lead + " with the same " + strings.Replace(name, "email", "e-mail address", 1) + " was or is being written"
		}
	}
	return held, busy, nil
}

// names reads what the members and other objects of an account are called, where an effect names one.
func (w *worker) names(ctx context.Context, q ledger.Querier, tenant, account string, due []ledger.Effect) (map[string]crm.Names, error) {
	if !slices.ContainsFunc(due, func(e ledger.Effect) bool {
		return e.Command.OwnerID+e.Command.Pipeline+e.Command.Stage+e.Command.Automation+e.Command.Field+e.Command.Calendar != ""
	}) {
		return nil, nil
	}
	return w.ledger.Names(ctx, q, tenant, account)
}

// objects reads which ids the objects that effects are about have in the CRM, by kind of object and our ids.
func (w *worker) objects(ctx context.Context, q ledger.Querier, tenant, account string, due []ledger.Effect) (map[string]map[string]string, error) {
	locals := map[string][]string{}
	for _, e := range due {
		if local := e.Command.LocalID(e.Kind); local != "" {
			locals[crm.ObjectOf(e.Kind)] = append(locals[crm.ObjectOf(e.Kind)], local)
		}
	}
	out := map[string]map[string]string{}
	for object, ids := range locals {
		found, err := w.ledger.Objects(ctx, q, tenant, account, object, ids)
		if err != nil {
			return nil, err
		}
		out[object] = found
	}
	return out, nil
}

// learn keeps the names of objects that an attempt has read.
func (w *worker) learn(ctx context.Context, q ledger.Querier, j *job, end crm.End) error {
	for _, object := range slices.Sorted(maps.Keys(end.Learned)) {
		if err := w.ledger.SaveNames(ctx, q, j.effect.TenantID, j.work.Account, object, end.Learned[object]); err != nil {
			return err
		}
	}
	return nil
}

// save writes the link and what the contact is known to hold after an upsert that was carried out.
func (w *worker) save(ctx context.Context, tx pgx.Tx, j *job, end crm.End) error {
	e, account := j.effect, j.work.Account
	owner, err := w.ledger.SaveLink(ctx, tx, e.TenantID, account, j.local, end.RemoteID)
	if err == nil && owner != "" {
		err = fmt.Errorf("contact %s was given to %s meanwhile", end.RemoteID, crm.Holder(owner))
	}
	if err == nil {
		err = w.ledger.Learn(ctx, tx, e.TenantID, account, j.local, j.version, end.Wrote)
	}
	if err == nil {
		keys := crm.Keys{Email: end.Wrote["email"], Phone: end.Wrote["phone"]}.Claims()
		_, err = w.ledger.ClaimAll(ctx, tx, e.TenantID, account, j.local, slices.Collect(maps.Values(keys)), freshFor)
	}
	if err == nil {
		err = w.ledger.Named(ctx, tx, e.TenantID, account, j.local, e.Envelope.Fact, end.Named)
	}
	return err
}
