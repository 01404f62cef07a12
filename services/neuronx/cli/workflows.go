package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/workflowadmin"
)

func (c *cli) workflows() *cobra.Command {
	return group("workflows", "Instances of workflows: list, show, explain, retry, skip, cancel, suspend, resume, migrate; whole workflows: start, pause, unpause",
		c.workflowsList(), c.workflowsShow(), c.newWorkflowsExplain(), c.workflowsAct(workflowadmin.Retry), c.workflowsAct(workflowadmin.Skip), c.workflowsAct(workflowadmin.Cancel),
		c.workflowsAct(workflowadmin.Suspend), c.workflowsAct(workflowadmin.Resume), c.workflowsMigrate(), c.workflowsStart(), c.workflowsPause(), c.workflowsUnpause())
}

// instanceFilter is the flags that choose instances.
type instanceFilter struct {
	workflowadmin.Filter
	older string
}

func (f *instanceFilter) bind(fs *pflag.FlagSet, limit int) {
	fs.StringVar(&f.Tenant, "tenant", "", "the tenant")
	fs.StringVar(&f.Workflow, "workflow", "", "only of this workflow")
	fs.StringVar(&f.WaitingAt, "waiting-at", "", "only those that rest at this task, a path such as escalate/grace")
	fs.StringVar(&f.older, "older-than", "", "only those that started at least so long ago, such as 3d, 12h or 90m")
	fs.IntVarP(&f.Limit, "limit", "n", limit, "at most so many")
}

func (f *instanceFilter) check() (err error) {
	if f.Limit < 1 || f.Limit > 10_000 {
		return operate.Usage("--limit must be from 1 to 10000")
	}
	f.OlderThan, err = age("older-than", f.older)
	return err
}

var days = regexp.MustCompile(`^([1-9][0-9]{0,3})d$`)

// age reads how long ago something was: days, or hours, minutes and seconds.
func age(flag, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits by the pattern
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, operate.Usage("--%s %q is no length of time", flag, s).Hint("such as 3d, 12h or 90m")
	}
	return d, nil
}

func (c *cli) workflowsList() *cobra.Command {
	var f instanceFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List instances of workflows, oldest first, and count them by state", Args: noArgs, Annotations: needFlags("tenant"),
		Long: `List instances of workflows, oldest first: by default those that live. TASK is where an
instance rests, DUE when its next timer is due, AGE how long ago it started. An instance
in an incident waits for a person: neuronx workflows show says what failed. The last line
counts the instances of the workflow by state; ended ones are kept for 30 days.`,
		Example: "  neuronx workflows list --tenant acme\n  neuronx workflows list --tenant acme --workflow nurture-52 --state incident --older-than 3d",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := cmp.Or(oneOf("state", f.State, workflowadmin.States()...), f.check()); err != nil {
				return err
			}
			return c.listInstances(ctx, f.Filter)
		}),
	}
	fs := cmd.Flags()
	f.bind(fs, defaultLimit)
	fs.StringVar(&f.State, "state", workflowadmin.StateLive, strings.Join(workflowadmin.States(), ", "))
	fs.StringVar(&f.After, "after", "", "go on after this instance, the last of the page before")
	return cmd
}

func (c *cli) listInstances(ctx context.Context, f workflowadmin.Filter) error {
	asked := f
	f.Limit++
	rows, err := workflowadmin.List(ctx, c.env, f)
	if err != nil {
		return err
	}
	counts, err := workflowadmin.Counts(ctx, c.env, f)
	if err != nil {
		return err
	}
	paused, err := workflowadmin.ListPaused(ctx, c.env, f.Tenant)
	if err != nil {
		return err
	}
	if len(rows) > asked.Limit {
		rows = rows[:asked.Limit]
		c.note("only %d are shown, there are more: --after %s goes on", asked.Limit, rows[len(rows)-1].ID)
	}
	now := c.env.Now()
	if err := show(c, rows, []string{"INSTANCE", "WORKFLOW", "KEY", "STATE", "TASK", "DUE", "AGE", "INCIDENT"}, func(i workflowadmin.Instance) []any {
		incident := ""
		if len(i.Incident) > 0 {
			incident = i.Incident[0].Code
		}
		return []any{i.ID, i.Workflow, i.Key, stateOf(i), join(i.Tasks), due(now, i.Due), inUnits(time.Duration(i.Age) * time.Second), dash(cmp.Or(incident, c.errorCell(i.Broken)))}
	}); err != nil {
		return err
	}
	c.note("by state: %s", workflowadmin.InWords(counts))
	for i := range paused {
		if f.Workflow == "" || f.Workflow == paused[i].Workflow {
			c.note("%s: neuronx workflows unpause %s --tenant %s", paused[i].InWords(), paused[i].Workflow, f.Tenant)
		}
	}
	return nil
}

