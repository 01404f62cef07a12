package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// letterAct is the flags that all acts on letters share.
type letterAct struct {
	as, by, reason string
	execute        bool
}

func (a *letterAct) bind(fs *pflag.FlagSet, sends bool) {
	if sends {
		fs.StringVar(&a.as, "as", "redrive", "redrive: no rule answers it unless it asks for redrives; live: as if it had not been refused")
	}
	fs.StringVar(&a.by, "by", "", "who, for the record")
	fs.StringVar(&a.reason, "reason", "", "why, for the record")
	fs.BoolVar(&a.execute, "execute", false, "do it")
}

func (a *letterAct) ask(action string) deadletter.Ask {
	return deadletter.Ask{Action: action, Live: a.as == "live", By: a.by, Reason: a.reason}
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
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		if a.as != "" {
			if err := oneOf("as", a.as, "redrive", "live"); err != nil {
				return err
			}
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
			if _, _, _, err := parseRef(ref); err != nil {
				return err
			}
		}
		ctx, cancel := c.bounded(cmd)
		defer cancel()
		pool, err := c.env.Pool(ctx)
		if err != nil {
			return err
		}
		if err := f.known(ctx, c, pool); err != nil {
			return err
		}
		var letters []deadletter.Letter
		if chosen {
			f.State = deadletter.Open
			if letters, err = deadletter.List(ctx, pool, f.Filter); err != nil {
				return operate.Fail("list dead letters", err)
			}
			if err := c.noteFurther(ctx, pool, f.Filter, len(letters)); err != nil {
				return err
			}
		}
		slices.Sort(refs)
		for _, ref := range slices.Compact(refs) { // named twice, it is one
			l, err := c.letter(ctx, pool, ref)
			if err != nil {
				return err
			}
			letters = append(letters, *l)
		}
		return c.submit(ctx, pool, letters, a, a.ask(action))
	}
	f.bind(cmd.Flags(), "code", 1000)
	a.bind(cmd.Flags(), action != deadletter.Drop)
	return cmd
}

// noteFurther tells of letters that a filter chooses and its limit leaves out.
func (c *cli) noteFurther(ctx context.Context, pool *pgxpool.Pool, f deadletter.Filter, chosen int) error {
	if chosen < f.Limit {
		return nil
	}
	counts, err := deadletter.Counts(ctx, pool, "state", f)
	if err != nil {
		return operate.Fail("count dead letters", err)
	}
	var all int64
	for _, n := range counts {
		all += n.Count
	}
	if all > int64(chosen) {
		c.note("these are the newest %d of %d; --limit takes more", chosen, all)
	}
	return nil
}

type letterOutcome struct {
	Ref    string     `json:"ref"`
	Result string     `json:"result"` // would_retry, would_edit, would_drop, would_refuse; resolved, dropped, retried, refused_again, refused
	Code   event.Code `json:"code,omitempty"`
	Detail string     `json:"detail,omitempty"`
	Next   string     `json:"next_ref,omitempty"` // of refused_again: the dead letter that goes on
}

// submit asks for the act on each letter, and waits until each was decided and the log or the dead letters show what became of it.
func (c *cli) submit(ctx context.Context, pool *pgxpool.Pool, letters []deadletter.Letter, a letterAct, ask deadletter.Ask) error {
	out := make([]letterOutcome, len(letters))
	if !a.execute {
		for i := range letters {
			out[i] = letterOutcome{Ref: letters[i].Ref(), Result: "would_" + ask.Action}
			refusal, err := c.foreseeLetter(ctx, pool, letters[i], ask)
			if err != nil {
				return err
			}
			if refusal != nil {
				out[i].Result, out[i].Code, out[i].Detail = "would_refuse", refusal.Code, refusal.Detail
			}
		}
		c.dryRun()
		return c.showOutcomes(out)
	}
	ids := make([]uuid.UUID, len(letters))
	for i := range letters {
		var err error
		if ids[i], err = deadletter.Submit(ctx, pool, &letters[i], ask); err != nil {
			return operate.Fail("ask for it", err)
		}
	}
	c.note("asked for %s of %s, waiting for the archiver", ask.Action, operate.Plural(len(letters), "dead letter"))
	answers := map[uuid.UUID]deadletter.Answer{}
	decided, err := operate.Until(ctx, func() (ok bool, err error) {
		answers, err = deadletter.Answers(ctx, pool, ids)
		return len(answers) == len(ids), err
	})
	if err != nil {
		return operate.Fail("wait for the archiver", err)
	}
	if !decided {
		return (&operate.Error{Kind: operate.KindPartial, What: fmt.Sprintf("the archiver has decided about %d of %d", len(answers), len(ids))}).
			Hint("is the archiver running? see `neuronx status`; what was asked for stays asked for, see `neuronx deadletter list --state all`")
	}
	bad := 0
	for i := range letters {
		answer := answers[ids[i]]
		out[i] = letterOutcome{Ref: letters[i].Ref(), Result: "refused", Code: answer.Code, Detail: answer.Detail}
		if answer.Done {
			out[i].Code = ""
			if err = c.become(ctx, pool, &out[i]); err != nil {
				return err
			}
		}
		if r := out[i].Result; r != deadletter.Resolved && r != deadletter.Dropped {
			bad++
		}
	}
	if err := c.showOutcomes(out); err != nil {
		return err
	}
	switch {
	case bad == 0:
		return nil
	case bad == len(out) && bad == 1:
		e := &operate.Error{Kind: operate.KindFailed, What: "the dead letter is " + out[0].Result, Why: out[0].Detail, Code: out[0].Code}
		if out[0].Next != "" {
			return e.Hint("neuronx deadletter show %s", out[0].Next)
		}
		return e
	}
	return operate.Partial("%d of %d were not done", bad, len(out))
}

