package workflows

import (
	"context"
	"fmt"
	"slices"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
)

// migrate lets an instance go on by the text of its workflow that is in force, if each place at which it rests is one of that text, too: see
// advance.Migratable. It moves no token, opens nothing and arms nothing; a second request finds it there and changes nothing.
func (f *Fold) migrate(ctx context.Context, in Input) (code string, err error) {
	id, _ := in.Data["instance_id"].(string) // the schema has these as required
	to, _ := in.Data["to_version"].(int64)
	renamed, _ := in.Data["tasks"].([]any)
	retime, _ := in.Data["retime"].(bool)
	if len(renamed) > 0 || retime {
		return unsupported, nil
	}
	row, err := f.store.Instance(ctx, id)
	switch {
	case err != nil:
		return "", err
	case row == nil || row.Status.Ended():
		return advance.AlreadyEnd, nil
	case row.Bundle == to:
		return advance.SameVersion, nil
	case f.bundle == nil || f.bundle.Sequence != to:
		return notInForce, nil
	}
	p := f.set().Workflow(row.Workflow)
	if p == nil {
		return unknownFlow, nil
	}
	inst, err := advance.Decode(row.State, row.Personal)
	if err != nil {
		return "", fmt.Errorf("instance %s: %w", id, err)
	}
	from, err := f.program(ctx, inst.Workflow, inst.Bundle)
	if err != nil {
		return "", err
	}
	if why := advance.Migratable(from, p, inst); why != "" {
		return "", f.refuseAs(ctx, in, advance.NotMigratable, why)
	}
	taken, err := f.taken(ctx, p, row)
	if err != nil {
		return "", err
	}
	if taken != "" {
		return "", f.refuseAs(ctx, in, advance.RejectConcurrency, taken)
	}
	return f.advance(ctx, p, inst, in, advance.Stimulus{Kind: advance.Migrate, From: from, Bundle: to})
}

// taken says why an instance can't have the place of a group that a text asks for: one lives for a key, and a migration ends none.
func (f *Fold) taken(ctx context.Context, p *flow.Program, row *Row) (string, error) {
	if p.Concurrency == nil || p.Concurrency.Group == row.Group {
		return "", nil
	}
	others, err := f.store.Grouped(ctx, p.Concurrency.Group, row.Key)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(others, func(r Ref) bool { return r.ID != row.ID }); i >= 0 {
		return fmt.Sprintf("in the new text it is of the group %s, in which the instance %s lives for its key", p.Concurrency.Group, others[i].ID), nil
	}
	return "", nil
}
