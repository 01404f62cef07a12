package cli

import (
	"cmp"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/deadletters"
)

func (c *cli) deadletter() *cobra.Command {
	return group("deadletter", "What the sequencer refused: list, show, retry, edit, drop",
		c.deadletterList(), c.deadletterShow(), c.deadletterRetry(), c.deadletterEdit(), c.deadletterDrop())
}

// letterFilter is the flags that choose letters.
type letterFilter struct {
	deadletter.Filter
	span
}

func (f *letterFilter) bind(fs *pflag.FlagSet, code string, limit int) {
	fs.StringVar(&f.Tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.Reason, code, "", "only refused as this, such as invalid_body")
	fs.StringVar(&f.Type, "type", "", "only of this event type")
	f.span.bind(fs)
	fs.IntVarP(&f.Limit, "limit", "n", limit, "at most so many")
}

func (f *letterFilter) check() error {
	if f.Limit < 1 {
		return operate.Usage("--limit must be at least 1")
	}
	return f.span.read(&f.Since, &f.Until)
}

func (c *cli) deadletterList() *cobra.Command {
	var f letterFilter
	var state, by string
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, newest first, or count them", Args: noArgs,
		Example: "  neuronx deadletter list --by reason\n  neuronx deadletter list --tenant acme --reason invalid_body --since 2026-01-31T00:00:00Z",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := cmp.Or(oneOf("state", state, "open", "retried", "resolved", "refused_again", "dropped", "all"),
				oneOf("by", by, "", "reason", "tenant", "type", "state"), f.check()); err != nil {
				return err
			}
			if f.State = state; state == "all" {
				f.State = ""
			}
			if by != "" {
				return c.countLetters(ctx, by, f.Filter)
			}
			rows, err := deadletters.List(ctx, c.env, f.Filter)
			if err != nil {
				return err
			}
			if err := c.showLetters(rows); err != nil {
				return err
			}
			return c.noteFurther(ctx, f.Filter, len(rows))
		}),
	}
	f.bind(cmd.Flags(), "reason", defaultLimit)
	cmd.Flags().StringVar(&state, "state", "open", "open, retried, resolved, refused_again, dropped or all")
	cmd.Flags().StringVar(&by, "by", "", "count them by reason, tenant, type or state instead")
	return cmd
}

func (c *cli) showLetters(rows []deadletters.Letter) error {
	return show(c, rows, []string{"REF", "TENANT", "REASON", "TYPE", "ID", "RECORDED", "STATE"}, func(r deadletters.Letter) []any {
		return []any{r.Ref, dash(r.Tenant), r.Reason, dash(r.Type), dash(r.ID), stamp(r.Recorded), r.State}
	})
}

func (c *cli) countLetters(ctx context.Context, by string, f deadletter.Filter) error {
	counts, err := deadletters.CountBy(ctx, c.env, by, f)
	if err != nil {
		return err
	}
	return show(c, counts, []string{strings.ToUpper(by), "COUNT", "OLDEST", "NEWEST"}, func(r deadletter.Count) []any {
		return []any{dash(r.Name), r.Count, stamp(r.Oldest), stamp(r.Newest)}
	})
}

func (c *cli) deadletterShow() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "show <topic/partition/offset>", Short: "Show one dead letter with what was received", Args: args("topic/partition/offset"),
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if _, _, _, err := deadletters.ParseRef(args[0]); err != nil {
				return err
			}
			v, err := deadletters.Show(ctx, c.env, args[0], raw)
			if err != nil {
				return err
			}
			return c.json(v)
		}),
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "with the whole value as received, in base64")
	return cmd
}

// letterAct is the flags that all acts on letters share.
type letterAct struct {
	as string
	change
}

func (a *letterAct) bind(fs *pflag.FlagSet, sends bool) {
	if sends {
		fs.StringVar(&a.as, "as", "redrive", "redrive: no rule answers it unless it asks for redrives; live: as if it had not been refused")
	}
	a.change.bind(fs)
}

func (a *letterAct) ask(action string) deadletter.Ask {
	return deadletter.Ask{Action: action, Live: a.as == "live", Reason: a.reason}
}

func (c *cli) deadletterRetry() *cobra.Command {
	return c.actOnLetters(deadletter.Retry, &cobra.Command{
		Use: "retry [topic/partition/offset …]", Short: "Send refused events again, each once",
		Long: `Send refused events again, each once: those that are named, or all open ones that the filter chooses.

An event that is sent again keeps its type, subject, source and time. Its origin is redrive: projections, the archive and commands
take it as any other, rules do not answer it unless they ask for redrives. With --as live it has the origin that it came with, so
that rules answer it now; an import stays an import.`,
		Example: "  neuronx deadletter retry neuronx.ingress/0/17 --execute\n  neuronx deadletter retry --tenant acme --code tenant_suspended --as live --by ada --execute",
	})
}

func (c *cli) deadletterDrop() *cobra.Command {
	return c.actOnLetters(deadletter.Drop, &cobra.Command{
		Use: "drop [topic/partition/offset …]", Short: "Decide that refused events stay refused",
		Example: "  neuronx deadletter drop --code unknown_tenant --reason 'a scanner' --execute",
	})
}

