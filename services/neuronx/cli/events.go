package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// eventView is an event as the tool shows it. Numbers that pass 2^53 are
// strings.
type eventView struct {
	Tenant        string            `json:"tenant_id"`
	Sequence      string            `json:"sequence"`
	Position      string            `json:"position"`
	ID            string            `json:"id"`
	Type          string            `json:"type"`
	Subject       string            `json:"subject,omitempty"`
	Source        string            `json:"source"`
	Time          string            `json:"time,omitempty"`
	RecordedTime  string            `json:"recordedtime"`
	Origin        string            `json:"origin,omitempty"`
	CorrelationID string            `json:"correlationid,omitempty"`
	CausationID   string            `json:"causationid,omitempty"`
	Hops          int               `json:"hops,omitempty"`
	Path          []string          `json:"path,omitempty"`
	SchemaID      int32             `json:"schema_id,omitempty"`
	Data          json.RawMessage   `json:"data,omitempty"`
	DataError     string            `json:"data_error,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
}

// view renders an event. A body that can't be rendered is no reason to show
// nothing.
func view(ctx context.Context, reg *registry.Client, r event.Recorded) eventView {
	v := eventView{
		Tenant: r.TenantID, Sequence: strconv.FormatInt(r.Sequence, 10), Position: strconv.FormatInt(r.Position, 10),
		ID: r.ID, Type: r.Type, Subject: r.Subject, Source: r.Source, RecordedTime: event.FormatTime(r.RecordedTime),
		Origin: string(r.Origin), CorrelationID: r.CorrelationID, CausationID: r.CausationID, Hops: r.Hops, Path: r.Path,
	}
	if !r.Time.IsZero() {
		v.Time = event.FormatTime(r.Time)
	}
	id, body, err := event.Unframe(r.Value)
	if err == nil {
		v.SchemaID = id
		if reg == nil {
			return v
		}
		s, schemaErr := reg.SchemaByID(ctx, id)
		if err = schemaErr; err == nil {
			v.Data, err = s.RenderJSON(body)
		}
	}
	if err != nil {
		v.DataError = err.Error()
	}
	return v
}

func (c *cli) events() *cobra.Command {
	return group("events", "Look at the log: tail, get, trace", c.eventsTail(), c.eventsGet(), c.eventsTrace())
}

var errEnough = errors.New("enough")

func (c *cli) eventsTail() *cobra.Command {
	var tenantID, typ string
	var fromStart bool
	var limit int
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow the log", Args: noArgs,
		Example: "  neuronx events tail --tenant acme\n  neuronx events tail --from-start --limit 10 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage("--limit can't be negative")
			}
			cfg, err := c.kafka()
			if err != nil {
				return err
			}
			reg, err := c.registry()
			if err != nil {
				return err
			}
			seen := 0
			ctx := cmd.Context()
			err = kafka.Follow(ctx, cfg, kafka.TopicEvents, fromStart, func(r *kafka.Record) error {
				if tenantID != "" && string(r.Key) != tenantID {
					return nil
				}
				rec, err := kafka.ParseRecorded(r)
				if err != nil {
					c.note("%s partition %d offset %d can't be read: %v", r.Topic, r.Partition, r.Offset, err)
					return nil
				}
				if typ != "" && rec.Type != typ {
					return nil
				}
				if err := c.showTail(view(ctx, reg, rec)); err != nil {
					return err
				}
				if seen++; seen == limit {
					return errEnough
				}
				return nil
			})
			if err != nil && !errors.Is(err, errEnough) && ctx.Err() == nil {
				return failed("follow the log", err)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "only this tenant's")
	fs.StringVar(&typ, "type", "", "only this type")
	fs.BoolVar(&fromStart, "from-start", false, "begin with the oldest event instead of the next")
	fs.IntVarP(&limit, "limit", "n", 0, "stop after so many; 0: never")
	return cmd
}

// showTail writes one event a line; a table can't know its widths in advance.
func (c *cli) showTail(v eventView) error {
	if c.format == formatJSON {
		return c.line(v)
	}
	data := string(v.Data)
	if v.DataError != "" {
		data = "(" + v.DataError + ")"
	}
	printf(c.out, "%s  %-12s %6s  %-28s %-24s %s\n", v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data)
	return nil
}

// archived is the part of an archive row that is shown.
const archivedColumns = `tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at, correlation_id, causation_id, schema_id, data`

func scanArchived(row pgx.CollectableRow) (eventView, error) {
	var v eventView
	var sequence, position int64
	var occurred *time.Time
	var recorded time.Time
	var data []byte
	err := row.Scan(&v.Tenant, &sequence, &position, &v.ID, &v.Type, &v.Subject, &v.Source, &occurred, &recorded, &v.CorrelationID, &v.CausationID, &v.SchemaID, &data)
	v.Sequence, v.Position = strconv.FormatInt(sequence, 10), strconv.FormatInt(position, 10)
	v.RecordedTime, v.Data = event.FormatTime(recorded), data
	if occurred != nil {
		v.Time = event.FormatTime(*occurred)
	}
	return v, err
}

func queryArchived(ctx context.Context, pool *pgxpool.Pool, where string, args ...any) ([]eventView, error) {
	rows, err := pool.Query(ctx, `SELECT `+archivedColumns+` FROM neuronx.tenant_events WHERE `+where, args...)
	if err != nil {
		return nil, failed("read the archive", err)
	}
	out, err := pgx.CollectRows(rows, scanArchived)
	if err != nil {
		return nil, failed("read the archive", err)
	}
	return out, nil
}

func (c *cli) eventsGet() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "get <id or sequence>", Short: "Show one event from the archive", Args: args("id or sequence"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			found, err := queryArchived(ctx, pool, `tenant_id = $1 AND event_id = $2 ORDER BY sequence`, tenantID, args[0])
			if err != nil {
				return err
			}
			if n, numErr := strconv.ParseInt(args[0], 10, 64); numErr == nil && len(found) == 0 {
				if found, err = queryArchived(ctx, pool, `tenant_id = $1 AND sequence = $2`, tenantID, n); err != nil {
					return err
				}
			}
			if len(found) == 0 {
				return failed("find the event", event.Refuse(event.CodeNotFound, "the archive of %s has no event %s", tenantID, args[0]).
					Hint("refused events are in `neuronx deadletter list`; the archive follows the log by a moment"))
			}
			for _, v := range found { // an id may recur after the key window
				if err := c.json(v); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}

// traceSQL walks causes up and consequences down from one event. Causes are ids
// of the same tenant; 32 levels is twice what the storm guard lets through.
const traceSQL = `
WITH RECURSIVE up AS (
    SELECT e.sequence, e.causation_id, 0 AS depth FROM neuronx.tenant_events e WHERE e.tenant_id = $1 AND e.event_id = $2
  UNION
    SELECT e.sequence, e.causation_id, up.depth - 1 FROM up JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.event_id = up.causation_id
    WHERE up.causation_id <> '' AND up.depth > -32
), top AS (
    SELECT sequence FROM up ORDER BY depth, sequence LIMIT 1
), down AS (
    SELECT e.sequence, e.event_id, 0 AS depth FROM neuronx.tenant_events e WHERE e.tenant_id = $1 AND e.sequence = (SELECT sequence FROM top)
  UNION
    SELECT e.sequence, e.event_id, down.depth + 1 FROM down JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.causation_id = down.event_id AND e.sequence > down.sequence
    WHERE down.depth < 32
)
SELECT sequence, min(depth)::int FROM down GROUP BY sequence ORDER BY sequence LIMIT 1000`

func (c *cli) eventsTrace() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "trace <id>", Short: "Show what caused an event and what came of it", Args: args("id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			rows, err := pool.Query(ctx, traceSQL, tenantID, args[0])
			if err != nil {
				return failed("trace the event", err)
			}
			depths := map[string]int{}
			var sequences []int64
			var sequence int64
			var depth int
			if _, err := pgx.ForEachRow(rows, []any{&sequence, &depth}, func() error {
				sequences = append(sequences, sequence)
				depths[strconv.FormatInt(sequence, 10)] = depth
				return nil
			}); err != nil {
				return failed("trace the event", err)
			}
			if len(sequences) == 0 {
				return failed("trace the event", event.Refuse(event.CodeNotFound, "the archive of %s has no event %s", tenantID, args[0]))
			}
			found, err := queryArchived(ctx, pool, `tenant_id = $1 AND sequence = ANY($2) ORDER BY sequence`, tenantID, sequences)
			if err != nil {
				return err
			}
			return show(c, found, []string{"SEQUENCE", "EVENT", "SUBJECT", "RECORDED", "ID"}, func(v eventView) []any {
				return []any{v.Sequence, indent(depths[v.Sequence]) + v.Type, dash(v.Subject), v.RecordedTime, v.ID}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}

func indent(depth int) string {
	if depth == 0 {
		return ""
	}
	out := ""
	for range depth - 1 {
		out += "   "
	}
	return out + "└─ "
}
