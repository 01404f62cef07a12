package cli

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func (c *cli) deadletter() *cobra.Command {
	return group("deadletter", "What the sequencer refused: list, show, retry, edit, drop",
		c.deadletterList(), c.deadletterShow(), c.deadletterRetry(), c.deadletterEdit(), c.deadletterDrop())
}

type letterRow struct {
	Ref      string    `json:"ref"` // topic/partition/offset of the refused record
	Tenant   string    `json:"tenant_id"`
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail"`
	ID       string    `json:"event_id"`
	Type     string    `json:"event_type"`
	Recorded time.Time `json:"recorded_at"`
	State    string    `json:"state"`
	Next     string    `json:"next_ref,omitempty"` // of refused_again
}

func rowOf(l *deadletter.Letter) letterRow {
	return letterRow{l.Ref(), l.Tenant, l.Reason, l.Detail, l.EventID, l.Type, l.Recorded, l.State, l.Next}
}

// letterFilter is the flags that choose letters.
type letterFilter struct {
	deadletter.Filter
	since, until string
}

func (f *letterFilter) bind(fs *pflag.FlagSet, code string, limit int) {
	fs.StringVar(&f.Tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.Reason, code, "", "only refused as this, such as invalid_body")
	fs.StringVar(&f.Type, "type", "", "only of this event type")
	fs.StringVar(&f.since, "since", "", "only recorded at this time or later, RFC 3339")
	fs.StringVar(&f.until, "until", "", "only recorded before this time, RFC 3339")
	fs.IntVarP(&f.Limit, "limit", "n", limit, "at most so many")
}

func (f *letterFilter) check() error {
	if f.Limit < 1 {
		return operate.Usage("--limit must be at least 1")
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &f.Since}, {"until", f.until, &f.Until}} {
		if t.text == "" {
			continue
		}
		at, err := event.ParseTime(t.text)
		if err != nil {
			return operate.Usage("--%s %q is not a time", t.flag, t.text).Hint("such as 2026-01-31T12:00:00Z")
		}
		*t.to = at
	}
	return nil
}

// known refuses a reason or a type that is not there, which would choose nothing for ever. What was refused may name a type that
// never was.
func (f *letterFilter) known(ctx context.Context, c *cli, pool *pgxpool.Pool) error {
	for _, look := range []struct{ what, value, column string }{{"reason", f.Reason, "reason"}, {"event type", f.Type, "event_type"}} {
		if look.value == "" {
			continue
		}
		rows, err := pool.Query(ctx, `SELECT DISTINCT `+look.column+` FROM neuronx.dead_letters LIMIT 10000`)
		if err != nil {
			return operate.Fail("list dead letters", err)
		}
		seen, err := pgx.CollectRows(rows, pgx.RowTo[string])
		switch {
		case err != nil:
			return operate.Fail("list dead letters", err)
		case slices.Contains(seen, look.value):
		case look.column == "event_type":
			if err := c.env.CheckType(ctx, look.value); err != nil {
				return err
			}
		case !slices.Contains(event.Codes(), event.Code(look.value)):
			for _, code := range event.Codes() {
				seen = append(seen, string(code))
			}
			return operate.Unknown("reason", look.value, seen, "`neuronx deadletter list --by reason --state all`")
		}
	}
	return nil
}

type letterCount struct {
	Name   string    `json:"name"`
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

func (c *cli) deadletterList() *cobra.Command {
	var f letterFilter
	var state, by string
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, newest first, or count them", Args: noArgs,
		Example: "  neuronx deadletter list --by reason\n  neuronx deadletter list --tenant acme --reason invalid_body --since 2026-01-31T00:00:00Z",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", state, "open", "retried", "resolved", "refused_again", "dropped", "all"); err != nil {
				return err
			}
			if by != "" {
				if err := oneOf("by", by, "reason", "tenant", "type", "state"); err != nil {
					return err
				}
			}
			if err := f.check(); err != nil {
				return err
			}
			if f.State = state; state == "all" {
				f.State = ""
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
			if by != "" {
				return c.countLetters(ctx, pool, by, f.Filter)
			}
			found, err := deadletter.List(ctx, pool, f.Filter)
			if err != nil {
				return operate.Fail("list dead letters", err)
			}
			rows := make([]letterRow, len(found))
			for i := range found {
				rows[i] = rowOf(&found[i])
			}
			if err := c.showLetters(rows); err != nil {
				return err
			}
			return c.noteFurther(ctx, pool, f.Filter, len(rows))
		},
	}
	f.bind(cmd.Flags(), "reason", defaultLimit)
	cmd.Flags().StringVar(&state, "state", "open", "open, retried, resolved, refused_again, dropped or all")
	cmd.Flags().StringVar(&by, "by", "", "count them by reason, tenant, type or state instead")
	return cmd
}

func (c *cli) showLetters(rows []letterRow) error {
	return show(c, rows, []string{"REF", "TENANT", "REASON", "TYPE", "ID", "RECORDED", "STATE"}, func(r letterRow) []any {
		return []any{r.Ref, dash(r.Tenant), r.Reason, dash(r.Type), dash(r.ID), stamp(r.Recorded), r.State}
	})
}