// stateOf is the state of an instance, and why it rests though nobody suspended it, or how it ended.
func stateOf(i workflowadmin.Instance) string {
	switch {
	case i.Paused:
		return i.Status + " (paused)"
	case i.Outcome != "" && i.Outcome != i.Status:
		return i.Status + " (" + i.Outcome + ")"
	}
	return i.Status
}

// due is a time to come, or how long it is over.
func due(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if late := now.Sub(t); late > time.Minute {
		return stamp(t) + " (" + inUnits(late) + " ago)"
	}
	return stamp(t)
}

// inUnits is a length of time in its two largest units.
func inUnits(d time.Duration) string {
	n := func(unit time.Duration) int { return int(d / unit) }
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", n(24*time.Hour), n(time.Hour)%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", n(time.Hour), n(time.Minute)%60)
	}
	return fmt.Sprintf("%dm%ds", n(time.Minute), n(time.Second)%60)
}

func (c *cli) workflowsShow() *cobra.Command {
	var tenantID string
	var personal bool
	cmd := &cobra.Command{
		Use: "show <instance>", Short: "Show an instance: where it stands, what it waits for, what failed, what it holds", Args: args("instance"), Annotations: needFlags("tenant"),
		Long: `Show an instance of a workflow: the tasks at which it rests and what each waits for, when
its timers are due (in UTC, and in the zone of the lead or of the calendar), its incidents,
and its variables. Values that come from personal fields are shown as • unless --personal
asks for them.`,
		Example: "  neuronx workflows show 6f1c… --tenant acme",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := workflowadmin.Show(ctx, c.env, tenantID, args[0], personal)
			if err != nil {
				return err
			}
			if c.format == formatJSON {
				return c.json(s)
			}
			return c.printInstance(tenantID, s)
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	cmd.Flags().BoolVar(&personal, "personal", false, "show personal values, too")
	return cmd
}

func (c *cli) printInstance(tenant string, s workflowadmin.Shown) error {
	line := func(label, format string, a ...any) { c.say(label, fmt.Sprintf(format, a...), "") }
	now := c.env.Now()
	line("instance", "%s", s.ID)
	line("workflow", "%s, version %s, start %d of key %s", s.Workflow, orDash(s.Version), s.Number, s.Key)
	line("state", "%s", stateOf(s.Instance))
	if s.Broken != "" {
		line("unreadable", "%s", s.Broken)
	}
	line("started", "%s by %s, %s ago; moved last at sequence %s", stamp(s.Started), dash(s.Trigger), inUnits(now.Sub(s.Started)), s.Sequence)
	if !s.Ended.IsZero() {
		line("ended", "%s", stamp(s.Ended))
	}
	line("about", "%s, contact %s, zone %s", s.Subject, dash(s.Contact), dash(s.Zone))
	if !s.Deadline.IsZero() {
		line("ends by", "%s; deadline %s", join(s.EndsBy), stamp(s.Deadline))
		line("hears", "%s", join(s.Hears))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Vars)) {
		text, err := json.Marshal(s.Vars[name])
		if err != nil {
			return operate.Fail("write the variable "+name, err)
		}
		if slices.Contains(s.Personal, name) {
			name += " (personal)"
		}
		line("variable", "%s = %s", name, operate.Cut(string(text), 2000))
	}
	for _, x := range s.Incident {
		c.say("incident", fmt.Sprintf("at %s, attempt %d: %s: %s", x.Task, x.Attempt, x.Code, x.Detail), fmt.Sprintf("neuronx workflows retry %s --tenant %s", s.ID, tenant))
	}
	for _, t := range s.Timers {
		switch {
		case t.Firing:
			line("timer", "of %s: its firing is on its way to the log, attempt %d", cmp.Or(t.Task, "the deadline"), t.Attempt+1)
		case t.Attempt > 0:
			line("timer", "of %s: its firings were refused or too early, %d so far; it is not fired before %s", cmp.Or(t.Task, "the deadline"), t.Attempt, stamp(t.NotUntil))
		}
	}
	printf(c.out, "\n")
	return show(c, s.Tokens, []string{"TASK", "WAITS FOR", "DUE", "LOCAL"}, func(t workflowadmin.Token) []any {
		local := t.Local
		if t.Zone != "" {
			local += " (" + t.Zone + ")"
		}
		return []any{t.Task + t.Rounds(), strings.TrimSpace(t.Waits + " " + strings.Join(t.For, ", ")), due(now, t.Due), dash(local)}
	})
}

func orDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}
