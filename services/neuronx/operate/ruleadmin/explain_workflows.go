package ruleadmin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/explain"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// InstanceQuestion is which instances are to be explained. Exactly one of Instance and Subject is set.
type InstanceQuestion struct {
	Tenant   string
	Instance string // id
	Subject  string // that started them, or the lead whom they reach
	Personal bool
}

// Bounds of an answer about instances.
const (
	MaxInstances = 20
	maxSteps     = 500     // of an instance, the oldest
	maxRefold    = 200_000 // events of the tenant that are folded again
)

// ExplainInstances says what instances of workflows did and why: from the log what was done, and worked out again what conditions came to and whom
// pools chose among. Newest first.
func ExplainInstances(ctx context.Context, env *operate.Env, q InstanceQuestion) ([]*explain.Instance, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	reg, err := env.Registry()
	if err != nil {
		return nil, err
	}
	what := "explain " + q.Instance + q.Subject
	r := recording{tenant: q.Tenant, env: env, pool: pool, archive: archive.NewReader(pool), personal: q.Personal}
	found, err := r.instances(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, in := range found {
		if err := r.steps(ctx, in, reg); err != nil {
			return nil, operate.Fail(what, err)
		}
	}
	if q.Instance != "" && len(found[0].Steps) == 0 && found[0].Status == "" {
		return nil, env.NotArchived(ctx, q.Tenant, "no instance "+q.Instance, "", "`neuronx workflows explain --tenant "+q.Tenant+" --subject lead/42` finds those of a lead")
	}
	if err := r.refold(ctx, found, reg, q.Personal); err != nil {
		return nil, operate.Fail(what, err)
	}
	return found, nil
}

// instances reads where the instances stand. One that is not kept any more is known by its history alone.
func (r *recording) instances(ctx context.Context, q InstanceQuestion) ([]*explain.Instance, error) {
	lead, is := strings.CutPrefix(q.Subject, "lead/")
	if !is {
		lead = ""
	}
	rows, err := view.KeptOf(ctx, r.pool, r.tenant, q.Instance, q.Subject, lead, MaxInstances+1)
	if err != nil {
		return nil, operate.Fail("find the instances", err)
	}
	if len(rows) > MaxInstances {
		rows = rows[:MaxInstances]
		r.env.Note("these are the newest %d instances; there are more", MaxInstances)
	}
	if len(rows) == 0 && q.Instance != "" {
		in := explain.Gone(r.tenant, q.Instance)
		in.Notes = append(in.Notes, "its row is gone, as 30 days after an end: this is its history in the log")
		return []*explain.Instance{&in}, nil
	}
	texts := map[int64]*ruleset.Set{}
	out := []*explain.Instance{}
	for _, k := range rows {
		p, err := r.text(ctx, texts, k.Bundle, k.Workflow)
		if err != nil {
			return nil, operate.Fail("read the text that instance "+k.ID+" runs by", err)
		}
		in, err := explain.Stands(r.tenant, explain.Row{ID: k.ID, State: k.State, Personal: k.Personal}, p, q.Personal)
		if err != nil {
			return nil, operate.Fail("read instance "+k.ID, err)
		}
		if p == nil {
			in.Notes = append(in.Notes, "the text that it runs by is not there, or does not compile here: what ends it is not told")
		}
		out = append(out, &in)
	}
	return out, nil
}

// text is the text of a workflow in a bundle; nil: it is not there.
func (r *recording) text(ctx context.Context, texts map[int64]*ruleset.Set, bundle int64, workflow string) (*flow.Program, error) {
	set, done := texts[bundle]
	if !done {
		var semantics int64
		var text []byte
		found, err := r.env.Row(ctx, "read a bundle", []any{&semantics, &text}, `SELECT semantics, files FROM neuronx.rule_bundles WHERE tenant_id = $1 AND sequence = $2`, r.tenant, bundle)
		if err != nil {
			return nil, err
		}
		if found {
			var files []ruleset.File
			if err := json.Unmarshal(text, &files); err != nil {
				return nil, fmt.Errorf("read the bundle at %d: %w", bundle, err)
			}
			set, _ = ruleset.CompileFor(semantics, files, nil)
		}
		texts[bundle] = set
	}
	if set == nil {
		return nil, nil
	}
	return set.Workflow(workflow), nil
}

// steps reads what an instance did, and what came of it.
func (r *recording) steps(ctx context.Context, in *explain.Instance, reg rules.Registry) error {
	about := []string{"instance/" + in.ID}
	for next, read := int64(1), 0; ; {
		page, err := r.archive.About(ctx, r.tenant, about, next, math.MaxInt64, explainPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		if err := in.Read(ctx, reg, page); err != nil {
			return err
		}
		next, read = page[len(page)-1].Sequence+1, read+len(page)
		if read >= maxSteps {
			in.Notes = append(in.Notes, fmt.Sprintf("it has more than %d events; what it did after sequence %d is not told", read, next-1))
			break
		}
	}
	causes, err := archive.ToldAt(ctx, r.pool, r.tenant, in.Causes())
	if err != nil {
		return err
	}
	for _, c := range causes {
		var happened time.Time
		if c.Time != nil {
			happened = *c.Time
		}
		in.Caused(c.Sequence, c.EventID, c.Type, happened, c.RecordedTime)
	}
	return r.outputs(ctx, in)
}

// outputs reads what became of what an instance derived.
func (r *recording) outputs(ctx context.Context, in *explain.Instance) error {
	ids := in.Emitted()
	if len(ids) == 0 {
		return nil
	}
	on := explain.Record{ByID: map[string]event.Recorded{}, Waiting: map[string]bool{}, Effects: map[string]explain.Effect{}}
	waiting, err := outbox.Waits(ctx, r.pool, r.tenant, rules.Deriver, ids...)
	if err != nil {
		return err
	}
	for _, id := range waiting {
		on.Waiting[id] = true
	}
	if on.Refused, err = r.refused(ctx, ids); err != nil {
		return err
	}
	found, err := r.archive.OfIDs(ctx, r.tenant, ids, maxCaused)
	if err != nil {
		return err
	}
	var commands []string
	for _, rec := range found {
		on.ByID[rec.ID] = rec
		if strings.HasPrefix(rec.Type, "crm.") && strings.HasSuffix(rec.Type, ".requested") {
			commands = append(commands, rec.ID)
		}
	}
	var e explain.Event // takes the notes
	if len(commands) > 0 {
		if err := r.commands(ctx, &e, &on, commands, found[0].Sequence); err != nil {
			return err
		}
	}
	in.Notes = append(in.Notes, e.Notes...)
	in.Came(on)
	return nil
}

// recall finds an event in the archive; nil: it has none of that sequence.
func (r *recording) recall(ctx context.Context, sequence int64) (*event.Recorded, error) {
	found, err := stream.Next(ctx, r.archive, r.tenant, sequence, 1)
	if err != nil || len(found) == 0 || found[0].Sequence != sequence {
		return nil, err
	}
	return &found[0], nil
}

// refold works out again what conditions came to. Pools and caps depend on all that the tenant did: if that is too much, or takes more than half of
// the time that there is, it is left out, and said: what is on record is told in any case.
func (r *recording) refold(ctx context.Context, found []*explain.Instance, reg rules.Registry, personal bool) error {
	f := explain.NewRefold(r.tenant, reg, found, personal)
	f.Recall = r.recall
	assigns, err := assigns(ctx, r.env, r.tenant)
	if err != nil {
		return err
	}
	if assigns {
		f.WithRules()
	}
	through := f.Through()
	if through == 0 {
		return nil
	}
	if through > maxRefold {
		for _, in := range found {
			in.Notes = append(in.Notes, fmt.Sprintf("values of conditions and members of pools are not told: they depend on %d events of the tenant, and at most %d are folded again", through, maxRefold))
		}
		return nil
	}
	skipped, err := consumer.Skips(ctx, r.pool, kafka.GroupRules, r.tenant)
	if err != nil {
		return fmt.Errorf("read what the rules skipped: %w", err)
	}
	applied, whole, err := refoldWithin(ctx, r.archive, f, r.tenant, through, skipped)
	if err != nil {
		return err
	}
	if !whole {
		for _, in := range found {
			in.Notes = append(in.Notes, fmt.Sprintf("values of conditions and members of pools are told up to sequence %d only: working them out from %d events of the tenant takes longer than half of --timeout; raise it", applied, through))
		}
	}
	if err := f.Judge(ctx, applied); err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b *explain.Instance) int { return len(b.Alarms) - len(a.Alarms) })
	return nil
}

// refoldWithin folds a tenant's events up to a sequence in half of the time that is left, so that the other half tells what is on record. applied is
// how far it came; whole is false if the time was over before.
func refoldWithin(ctx context.Context, source stream.Source, f *explain.Refold, tenant string, through int64, skipped map[int64]bool) (applied int64, whole bool, err error) {
	within, cancel := context.WithCancel(ctx)
	if end, bounded := ctx.Deadline(); bounded {
		cancel()
		within, cancel = context.WithTimeout(ctx, time.Until(end)/2)
	}
	defer cancel()
	err = stream.Fold(within, source, tenant, 1, through, func(e *event.Recorded) error {
		if !skipped[e.Sequence] {
			if err := f.Apply(within, e); err != nil {
				return err
			}
		}
		applied = e.Sequence
		return nil
	})
	switch {
	case err == nil || errors.Is(err, stream.ErrEnded):
		return applied, true, nil
	case within.Err() != nil && ctx.Err() == nil:
		return applied, false, nil
	}
	return applied, false, err
}