func (c *cli) countLetters(ctx context.Context, pool *pgxpool.Pool, by string, f deadletter.Filter) error {
	counts, err := deadletter.Counts(ctx, pool, by, f)
	if err != nil {
		return operate.Fail("count dead letters", err)
	}
	rows := make([]letterCount, len(counts))
	for i, n := range counts {
		rows[i] = letterCount(n)
	}
	return show(c, rows, []string{strings.ToUpper(by), "COUNT", "OLDEST", "NEWEST"}, func(r letterCount) []any {
		return []any{dash(r.Name), r.Count, stamp(r.Oldest), stamp(r.Newest)}
	})
}

type letterView struct {
	letterRow
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Data    json.RawMessage   `json:"data,omitempty"`         // when the schema is known and the body fits it
	Hex     string            `json:"value_hex,omitempty"`    // else its beginning
	Value   string            `json:"value_base64,omitempty"` // all of it, when asked for or not decoded and short
	Bytes   int               `json:"value_bytes"`
	Cut     bool              `json:"value_cut,omitempty"`
}

// Bounds of what is shown of a value that can't be decoded, in bytes.
const (
	shownHex    = 256
	shownBase64 = 4096
)

func (c *cli) deadletterShow() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "show <topic/partition/offset>", Short: "Show one dead letter with what was received", Args: args("topic/partition/offset"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, _, err := parseRef(args[0]); err != nil {
				return err
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
			v := letterView{letterRow: rowOf(l), Key: safetext.Text(string(l.Key)), Headers: map[string]string{}, Bytes: len(l.Value)}
			for _, h := range l.Headers {
				v.Headers[safetext.Text(h.Key)] = safetext.Text(string(h.Value))
			}
			if v.Data = c.decoded(ctx, pool, l.Value); v.Data == nil {
				v.Hex = hex.EncodeToString(l.Value[:min(len(l.Value), shownHex)])
				v.Value = base64.StdEncoding.EncodeToString(l.Value[:min(len(l.Value), shownBase64)])
				v.Cut = len(l.Value) > shownBase64
			}
			if raw {
				v.Value, v.Cut = base64.StdEncoding.EncodeToString(l.Value), false
			}
			return c.json(v)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "with the whole value as received, in base64")
	return cmd
}

func (c *cli) letter(ctx context.Context, pool *pgxpool.Pool, ref string) (*deadletter.Letter, error) {
	topic, partition, offset, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	l, err := deadletter.Load(ctx, pool, topic, partition, offset)
	var r *event.Refusal
	if errors.As(err, &r) && r.Code == event.CodeNotFound {
		return nil, noLetter(ctx, pool, ref)
	}
	if err != nil {
		return nil, operate.Fail("look for the dead letter", err)
	}
	return l, nil
}

// noLetter is the error about a dead letter that is not there, with one that is like it.
func noLetter(ctx context.Context, pool *pgxpool.Pool, ref string) error {
	letters, err := deadletter.List(ctx, pool, deadletter.Filter{Limit: 1000})
	if err != nil {
		return operate.Fail("list dead letters", err)
	}
	refs := make([]string, len(letters))
	for i := range letters {
		refs[i] = letters[i].Ref()
	}
	return operate.Unknown("dead letter", ref, refs, "`neuronx deadletter list --state all`")
}

// decoded renders a value under its schema, as the archive knows it or else the registry; nil when that can't be.
func (c *cli) decoded(ctx context.Context, pool *pgxpool.Pool, value []byte) json.RawMessage {
	id, body, err := event.Unframe(value)
	if err != nil {
		return nil
	}
	schema := c.schemaByID(ctx, pool, id)
	if schema == nil || schema.Check(body) != nil {
		return nil
	}
	text, err := schema.RenderJSON(body)
	if err != nil {
		return nil
	}
	return text
}

func (c *cli) schemaByID(ctx context.Context, pool *pgxpool.Pool, id int32) *avro.Schema {
	var text string
	err := pool.QueryRow(ctx, `SELECT schema FROM neuronx.schemas WHERE schema_id = $1 ORDER BY seen_at DESC LIMIT 1`, id).Scan(&text)
	if err == nil {
		if s, err := avro.Parse([]byte(text)); err == nil {
			return s
		}
	}
	if !errors.Is(err, pgx.ErrNoRows) || c.value(operate.EnvRegistry) == "" {
		return nil
	}
	reg, err := c.env.Registry()
	if err != nil {
		return nil
	}
	s, err := reg.SchemaByID(ctx, id)
	if err != nil {
		return nil
	}
	return s
}

func parseRef(ref string) (topic string, partition int32, offset int64, err error) {
	parts := strings.Split(ref, "/")
	if len(parts) == 3 && parts[0] != "" {
		p, perr := strconv.ParseInt(parts[1], 10, 32)
		o, oerr := strconv.ParseInt(parts[2], 10, 64)
		if perr == nil && oerr == nil && p >= 0 && o >= 0 {
			return parts[0], int32(p), o, nil
		}
	}
	return "", 0, 0, operate.Usage("%q is not topic/partition/offset", ref).Hint("as `neuronx deadletter list` shows it, such as neuronx.ingress/0/17")
}