// foreseeLetter is what the archiver would decide about an ask: the reason why it would refuse, or nil. Without the signing keys a signature
// counts as right, as far as what it covers goes; the archiver looks again.
func (c *cli) foreseeLetter(ctx context.Context, pool *pgxpool.Pool, l deadletter.Letter, ask deadletter.Ask) (*event.Refusal, error) {
	full, err := deadletter.Load(ctx, pool, l.Topic, l.Partition, l.Offset) // what a list has is not all of it
	if err != nil && ctx.Err() == nil {                                     // one that is damaged must not hide what becomes of the others
		return event.Refuse(event.CodeNotRetriable, "%v", err), nil
	}
	if err != nil {
		return nil, operate.Fail("look at the dead letter", err)
	}
	world := deadletter.Environment{Verify: func(*event.Event) (bool, error) { return true, nil }, Schema: func(id int32) (*avro.Schema, error) {
		if s := c.schemaByID(ctx, pool, id); s != nil {
			return s, nil
		}
		return nil, registry.ErrUnknown
	}}
	if path := c.value(operate.EnvKeys); path != "" {
		keys, err := event.LoadKeyring(path)
		if err != nil {
			return nil, operate.Fail("read the signing keys", err)
		}
		world.Verify = keys.Verify
	}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		world.Tenant, err = deadletter.TenantExists(ctx, tx, full.Tenant)
		return err
	})
	if err != nil {
		return nil, operate.Fail("look for the tenant", err)
	}
	_, refusal := deadletter.Decide(full, ask, world)
	return refusal, nil
}

// become waits until it is known what became of a letter.
func (c *cli) become(ctx context.Context, pool *pgxpool.Pool, out *letterOutcome) error {
	var l *deadletter.Letter
	if _, err := operate.Until(ctx, func() (bool, error) {
		var err error
		if l, err = c.letter(ctx, pool, out.Ref); err != nil {
			return false, err
		}
		return l.State != deadletter.Open && l.State != deadletter.Retried, nil
	}); err != nil {
		return err
	}
	if l == nil || l.State == deadletter.Open {
		out.Result, out.Detail = deadletter.Retried, "not seen in the log yet"
		return nil
	}
	out.Result, out.Detail = l.State, ""
	switch l.State {
	case deadletter.Resolved:
		out.Detail = fmt.Sprintf("sequence %d", l.Sequence)
	case deadletter.RefusedAgain:
		out.Detail, out.Next = "as "+l.Next, l.Next
		if again, err := c.letter(ctx, pool, l.Next); err == nil { // the refusal is the news; that it can't be read now is not
			out.Code, out.Detail = event.Code(again.Reason), out.Detail+": "+again.Detail
		}
	}
	return nil
}

func (c *cli) showOutcomes(rows []letterOutcome) error {
	return show(c, rows, []string{"REF", "RESULT", "CODE", "DETAIL"}, func(r letterOutcome) []any {
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
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			l, err := c.letter(ctx, pool, args[0])
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
				text, err = c.editor(cmd.Context(), c.decoded(ctx, pool, l.Value))
			}
			if err != nil {
				return err
			}
			// A person took his time: the wait for the engine begins now.
			ctx, cancel = c.bounded(cmd)
			defer cancel()
			ask := a.ask(deadletter.Edit)
			if ask.Value, err = c.encoded(ctx, l.Type, text); err != nil {
				return err
			}
			return c.submit(ctx, pool, []deadletter.Letter{*l}, a, ask)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the new JSON data; @file reads a file, - reads stdin")
	cmd.Flags().StringVar(&file, "data-file", "", "file with the new JSON data; - is stdin")
	a.bind(cmd.Flags(), true)
	return cmd
}

// encoded is JSON data under the newest schema of a type, framed; every problem of it is told.
func (c *cli) encoded(ctx context.Context, typ string, text []byte) ([]byte, error) {
	if !event.ValidType(typ) {
		return nil, operate.Fail("edit the dead letter", event.Refuse(event.CodeNotRetriable, "it does not tell its type, so no schema is known for it"))
	}
	reg, err := c.env.Registry()
	if err != nil {
		return nil, err
	}
	id, schema, err := reg.ByType(ctx, typ)
	if err != nil {
		return nil, operate.Fail("find the schema of "+typ, err)
	}
	body, err := schema.EncodeJSON(text)
	if err != nil {
		return nil, (&operate.Error{Kind: operate.KindFailed, What: "the data does not fit the schema of " + typ, Why: err.Error(), Code: event.CodeInvalidBody})
	}
	return event.Frame(id, body), nil
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
