package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// apiKey finds the key for the HTTP door. It is not a flag: arguments end up in
// the shell's history and in the process list.
func (c *cli) apiKey(file, tenantID string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", operate.Fail("read the API key", err)
		}
		return checkKey(strings.TrimSpace(string(b)), tenantID)
	}
	if v := c.value(operate.EnvAPIKey); v != "" {
		return checkKey(v, tenantID)
	}
	if v := c.value(operate.EnvDemoKey); v != "" {
		if k, err := tenant.ParseKey(v); err == nil && (tenantID == "" || tenantID == k.Tenant) {
			if tenantID == "" {
				c.note("%s is not set: using the key of tenant %s (%s)", operate.EnvAPIKey, k.Tenant, operate.EnvDemoKey)
			}
			return v, nil
		}
	}
	return "", (&operate.Error{Kind: operate.KindUsage, What: "no API key is configured", Code: event.CodeUnauthenticated}).
		Hint("set %s or --api-key-file; `neuronx key issue --tenant … --execute` makes one", operate.EnvAPIKey)
}

func checkKey(text, tenantID string) (string, error) {
	k, err := tenant.ParseKey(text)
	if err != nil {
		return "", (&operate.Error{Kind: operate.KindUsage, What: "the API key can't be used", Why: err.Error(), Code: event.CodeUnauthenticated})
	}
	if tenantID != "" && tenantID != k.Tenant {
		return "", operate.Usage("the API key is of tenant %s, --tenant says %s", k.Tenant, tenantID)
	}
	return text, nil
}

func (c *cli) publish() *cobra.Command {
	var tenantID, id, key, source, subject, when, data, origin, keyFile string
	var wait time.Duration
	var noWait bool
	cmd := &cobra.Command{
		Use: "publish <type>", Short: "Publish one event over HTTP, at once, and wait for the verdict", Args: args("type"),
		Annotations: map[string]string{newTenant: "it is the API key's, which the HTTP door knows"},
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
			if wait < time.Second || wait > maxVerdictWait {
				return operate.Usage("--wait must be 1s to %s", maxVerdictWait).Hint("--no-wait does not wait for the verdict")
			}
			if noWait {
				wait = 0
			}
			body, err := c.readData(data)
			if err != nil {
				return err
			}
			base, err := c.env.Need(operate.EnvHTTP, "the HTTP door")
			if err != nil {
				return err
			}
			token, err := c.apiKey(keyFile, tenantID)
			if err != nil {
				return err
			}
			if err := c.env.URLListening("the HTTP door", operate.EnvHTTP, base); err != nil {
				return err
			}
			if id == "" && key == "" {
				v7, err := uuid.NewV7()
				if err != nil {
					return operate.Fail("make an event id", err)
				}
				id = v7.String()
			}
			if when == "" {
				when = event.FormatTime(c.env.Now())
			}
			ce := map[string]any{"specversion": "1.0", "type": args[0], "source": source, "time": when, "data": json.RawMessage(body)}
			for name, v := range map[string]string{"id": id, "subject": subject, "origin": origin} {
				if v != "" {
					ce[name] = v
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.env.Timeout+wait)
			defer cancel()
			answer, err := c.postEvent(ctx, base, token, key, wait, ce)
			if err != nil {
				return c.suggestType(err, args[0])
			}
			if c.format == formatJSON {
				if err := c.json(answer); err != nil {
					return err
				}
			} else {
				printf(c.out, "%s\n", answer.ID)
			}
			return c.sayVerdict(answer, tenantID, wait)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "check that the API key is this tenant's")
	fs.StringVar(&keyFile, "api-key-file", "", "file with the API key (default $"+operate.EnvAPIKey+")")
	fs.StringVar(&id, "id", "", "event id (default a new one)")
	fs.StringVar(&key, "key", "", "Idempotency-Key: a repeat within 24 hours is dropped")
	fs.StringVar(&source, "source", "/cli", "where the event comes from")
	fs.StringVar(&subject, "subject", "", "what it is about, such as lead/42")
	fs.StringVar(&when, "time", "", "when it happened, RFC 3339 (default now)")
	fs.StringVar(&origin, "origin", "", "import or backfill: rules do not fire")
	fs.StringVar(&data, "data", "{}", "JSON data; @file reads a file, - reads stdin")
	fs.DurationVar(&wait, "wait", 10*time.Second, "how long to wait for the verdict, 1s to 30s")
	fs.BoolVar(&noWait, "no-wait", false, "only hand the event over; what becomes of it is not told")
	return cmd
}

// maxVerdictWait is the longest wait that the HTTP door grants.
const maxVerdictWait = 30 * time.Second

// sayVerdict tells what became of an event that was taken.
func (c *cli) sayVerdict(p published, tenantID string, wait time.Duration) error {
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

// suggestType adds the type that was probably meant to a refusal of one that is not there.
func (c *cli) suggestType(err error, typ string) error {
	var e *operate.Error
	if !errors.As(err, &e) || e.Code != event.CodeUnknownType {
		return err
	}
	types, listErr := operate.BuiltInTypes()
	if near := operate.Nearest(typ, types); listErr == nil && near != "" && near != typ {
		return e.Hint("did you mean %s? `neuronx schemas check` lists the catalogue", near)
	}
	return err
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

type published struct {
	ID     string `json:"id"`
	Status string `json:"status"` // admitted, duplicate, or accepted: not judged yet

	Sequence string `json:"sequence,omitempty"` // of what was admitted; a string, as it passes 2^53
	Position string `json:"position,omitempty"`
	Of       string `json:"of,omitempty"` // of a duplicate: the sequence of the event that is there
}

func (c *cli) postEvent(ctx context.Context, base, token, key string, wait time.Duration, ce map[string]any) (published, error) {
	var out published
	body, err := json.Marshal(ce)
	if err != nil {
		return out, operate.Fail("encode the event", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return out, operate.Usage("%s %q is not a URL", operate.EnvHTTP, base)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer "+token)
	if key != "" {
		req.Header.Set("Idempotency-Key", `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key)+`"`)
	}
	if wait > 0 {
		req.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	res, err := c.env.HTTP.Do(req)
	if err != nil {
		return out, operate.Fail("publish the event", err).Hint("is ingest running at %s? %s, and publish again with the same --id or --key", base, operate.Start)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return out, operate.Fail("read the answer", err)
	}
	if res.StatusCode != http.StatusAccepted && (wait == 0 || res.StatusCode != http.StatusOK) {
		return out, httpProblem(res.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, operate.Fail("read the answer", err)
	}
	return out, nil
}

// httpProblem turns an RFC 9457 answer into an error for a terminal.
func httpProblem(status int, body []byte) error {
	var p struct {
		Code   event.Code `json:"code"`
		Title  string     `json:"title"`
		Detail string     `json:"detail"`
		Hint   string     `json:"hint"`
		Errors []struct {
			Location string `json:"location"`
			Message  string `json:"message"`
		} `json:"errors"`
	}
	e := &operate.Error{Kind: operate.KindFailed, What: "the event was not accepted"}
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		e.Why = "HTTP " + http.StatusText(status) + " from something that is not the engine's HTTP door"
		return e
	}
	e.Code, e.Next = p.Code, p.Hint
	lines := []string{string(p.Code) + ": " + p.Detail}
	for _, f := range p.Errors {
		lines = append(lines, f.Location+": "+f.Message)
	}
	e.Why = strings.Join(lines, "\n")
	return e
}

const importHTTPTimeout = 60 * time.Second
