package reach

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/flow"
)

// AnyChannel is the channel of a consent or a cap that is about all of them.
const AnyChannel = "*"

// Contact is what is known of how a lead may be reached. It is kept as JSON.
type Contact struct {
	Lead     string                 `json:"lead,omitzero"`     // id
	Zone     string                 `json:"zone,omitzero"`     // IANA name of the lead's own zone; empty: not said
	Consents map[string]Consent     `json:"consents,omitzero"` // by channel, AnyChannel included
	Sends    map[string][]time.Time `json:"sends,omitzero"`    // when commands reached the lead, by channel, oldest first: as many as a cap can ask for
}

// Consent is what was said about a channel. Times are when it was said, not when it was recorded, and each only rises, so the order in which
// events come does not matter. Nothing was said after it was recorded.
type Consent struct {
	Granted  time.Time `json:"granted,omitzero"`  // zero: never
	Basis    string    `json:"basis,omitzero"`    // of that grant
	Revoked  time.Time `json:"revoked,omitzero"`  // zero: never
	Imported time.Time `json:"imported,omitzero"` // a grant that an import or a backfill brought: it never counts against a revocation, however old
	Because  string    `json:"because,omitzero"`  // basis of that grant
}

// Change is one statement about a channel.
type Change struct {
	Lead    string
	Channel string
	Granted bool
	Basis   string
	At      time.Time
	Old     bool // brought by an import or a backfill
}

// Apply gives the contact after a change; the contact itself stays as it was.
func (c Contact) Apply(change Change) Contact {
	channel, fits := c.keeps(change.Channel)
	if !fits && change.Granted {
		return c
	}
	now := c.Consents[channel]
	switch {
	case !change.Granted:
		now.Revoked = later(now.Revoked, change.At)
	case change.Old:
		if change.At.After(now.Imported) || change.At.Equal(now.Imported) && change.Basis > now.Because || now.Imported.IsZero() {
			now.Imported, now.Because = change.At, change.Basis
		}
	case change.At.After(now.Granted) || change.At.Equal(now.Granted) && change.Basis > now.Basis || now.Granted.IsZero():
		now.Granted, now.Basis = change.At, change.Basis
	}
	consents := make(map[string]Consent, len(c.Consents)+1)
	for k, v := range c.Consents {
		consents[k] = v
	}
	consents[channel] = now
	c.Consents = consents
	return c
}

// Bounds of a contact. Anybody who may send events may say what they like about consent, as often as they like, and a contact is read and written with
// each event about its lead: one that grows without end would take the memory of everybody's process.
const (
	MaxChannel  = 64 // bytes of a channel's name
	maxChannels = 32 // of a contact, besides those that a policy can name
	maxBasis    = 200
)

// keeps is the channel under which something said of a channel is kept. Where there are too many channels, or its name is too long, a revocation
// counts for all of them and a grant for none: what can't be kept must reach nobody. fits is false then.
func (c Contact) keeps(channel string) (kept string, fits bool) {
	if _, there := c.Consents[channel]; there || room(channel, len(c.Consents)) {
		return channel, true
	}
	return AnyChannel, false
}

// room reports whether something can be kept of one more channel.
func room(channel string, kept int) bool {
	return channel == AnyChannel || flow.IsChannel(channel) || len(channel) <= MaxChannel && kept < maxChannels
}

// short cuts the basis of a consent to what a person can be shown.
func short(basis string) string {
	if len(basis) <= maxBasis {
		return basis
	}
	return strings.ToValidUTF8(basis[:maxBasis-len("…")], "") + "…"
}

// Forgotten is what stays of a lead who was forgotten at a time: nobody may reach them until they consent again.
func Forgotten(lead string, at time.Time) Contact {
	return Contact{Lead: lead, Consents: map[string]Consent{AnyChannel: {Revoked: at}}}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Said says whether a channel is granted or revoked; neither: nothing was said.
func (c Contact) Said(channel string) (granted, revoked bool) {
	granted, _, revoked = c.consent(channel)
	return granted, revoked
}

// consent says whether a channel is granted or revoked; neither: nothing was said. A grant counts against a revocation only if it is
// later and nobody imported it. What was said about all channels counts as said about this one.
func (c Contact) consent(channel string) (granted bool, basis string, revoked bool) {
	own, all := c.Consents[channel], c.Consents[AnyChannel]
	grant, basis := own.Granted, own.Basis
	if all.Granted.After(grant) {
		grant, basis = all.Granted, all.Basis
	}
	if stop := later(own.Revoked, all.Revoked); !stop.IsZero() {
		if grant.After(stop) {
			return true, basis, false
		}
		return false, "", true
	}
	if grant.IsZero() {
		grant, basis = own.Imported, own.Because
		if all.Imported.After(grant) {
			grant, basis = all.Imported, all.Because
		}
	}
	return !grant.IsZero(), basis, false
}

// maxGrants bounds what one event can say.
const maxGrants = 64

// Changes lists what an event says about consent: consent.changed itself, and the grants of the policy. A grant that can't be evaluated
// gives none; the error says so, and the changes before it count. The error is *expr.EvalError or that of an interrupted evaluation. cost is in units.
func Changes(ctx context.Context, policy *flow.Policy, ev event.Recorded, data map[string]any) (out []Change, cost uint64, err error) {
	at := ev.Time
	if at.IsZero() || at.After(ev.RecordedTime) { // else a grant from a clock that runs ahead, or of the year 9999, would outlast what is revoked after it
		at = ev.RecordedTime
	}
	origin := ev.EffectiveOrigin()
	old := origin == event.OriginImport || origin == event.OriginBackfill
	if ev.Type == "consent.changed" {
		lead, _ := data["lead_id"].(string)
		channel, _ := data["channel"].(string)
		granted, said := data["granted"].(bool)
		basis, _ := data["basis"].(string)
		if lead == "" || channel == "" || !said {
			return nil, 0, nil
		}
		return []Change{{Lead: lead, Channel: channel, Granted: granted, Basis: short(basis), At: at.UTC(), Old: old}}, 0, nil
	}
	if policy == nil {
		return nil, 0, nil
	}
	var vars map[string]any
	for _, g := range policy.Grants {
		if !slices.Contains(g.On, ev.Type) || len(out) == maxGrants {
			continue
		}
		if vars == nil {
			vars = map[string]any{"event": expr.EventVars(ev), "data": expr.Visible(data)}
		}
		if g.When != nil {
			holds, spent, err := g.When.RunBool(ctx, vars)
			cost += spent
			if err != nil {
				return out, cost, fmt.Errorf("grant of %s: %w", g.Channel, err)
			}
			if !holds {
				continue
			}
		}
		lead := data["lead_id"]
		if g.Lead != nil {
			var spent uint64
			lead, spent, err = g.Lead.Run(ctx, vars)
			cost += spent
			if err != nil {
				return out, cost, fmt.Errorf("lead of the grant of %s: %w", g.Channel, err)
			}
		}
		if id, ok := lead.(string); ok && id != "" {
			out = append(out, Change{Lead: id, Channel: g.Channel, Granted: true, Basis: g.Basis, At: at.UTC(), Old: old})
		}
	}
	return out, cost, nil
}
