package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/gohighlevel/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
	"github.com/neuronx/engine/services/projector"
)

const adminHelp = "URLs of the processes' admin ports, comma-separated (default: dev's)"

func (c *cli) status() *cobra.Command {
	var admin []string
	cmd := &cobra.Command{
		Use: "status", Short: "Processes, groups, lag, stalled tenants, outbox, effects", Args: noArgs,
		Long: `Show what every part of the engine says: whether processes are ready and what they wait for, groups and their lag, stalled tenants
with the command that retries them, outbox, effects, CRM connections that are refused, and dead letters. What could not be asked is shown as not known.

Exit 0: all was asked, and nothing is wrong. Exit 1: a process is not ready or keeps losing what it needs, nobody reads a group, a tenant is stalled, or its
CRM connection is refused. Exit 3: a part could not be asked.`,
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
	c.sayRebuilds(o.Rebuilds)
	c.sayRules(o.Rules)
	printf(c.out, "effects:       %s\n", summary(o.Effects))
	c.sayPaused(o.CRM)
	printf(c.out, "dead letters:  %s\n", strings.Replace(summary(o.DeadLetter), "none", "none open", 1))
	c.sayRefused(o.Refused)
	switch {
	case o.Outbox == nil:
		printf(c.out, "outbox:        %s\n", notKnown)
	case len(o.Outbox) == 0:
		printf(c.out, "outbox:        empty\n")
	}
	for _, r := range o.Outbox {
		c.say("outbox", fmt.Sprintf("%s %d rows, oldest %.0f s", r.Deriver, r.Rows, r.Oldest), "")
	}
	switch {
	case o.Stalled == nil:
		printf(c.out, "stalled:       %s\n", notKnown)
		return nil
	case len(o.Stalled) == 0:
		printf(c.out, "stalled:       none\n")
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
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%d %s", m[name], name)
	}
	return strings.Join(parts, ", ")
}

// sayRules prints a line a tenant; nil is not known.
func (c *cli) sayRules(rules []status.RuleTrouble) {
	switch {
	case rules == nil:
		printf(c.out, "rules:         not known\n")
	case len(rules) == 0:
		printf(c.out, "rules:         none off, none cut, none failing\n")
	}
	for _, r := range rules {
		c.say("rules", fmt.Sprintf("%s of %s: %s", r.Rule, r.Tenant, r.What()), r.Next()+r.Further("; "))
	}
}

// sayPaused prints a line a tenant and reason; nil is not known.
func (c *cli) sayPaused(paused []ledger.Paused) {
	switch {
	case paused == nil:
		printf(c.out, "CRM:           %s\n", notKnown)
	case len(paused) == 0:
		printf(c.out, "CRM:           no connection refused\n")
	}
	for _, p := range paused {
		c.say("CRM", status.PausedWhat(p), status.PausedNext(p))
	}
}

// sayRefused prints a line a tenant and reason.
func (c *cli) sayRefused(rows []status.Refused) {
	for _, r := range rows {
		c.say("refused", fmt.Sprintf("%s of %s at HTTP: %s", operate.Plural(int(r.Requests), "request"), r.Tenant, r.Reason), "neuronx tenant suspend "+r.Tenant)
	}
}

// sayRebuilds prints a line a feed and reason; nil is not known.
func (c *cli) sayRebuilds(rows []projector.Rebuild) {
	switch {
	case rows == nil:
		printf(c.out, "rebuilds:      %s\n", notKnown)
	case len(rows) == 0:
		printf(c.out, "rebuilds:      none\n")
	}
	for _, r := range rows {
		what := fmt.Sprintf("%s of %s: built by %s, not by the newest; waits for a projector with the newest", operate.Plural(int(r.Tenants), "tenant"), r.Consumer, r.Why)
		if r.Building {
			what = fmt.Sprintf("%s of %s: being built again for %s", operate.Plural(int(r.Tenants), "tenant"), r.Consumer, r.Why)
		}
		c.say("rebuilds", what, "neuronx projections list")
	}
}
