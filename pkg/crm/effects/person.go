package effects

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
)

// merge folds a merge of two subjects or takes one back. One that can't be changes nothing; the rules service tells the log of it.
func (h *handler) merge(ctx context.Context, tx pgx.Tx, r *event.Recorded) error {
	data, err := h.decoder.Decode(ctx, r)
	if err != nil {
		return err
	}
	from, _ := data["from"].(string) // as it came: what holds something else is no subject
	into, _ := data["into"].(string)
	attrs := []any{"tenant", r.TenantID, "from", from, "into", into, "event_id", r.ID}
	var code string
	if r.Type == alias.TypeMerged {
		code, err = h.ledger.Merge(ctx, tx, r.TenantID, from, into, r.Sequence)
	} else {
		var remains []string
		if remains, err = h.ledger.Remains(ctx, tx, r.TenantID, from, into); err != nil {
			return err
		}
		code, err = h.ledger.Unmerge(ctx, tx, r.TenantID, from, into)
		for _, what := range remains {
			h.log.Warn("an unmerge does not take everything apart in the CRM: look at the contact there", append(attrs, "remains", what)...)
		}
	}
	if err == nil && code != "" {
		h.log.Info("a merge or unmerge of subjects can't be, and changes nothing", append(attrs, "type", r.Type, "code", code)...)
	}
	if err == nil && h.wake != nil {
		h.wake() // effects may have become the next of their lane
	}
	return err
}

// used notes that the contact of another lead of the same person was written to. Only what the log tells counts, so that a later unmerge comes
// out the same in a ledger that is refilled.
func (h *handler) used(ctx context.Context, tx pgx.Tx, r *event.Recorded, lead, contact string) error {
	if any, err := h.ledger.AnyMerged(ctx, tx, r.TenantID); err != nil || !any {
		return err
	}
	ten, err := h.ledger.LoadTenant(ctx, tx, r.TenantID)
	if err != nil || !ten.Connected || ten.Connection.Sequence > r.Sequence {
		return err
	}
	return h.ledger.Used(ctx, tx, r.TenantID, ten.Connection.Location, contact, lead)
}

const (
	typeConsent = "consent.changed"
	typeErased  = "subject.erased"

	maxChannel = 256 // bytes; a longer one is no channel of a message, and what it revokes counts for all
)

// consent folds what is said of contact with a person. What was imported or backfilled may revoke, and grants nothing.
func (h *handler) consent(ctx context.Context, tx pgx.Tx, r *event.Recorded) error {
	if r.Type == typeErased {
		lead, is := strings.CutPrefix(r.Subject, "lead/")
		if !is || len(lead) > crm.MaxLeadID {
			return nil
		}
		return h.ledger.Revoke(ctx, tx, r.TenantID, lead, crm.AnyChannel, crm.CodeErased, happened(r), r.Sequence)
	}
	data, err := h.decoder.Decode(ctx, r)
	if err != nil {
		return err
	}
	lead, channel := text(data, "lead_id"), text(data, "channel")
	granted, _ := data["granted"].(bool)
	switch {
	case len(lead) > crm.MaxLeadID: // no command of such a lead is carried out
		return nil
	case !granted && len(channel) > maxChannel:
		channel = crm.AnyChannel
	case granted && (!crm.Reaches(r.Origin) || len(channel) > maxChannel):
		return nil
	}
	if granted {
		return h.ledger.Grant(ctx, tx, r.TenantID, lead, channel, happened(r), r.Sequence)
	}
	return h.ledger.Revoke(ctx, tx, r.TenantID, lead, channel, crm.CodeRevoked, happened(r), r.Sequence)
}

// people are whom some effects are about.
type people struct {
	edges alias.Aliases
	of    map[string]crm.Person // by the lead that a command names
	leads []string              // all that they are
	said  []crm.Said            // where an effect reaches a person
}

// persons finds who the leads of some effects are by now, and what was said of contact with them.
func persons(ctx context.Context, q ledger.Querier, book ledger.Ledger, tenant string, due []ledger.Effect) (p people, err error) {
	subjects := make([]string, len(due))
	for i, e := range due {
		subjects[i] = "lead/" + e.Command.LeadID
	}
	if p.edges, err = book.Aliases(ctx, q, tenant, subjects...); err != nil {
		return p, err
	}
	p.of = map[string]crm.Person{}
	reach := false
	for _, e := range due {
		if lead := e.Command.LeadID; p.of[lead] == nil {
			p.of[lead] = crm.PersonOf(p.edges, lead)
			p.leads = append(p.leads, p.of[lead]...)
		}
		reach = reach || crm.ReachesPerson(e.Kind)
	}
	if reach {
		p.said, err = book.Said(ctx, q, tenant, p.leads)
	}
	return p, err
}

// withheld tells why an effect must not reach whom it is about.
func (p people) withheld(e ledger.Effect) (code, why string) {
	if !crm.ReachesPerson(e.Kind) {
		return "", ""
	}
	return crm.Withheld(e.Command, e.Sequence, p.of[e.Command.LeadID], func(lead string) (last int64) {
		at := "lead/" + lead
		for range alias.MaxChain {
			if edge, merged := p.edges[at]; merged {
				last, at = max(last, edge.Sequence), edge.Into
			}
		}
		return last
	}, p.said)
}

// local is the lead by whose link an effect is carried out.
func local(p crm.Person, lead string, links map[string]crm.Link) string {
	return p.Local(lead, func(one string) bool { return links[one].Contact != "" }, func(one string) bool { return links[one].Keys != (crm.Keys{}) })
}

// of tells on whose contact an effect is carried out, where that is not the one of the lead that the command names.
func (j *job) of() string {
	if lead := leadID(j.effect); j.local != lead {
		return "on the contact of lead " + j.local + ", who is the same person as lead " + lead + " by a merge"
	}
	return ""
}
