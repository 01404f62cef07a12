package status

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// maxWorkflows bounds the workflows that `status` and `doctor` name.
const maxWorkflows = 100

// WorkflowTrouble is a workflow with instances in an incident, with overdue timers, or that is off.
type WorkflowTrouble struct{ view.Trouble }

// What says what is the matter with the workflow.
func (w *WorkflowTrouble) What() string {
	var parts []string
	if w.Tripped != "" {
		parts = append(parts, "off: "+w.Tripped)
	}
	if w.Incidents > 0 {
		parts = append(parts, operate.Plural(int(w.Incidents), "instance")+" in an incident")
	}
	if w.Overdue > 0 {
		parts = append(parts, fmt.Sprintf("%s not fired, the oldest was due %s", operate.Plural(int(w.Overdue), "timer"), w.Oldest.Format("2006-01-02T15:04:05Z")))
	}
	return strings.Join(parts, "; ")
}

// Next is the command that helps. Timers that do not fire are the worst of it: everything waits for them.
func (w *WorkflowTrouble) Next() string {
	switch {
	case w.Overdue > 0:
		return "neuronx stalled list --consumer rules --tenant " + w.Tenant
	case w.Tripped != "":
		return fmt.Sprintf("neuronx rules reset %s --tenant %s", w.Workflow, w.Tenant)
	}
	return fmt.Sprintf("neuronx workflows list --tenant %s --workflow %s --state incident", w.Tenant, w.Workflow)
}

// Workflows lists workflows in trouble by tenant and name, at most 100; more says how many others there are.
func Workflows(ctx context.Context, pool *pgxpool.Pool) (list []WorkflowTrouble, more int, err error) {
	found, all, err := view.Troubles(ctx, pool, maxWorkflows)
	if err != nil {
		return nil, 0, err
	}
	return operate.Each(found, func(t view.Trouble) WorkflowTrouble { return WorkflowTrouble{t} }), all - len(found), nil
}
