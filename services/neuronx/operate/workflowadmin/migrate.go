package workflowadmin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// Migration is what letting instances go on by the text in force is about.
type Migration struct {
	Chosen
	To       int64       // version of the rules in force
	Versions []OfVersion // by version: those that are asked for, whether or not the limit leaves some out
}

// OfVersion is how many instances run by an older version, and what would become of those that the plan is about.
type OfVersion struct {
	Version int64 // of the rules that hold their text; 0: they are not kept
	Live    int64
	Would   int
	Refused int
}

// older is a text by which instances run.
type older struct {
	OfVersion
	program *flow.Program // nil: it is not kept, or this build can't compile it
}

// PlanMigration counts the instances of a workflow that run by older versions than the one in force, and foresees what would become of each, oldest
// first, at most limit. from is the only version that is asked for; 0: all. Nothing is asked.
func PlanMigration(ctx context.Context, env *operate.Env, tenant, workflow string, from int64, limit int) (*Migration, error) {
	if err := checkWorkflow(ctx, env, tenant, workflow); err != nil {
		return nil, err
	}
	sequence, err := newest(ctx, env, tenant)
	if err != nil {
		return nil, err
	}
	set, version, err := bundle(ctx, env, tenant, sequence)
	if err != nil {
		return nil, err
	}
	if set == nil || set.Workflow(workflow) == nil {
		return nil, operate.Fail("the rules in force have no workflow "+workflow+" that its instances could go on by", nil).
			Hint("neuronx rules show --tenant %s; its instances go on by the text that they started with", tenant)
	}
	m := &Migration{Chosen: Chosen{Tenant: tenant, Verb: Migrate}, To: version}
	texts, err := m.texts(ctx, env, workflow, sequence)
	if err != nil {
		return nil, err
	}
	f := view.Filter{Tenant: tenant, Workflow: workflow, Statuses: live, Except: sequence, Limit: limit}
	if from != 0 {
		if f.Bundle, err = only(texts, from, version, tenant, workflow); err != nil {
			return nil, err
		}
	}
	list, err := operate.Ask(ctx, env, "list instances", func(pool *pgxpool.Pool) ([]view.Instance, error) { return view.List(ctx, pool, f) })
	if err != nil {
		return nil, err
	}
	for i := range list {
		x := texts[list[i].Bundle]
		if x == nil { // it was moved since they were counted
			x = &older{}
			texts[list[i].Bundle] = x
		}
		o := migrates(&list[i], x.program, set.Workflow(workflow), sequence)
		if o.Result == WouldRefuse {
			x.Refused++
		} else {
			x.Would++
		}
		m.Requests = append(m.Requests, o)
	}
	for bundle, x := range texts {
		if f.Bundle == 0 || f.Bundle == bundle {
			m.All += x.Live
			m.Versions = append(m.Versions, x.OfVersion)
		}
	}
	slices.SortFunc(m.Versions, func(a, b OfVersion) int { return int(a.Version - b.Version) })
	return m, nil
}

// texts reads the texts by which instances run, besides the one in force, by bundle.
func (m *Migration) texts(ctx context.Context, env *operate.Env, workflow string, inForce int64) (map[int64]*older, error) {
	counts, err := operate.Ask(ctx, env, "count instances by version", func(pool *pgxpool.Pool) ([]view.Version, error) { return view.Versions(ctx, pool, m.Tenant, workflow) })
	if err != nil {
		return nil, err
	}
	out := map[int64]*older{}
	for _, v := range counts {
		if v.Bundle == inForce || v.Live == 0 {
			continue
		}
		set, version, err := bundle(ctx, env, m.Tenant, v.Bundle)
		if err != nil {
			return nil, err
		}
		x := &older{OfVersion: OfVersion{Version: version, Live: v.Live}}
		if set != nil {
			x.program = set.Workflow(workflow)
		}
		out[v.Bundle] = x
	}
	return out, nil
}

// only is the bundle of the version that is asked for.
func only(texts map[int64]*older, from, inForce int64, tenant, workflow string) (int64, error) {
	var known []string
	for bundle, x := range texts {
		if x.Version == from {
			return bundle, nil
		}
		known = append(known, strconv.FormatInt(x.Version, 10))
	}
	slices.Sort(known)
	e := operate.Fail(fmt.Sprintf("no instance of %s that lives runs by version %d", workflow, from), nil)
	switch {
	case from == inForce:
		return 0, e.Because("version %d is in force: there is nothing to migrate", from)
	case len(known) == 0:
		return 0, e.Because("all run by version %d, which is in force", inForce)
	}
	return 0, e.Hint("they run by %s; without --from-version all are chosen: neuronx workflows migrate %s --tenant %s", strings.Join(known, ", "), workflow, tenant)
}

// migrates says what would become of an instance that is asked to go on by another text. It is pure.
func migrates(i *view.Instance, from, to *flow.Program, sequence int64) Outcome {
	o := Outcome{Instance: i.ID, Workflow: i.Workflow, Key: i.Key, Task: strings.Join(i.Tasks(), ", "), Result: "would_" + string(Migrate), Status: string(i.Status), due: i.Due(), to: sequence}
	refuse := func(code, detail string) Outcome {
		o.Result, o.Code, o.Detail = WouldRefuse, code, detail
		return o
	}
	switch {
	case i.Unreadable != "": // the rules service could not read it either, and would set the tenant aside
		return refuse(IsUnreadable, i.Unreadable)
	case from == nil:
		return refuse(IsUnreadable, "the text that it runs by is not kept, or this build can't compile it")
	}
	if why := advance.Migratable(from, to, i.State); why != "" {
		return refuse(advance.NotMigratable, why)
	}
	return o
}

// InWords says how many run by a version, and what would become of them.
func (v *OfVersion) InWords() string {
	version := "version " + strconv.FormatInt(v.Version, 10)
	if v.Version == 0 {
		version = "a version that is not kept"
	}
	return fmt.Sprintf("%s: %s; of those listed %d can go on by the new text, and %d can't", version, operate.Plural(int(v.Live), "live instance"), v.Would, v.Refused)
}
