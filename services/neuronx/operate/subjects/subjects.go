package subjects

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/events"
	"github.com/neuronx/engine/services/projector"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// Side is what a subject has.
type Side struct {
	Subject   string     `json:"subject"`
	Into      string     `json:"into,omitempty"` // the subject that it is by now
	Instances []Instance `json:"instances"`      // of workflows, that live
	Claims    []Claim    `json:"claims"`         // that hold
	Granted   []string   `json:"granted"`        // channels over which it may be reached
	Revoked   []string   `json:"revoked"`        // channels over which it may not be reached
	Sends     int        `json:"sends"`          // messages that count against caps
}

// Instance is an instance of a workflow.
type Instance struct {
	ID       string    `json:"id"`
	Workflow string    `json:"workflow"`
	Started  time.Time `json:"started"`
}

// Claim says who has the subject, of a pool.
type Claim struct {
	Pool   string `json:"pool"`
	Member string `json:"member"`
}

// Plan is what a verb would do.
type Plan struct {
	Sides   []Side   `json:"sides"`             // the first, and what the second is by now
	Remains []string `json:"remains,omitempty"` // what an unmerge does not take apart
}

// Reasons in words, by their codes.
var reasons = map[string]string{
	alias.Malformed:   "a subject is a kind and an id, such as lead/7",
	alias.OtherKind:   "they are of two kinds",
	alias.Same:        "they are one already",
	alias.Cycle:       "the second is the first already: the merge would be a circle",
	alias.MergedOnce:  "the first was merged into another subject before; take that merge back first",
	alias.TooLong:     fmt.Sprintf("more than %d merges would stand one behind the other", alias.MaxChain),
	alias.NotMerged:   "the first was not merged into any subject",
	alias.OtherTarget: "the first was merged into another subject than that",
}

// refused is the error about what can't be.
func refused(verb, from, into, code string) error {
	return &operate.Error{Kind: operate.KindFailed, What: fmt.Sprintf("%s can't be %s %s", from, verb, into), Why: cmp.Or(reasons[code], code), Code: event.Code(code)}
}

// Merging is what a merge would join. What can't be merged is an error.
func Merging(ctx context.Context, env *operate.Env, tenant, from, into string) (Plan, error) {
	for _, s := range []string{from, into} {
		if word, id, ok := strings.Cut(s, "/"); !ok || word == "" || id == "" {
			return Plan{}, operate.Usage("%q is not a subject", s).Hint("a subject is a kind and an id, such as lead/7")
		}
		if err := events.Known(ctx, env, tenant, s); err != nil {
			return Plan{}, err
		}
	}
	return ask(ctx, env, tenant, func(store workflows.Store) (Plan, error) {
		edges, err := workflows.Edges(ctx, store, from, into)
		if err != nil {
			return Plan{}, err
		}
		if _, code := edges.Merge(from, into, 0); code != "" {
			return Plan{}, refused("merged into", from, into, code)
		}
		return sides(ctx, store, from, edges.Resolve(into))
	})
}

// Unmerging is what an unmerge would part, and what it would not.
func Unmerging(ctx context.Context, env *operate.Env, tenant, from, into string) (Plan, error) {
	plan, err := ask(ctx, env, tenant, func(store workflows.Store) (Plan, error) {
		edges, err := workflows.Edges(ctx, store, from, into)
		if err != nil {
			return Plan{}, err
		}
		_, was, code := edges.Unmerge(from, into)
		if code != "" {
			return Plan{}, refused("parted from", from, into, code)
		}
		plan, err := sides(ctx, store, from, edges.Resolve(into))
		if err != nil {
			return plan, err
		}
		plan.Remains, err = remains(from, was)
		return plan, err
	})
	if err != nil {
		return plan, err
	}
	crm, err := inCRM(ctx, env, tenant, from, into)
	plan.Remains = append(plan.Remains, crm...)
	return plan, err
}

// remains lists what an unmerge of a subject leaves as the merge made it: what the rules joined, and what read models took in since.
func remains(from string, e alias.Edge) ([]string, error) {
	kind, _, _ := alias.Kind(from)
	views, err := projector.RowsOf(kind)
	out := e.Joined.Remains()
	for _, v := range views {
		out = append(out, fmt.Sprintf("what came about %s after the merge (sequence %d) is in the row of the second in %s", from, e.Sequence, v))
	}
	return out, err
}

// ask reads what the rules service keeps of a tenant's workflows.
func ask[T any](ctx context.Context, env *operate.Env, tenant string, query func(workflows.Store) (T, error)) (T, error) {
	var refusal *operate.Error // which is no failure to read
	answer, err := operate.Ask(ctx, env, "read what the rules service keeps of the subjects", func(pool *pgxpool.Pool) (T, error) {
		answer, err := query(workflowstore.New(pool, 1).Tenant(tenant))
		if errors.As(err, &refusal) {
			err = nil
		}
		return answer, err
	})
	if refusal != nil {
		err = refusal
	}
	return answer, err
}

func sides(ctx context.Context, store workflows.Store, subjects ...string) (p Plan, err error) {
	for _, s := range subjects {
		side, err := sideOf(ctx, store, s)
		if err != nil {
			return p, err
		}
		p.Sides = append(p.Sides, side)
	}
	return p, nil
}

func sideOf(ctx context.Context, store workflows.Store, subject string) (Side, error) {
	s := Side{Subject: subject, Instances: []Instance{}, Claims: []Claim{}, Granted: []string{}, Revoked: []string{}}
	edge, _, err := store.Alias(ctx, subject)
	if err != nil {
		return s, err
	}
	s.Into = edge.Into
	for _, key := range alias.Keys(subject) {
		refs, err := store.LivingOf(ctx, key)
		if err != nil {
			return s, err
		}
		for _, r := range refs {
			s.Instances = append(s.Instances, Instance{ID: r.ID, Workflow: r.Workflow, Started: r.Started.UTC()})
		}
		claims, err := store.ClaimsOf(ctx, key)
		if err != nil {
			return s, err
		}
		for _, pool := range slices.Sorted(maps.Keys(claims)) {
			if c := claims[pool]; c.Of == subject && c.Living(time.Now()) {
				s.Claims = append(s.Claims, Claim{pool, c.Member})
			}
		}
	}
	lead, is := strings.CutPrefix(subject, "lead/")
	if !is {
		return s, nil
	}
	state, err := store.Contact(ctx, lead)
	if err != nil || state == nil {
		return s, err
	}
	var contact reach.Contact
	if err := json.Unmarshal(state, &contact); err != nil {
		return s, fmt.Errorf("read the contact of %s: %w", subject, err)
	}
	for _, channel := range slices.Sorted(maps.Keys(contact.Consents)) {
		switch granted, revoked := contact.Said(channel); {
		case revoked:
			s.Revoked = append(s.Revoked, channel)
		case granted:
			s.Granted = append(s.Granted, channel)
		}
	}
	for _, times := range contact.Sends {
		s.Sends += len(times)
	}
	return s, nil
}