func (c *cli) actOnLetters(action string, cmd *cobra.Command) *cobra.Command {
	var f letterFilter
	var a letterAct
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = c.within(func(ctx context.Context, _ *cobra.Command, refs []string) error {
		if err := oneOf("as", a.as, "", "redrive", "live"); err != nil {
			return err
		}
		if action == deadletter.Drop {
			if err := required("reason", a.reason); err != nil {
				return err
			}
		}
		if err := f.check(); err != nil {
			return err
		}
		chosen := f.Tenant+f.Reason+f.Type+f.since+f.until != ""
		if (len(refs) > 0) == chosen {
			return operate.Usage("name dead letters, or choose them with --tenant, --code, --type, --since, --until").Hint("one or the other")
		}
		for _, ref := range refs {
			if _, _, _, err := deadletters.ParseRef(ref); err != nil {
				return err
			}
		}
		f.State = deadletter.Open
		letters, err := deadletters.Choose(ctx, c.env, f.Filter, refs)
		if err != nil {
			return err
		}
		if chosen {
			if err := c.noteFurther(ctx, f.Filter, len(letters)); err != nil {
				return err
			}
		}
		return c.submit(ctx, letters, a, a.ask(action))
	})
	f.bind(cmd.Flags(), "code", 1000)
	a.bind(cmd.Flags(), action != deadletter.Drop)
	return cmd
}

// noteFurther tells of letters that a filter chooses and its limit leaves out.
func (c *cli) noteFurther(ctx context.Context, f deadletter.Filter, chosen int) error {
	all, err := deadletters.Further(ctx, c.env, f, chosen)
	if err == nil && all > int64(chosen) {
		c.note("these are the newest %d of %d; --limit takes more", chosen, all)
	}
	return err
}

// submit asks for the act on each letter and shows what became of it, or without --execute what would.
func (c *cli) submit(ctx context.Context, letters []deadletter.Letter, a letterAct, ask deadletter.Ask) error {
	if !a.execute {
		out, err := deadletters.Foresee(ctx, c.env, letters, ask)
		if err != nil {
			return err
		}
		c.dryRun()
		return c.showOutcomes(out)
	}
	out, err := deadletters.Act(ctx, c.env, actor(a.by), letters, ask)
	if err != nil {
		return err
	}
	if err := c.showOutcomes(out); err != nil {
		return err
	}
	return deadletters.Undone(out)
}

func (c *cli) showOutcomes(rows []deadletters.Outcome) error {
	return show(c, rows, []string{"REF", "RESULT", "CODE", "DETAIL"}, func(r deadletters.Outcome) []any {
		return []any{r.Ref, r.Result, dash(string(r.Code)), dash(r.Detail)}
	})
}

func (c *cli) deadletterEdit() *cobra.Command {
	var a letterAct
	var data, file string
	cmd := &cobra.Command{
		Use: "edit <topic/partition/offset>", Short: "Change the data of a refused event and send it again", Args: args("topic/partition/offset"),
		Long: `Change the data of a refused event and send it again. The new data is JSON: of --data, of --data-file (- is stdin), or of what
$EDITOR makes of the old. It is checked against the newest schema of the event's type before anything is asked for. The stream tells
the names of the fields that changed, not their values.`,
		Example: `  neuronx deadletter edit neuronx.ingress/0/17 --data '{"lead_id":"42"}' --execute`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("as", a.as, "redrive", "live"); err != nil {
				return err
			}
			if data != "" && file != "" {
				return operate.Usage("--data and --data-file exclude each other")
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			l, err := deadletters.Get(ctx, c.env, args[0])
			if err != nil {
				return err
			}
			if file != "" {
				if data = "@" + file; file == "-" {
					data = "-"
				}
			}
			var text []byte
			if data != "" {
				text, err = c.readData(data)
			} else {
				text, err = c.editor(cmd.Context(), deadletters.Decode(ctx, c.env, l))
			}
			if err != nil {
				return err
			}
			// A person took his time: the wait for the engine begins now.
			ctx, cancel = c.bounded(cmd)
			defer cancel()
			ask := a.ask(deadletter.Edit)
			if ask.Value, err = deadletters.Encode(ctx, c.env, l.Type, text); err != nil {
				return err
			}
			return c.submit(ctx, []deadletter.Letter{*l}, a, ask)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the new JSON data; @file reads a file, - reads stdin")
	cmd.Flags().StringVar(&file, "data-file", "", "file with the new JSON data; - is stdin")
	a.bind(cmd.Flags(), true)
	return cmd
}

// editor lets a person change text in $EDITOR. The file is the user's alone, and is removed: the data may be personal.
func (c *cli) editor(ctx context.Context, text []byte) ([]byte, error) {
	name, _ := c.source.Getenv("EDITOR")
	if name == "" {
		return nil, operate.Usage("no data is given").Hint("--data, --data-file, or set EDITOR")
	}
	if text == nil {
		text = []byte("{}")
	}
	f, err := os.CreateTemp("", "neuronx-dead-letter-*.json") // mode 0600
	if err != nil {
		return nil, operate.Fail("make a file to edit", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, werr := f.Write(append(text, '\n'))
	if err := f.Close(); werr != nil || err != nil {
		return nil, operate.Fail("make a file to edit", werr)
	}
	run := exec.CommandContext(ctx, "sh", "-c", name+` "$1"`, "sh", f.Name()) //nolint:gosec // the user's own editor
	run.Stdin, run.Stdout, run.Stderr = c.in, c.err, c.err
	for w, to := range map[io.Writer]*io.Writer{c.out: &run.Stdout, c.err: &run.Stderr} {
		if file := safetext.File(w); file != nil { // an editor draws on the terminal itself
			*to = file
		}
	}
	if err := run.Run(); err != nil {
		return nil, operate.Fail("run "+name, err)
	}
	return c.readData("@" + f.Name())
}
