package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/effects"
	"github.com/neuronx/engine/services/neuronx/operate/status"
	"github.com/neuronx/engine/services/projector"
)

const adminHelp = "URLs of the processes' admin ports, comma-separated (default: dev's)"

func (c *cli) status() *cobra.Command {
	var admin []string
	cmd := &cobra.Command{
		Use: "status", Short: "Processes, groups, lag, stalled tenants, outbox, effects", Args: noArgs,
		Long: `Show what every part of the engine says: whether processes are ready and what they wait for, groups and their lag, stalled tenants
with the command that retries them, outbox, effects, tenants whose CRM refuses them or does not answer, and dead letters. What could not be asked is shown as not known.

Exit 0: all was asked, and nothing is wrong. Exit 1: a process is not ready or keeps losing what it needs, nobody reads a group, a tenant is stalled, its
CRM refuses it or does not answer, or timers of workflows do not fire. Exit 3: a part could not be asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := status.Read(cmd.Context(), c.env, admin)
			if err != nil {
				return err
			}
			if err := c.showStatus(o); err != nil {
				return err
			}
			return o.Err()
		},
	}
	cmd.Flags().StringSliceVar(&admin, "admin", nil, adminHelp)
	return cmd
}

func (c *cli) showStatus(o status.Overview) error {
	if c.format == formatJSON {
		return c.json(o)
	}
	if err := c.showProcesses(o.Processes); err != nil {
		return err
	}
	if o.Groups == nil {
		printf(c.out, "groups:        %s\n", notKnown)
	} else if err := show(c, o.Groups, []string{"GROUP", "STATE", "MEMBERS", "LAG"}, func(g status.Group) []any {
		return []any{g.Group, dash(g.State), orUnknown(int64(g.Members)), orUnknown(g.Lag)}
	}); err != nil {
		return err
	}
	printf(c.out, "\ntenants:       %s\n", summary(o.Tenants))
	sayEach(c, "rebuilds", o.Rebuilds, "none", func(r projector.Rebuild) (what, next string) {
		what = fmt.Sprintf("%s of %s: built by %s, not by the newest; waits for a projector with the newest", operate.Plural(int(r.Tenants), "tenant"), r.Consumer, r.Why)
		if r.Building {
			what = fmt.Sprintf("%s of %s: being built again for %s", operate.Plural(int(r.Tenants), "tenant"), r.Consumer, r.Why)
		}
		return what, "neuronx projections list"
	})
	sayEach(c, "rules", o.Rules, "none off, none cut, none failing", func(r status.RuleTrouble) (what, next string) {
		return fmt.Sprintf("%s of %s: %s", r.Rule, r.Tenant, r.What()), r.Next() + r.Further("; ")
	})
	sayEach(c, "workflows", o.Workflows, "none off, no incident, no overdue timer", func(w status.WorkflowTrouble) (what, next string) {
		return fmt.Sprintf("%s of %s: %s", w.Workflow, w.Tenant, w.What()), w.Next()
	})
	printf(c.out, "effects:       %s\n", summary(o.Effects))
	sayEach(c, "CRM", o.CRM, "no tenant waits for its CRM", func(p ledger.Paused) (what, next string) { return status.PausedWhat(p), status.PausedNext(p) })
	for _, p := range o.Pauses {
		c.say("paused", fmt.Sprintf("%s since %s, %s", effects.ScopeText(p.Scope), stamp(p.Since), strings.TrimPrefix(p.Text(), "paused ")), "neuronx effects resume")
	}
	printf(c.out, "dead letters:  %s\n", strings.Replace(summary(o.DeadLetter), "none", "none open", 1))
	for _, r := range o.Refused {
		c.say("refused", fmt.Sprintf("%s of %s at HTTP: %s", operate.Plural(int(r.Requests), "request"), r.Tenant, r.Reason), "neuronx tenant suspend "+r.Tenant)
	}
	sayEach(c, "outbox", o.Outbox, "empty", func(r status.Outbox) (what, next string) {
		return fmt.Sprintf("%s %d rows, oldest %.0f s", r.Deriver, r.Rows, r.Oldest), ""
	})
	if len(o.Stalled) == 0 {
		sayEach(c, "stalled", o.Stalled, "none", nil)
		return nil
	}
	printf(c.out, "\n")
	err := show(c, o.Stalled, []string{"STALLED", "GENERATION", "TENANT", "SEQUENCE", "REASON", "NEXT"}, func(r status.Stalled) []any {
		return []any{r.Consumer, r.Generation, r.Tenant, r.Sequence, c.errorCell(r.Reason), r.Next()}
	})
	for i := range o.Stalled {
		r := &o.Stalled[i]
		c.whole(r.Tenant+" in "+r.Consumer, operate.Brief(r.Reason), r.Next())
	}
	return err
}

func (c *cli) showProcesses(rows []status.Process) error {
	if rows == nil {
		printf(c.out, "processes:     %s; name their admin ports with --admin\n\n", notKnown)
		return nil
	}
	err := show(c, rows, []string{"PROCESS", "READY", "WAITS FOR"}, func(p status.Process) []any {
		ready := "no"
		switch {
		case !p.Answers:
			ready = "?"
		case p.Ready:
			ready = "yes"
		}
		waits := strings.Join(p.Waits(), "; ")
		if waits == "" {
			waits = c.errorCell(p.Detail)
		}
		if lost, _ := p.Lost(); waits == "" && len(lost) > 0 {
			waits = "nothing now; " + strings.Join(lost, "; ")
		}
		return []any{p.URL, ready, dash(waits)}
	})
	printf(c.out, "\n")
	return err
}

// summary of nil is not known: nobody could be asked.
func summary(m map[string]int64) string {
	if m == nil {
		return notKnown
	}
	if len(m) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[name], name))
	}
	return strings.Join(parts, ", ")
}

// sayEach says a sentence, and the command that helps, of each row; rows that are nil are not known.
func sayEach[T any](c *cli, label string, rows []T, none string, of func(T) (what, next string)) {
	if rows == nil {
		none = notKnown
	}
	if len(rows) == 0 {
		printf(c.out, "%-*s%s\n", labelWidth, label+":", none)
	}
	for _, r := range rows {
		what, next := of(r)
		c.say(label, what, next)
	}
}
