package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/events"
)

func (c *cli) publish() *cobra.Command {
	var d events.Draft
	var tenantID, data, keyFile string
	var noWait bool
	cmd := &cobra.Command{
		Use: "publish <type>", Short: "Publish one event over HTTP, at once, and wait for the verdict", Args: args("type"),
		Annotations: map[string]string{newTenant: "it is the API key's, which the HTTP endpoint knows"},
		Long: `Publish one event over HTTP. It acts at once: an event is a fact of its producer's, there is no dry run. The event's id goes to stdout,
the verdict of the engine to stderr: admitted with its sequence, duplicate of another one (nothing is appended, exit 0), or refused
with the reason (exit 1). Exit 3: the event was taken, and is not judged yet.`,
		Example: `  neuronx publish lead.created --subject lead/42 --data '{"lead_id":"42","email":"ada@example.com"}'
  neuronx publish lead.scored --subject lead/42 --data @score.json --key nightly-42
  echo '{"lead_id":"42"}' | neuronx publish lead.qualified --subject lead/42 --data -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !event.ValidType(args[0]) {
				return operate.Usage("%q is not an event type", args[0]).Hint("such as lead.created; `neuronx schemas check` lists the catalogue")
			}
			if d.Wait < time.Second || d.Wait > maxVerdictWait {
				return operate.Usage("--wait must be 1s to %s", maxVerdictWait).Hint("--no-wait does not wait for the verdict")
			}
			if noWait {
				d.Wait = 0
			}
			var err error
			if d.Data, err = c.readData(data); err != nil {
				return err
			}
			base, err := c.env.Need(operate.EnvHTTP, "the HTTP endpoint")
			if err != nil {
				return err
			}
			token, err := c.env.APIKey(keyFile, tenantID)
			if err != nil {
				return err
			}
			if err := c.env.URLListening("the HTTP endpoint", operate.EnvHTTP, base); err != nil {
				return err
			}
			if d.ID == "" && d.Key == "" {
				v7, err := uuid.NewV7()
				if err != nil {
					return operate.Fail("make an event id", err)
				}
				d.ID = v7.String()
			}
			if d.Time == "" {
				d.Time = event.FormatTime(c.env.Now())
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.env.Timeout+d.Wait)
			defer cancel()
			d.Type = args[0]
			answer, err := events.Publish(ctx, c.env, base, token, d)
			if err != nil {
				return err
			}
			if c.format == formatJSON {
				if err := c.json(answer); err != nil {
					return err
				}
			} else {
				printf(c.out, "%s\n", answer.ID)
			}
			return c.sayVerdict(answer, tenantID, d.Wait)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "check that the API key is this tenant's")
	// The key itself is no flag: arguments end up in the shell's history and in the process list.
	fs.StringVar(&keyFile, "api-key-file", "", "file with the API key (default $"+operate.EnvAPIKey+")")
	fs.StringVar(&d.ID, "id", "", "event id (default a new one)")
	fs.StringVar(&d.Key, "key", "", "Idempotency-Key: a repeat within 24 hours is dropped")
	fs.StringVar(&d.Source, "source", "/cli", "where the event comes from")
	fs.StringVar(&d.Subject, "subject", "", "what it is about, such as lead/42")
	fs.StringVar(&d.Time, "time", "", "when it happened, RFC 3339 (default now)")
	fs.StringVar(&d.Origin, "origin", "", "import or backfill: rules do not fire")
	fs.StringVar(&data, "data", "{}", "JSON data; @file reads a file, - reads stdin")
	fs.DurationVar(&d.Wait, "wait", 10*time.Second, "how long to wait for the verdict, 1s to 30s")
	fs.BoolVar(&noWait, "no-wait", false, "only hand the event over; what becomes of it is not told")
	return cmd
}

// maxVerdictWait is the longest wait that the HTTP endpoint grants.
const maxVerdictWait = 30 * time.Second

// sayVerdict tells what became of an event that was taken.
func (c *cli) sayVerdict(p events.Published, tenantID string, wait time.Duration) error {
	switch {
	case p.Status == "admitted":
		c.note("admitted as sequence %s", p.Sequence)
	case p.Status == "duplicate":
		c.note("duplicate of sequence %s: nothing was appended", dash(p.Of))
	case wait == 0:
		c.note("accepted, not judged yet")
	default:
		if tenantID == "" {
			tenantID = "…"
		}
		return operate.Partial("event %s is accepted, and not judged within %s", p.ID, wait).Because("it may still be admitted or refused").
			Hint("is the sequencer running? see `neuronx status`; the event is found with `neuronx events get --tenant %s %s`, a refusal with `neuronx deadletter list`", tenantID, p.ID)
	}
	return nil
}

func (c *cli) readData(arg string) ([]byte, error) {
	var b []byte
	var err error
	switch {
	case arg == "-":
		b, err = io.ReadAll(io.LimitReader(c.in, 2<<20))
	case strings.HasPrefix(arg, "@"):
		b, err = os.ReadFile(arg[1:])
	default:
		b = []byte(arg)
	}
	if err != nil {
		return nil, operate.Fail("read the data", err)
	}
	if !json.Valid(b) {
		return nil, operate.Usage("--data is not JSON")
	}
	return b, nil
}
