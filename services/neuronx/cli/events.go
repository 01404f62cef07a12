package cli

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/services/neuronx/operate"
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
	Rule          string            `json:"rule,omitempty"` // rule@version that derived it, or the deriver that is no rule
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
	v.Rule = ruleOf(r)
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
	return group("events", "Look at the log: list, tail, get, trace", c.eventsList(), c.eventsTail(), c.eventsGet(), c.eventsTrace())
}

// archived is the part of an archive row that is shown.
const archivedColumns = `tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at, correlation_id, causation_id, schema_id, data, payload`

func scanArchived(row pgx.CollectableRow) (eventView, error) {
	var v eventView
	var sequence, position int64
	var occurred *time.Time
	var recorded time.Time
	var data, payload []byte
	err := row.Scan(&v.Tenant, &sequence, &position, &v.ID, &v.Type, &v.Subject, &v.Source, &occurred, &recorded, &v.CorrelationID, &v.CausationID, &v.SchemaID, &data, &payload)
	v.Sequence, v.Position = strconv.FormatInt(sequence, 10), strconv.FormatInt(position, 10)
	v.RecordedTime, v.Data = event.FormatTime(recorded), data
	if occurred != nil {
		v.Time = event.FormatTime(*occurred)
	}
	if err != nil {
		return v, err
	}
	if r, _, err := archive.ParseStored(payload); err == nil { // the columns are shown all the same: doctor says what can't be read
		v.Origin, v.Hops, v.Path, v.Rule = string(r.Origin), r.Hops, r.Path, ruleOf(r)
	}
	return v, nil
}

func queryArchived(ctx context.Context, pool *pgxpool.Pool, where string, args ...any) ([]eventView, error) {
	rows, err := pool.Query(ctx, `SELECT `+archivedColumns+` FROM neuronx.tenant_events WHERE `+where, args...)
	if err != nil {
		return nil, operate.Fail("read the archive", err)
	}
	out, err := pgx.CollectRows(rows, scanArchived)
	if err != nil {
		return nil, operate.Fail("read the archive", err)
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
			pool, err := c.env.Pool(ctx)
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
				return noEvent(ctx, pool, tenantID, args[0])
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

// ruleOf is the rule that derived an event, from the end of its path (entries `type<rule@version`), or else the deriver; empty: it
// came from outside.
func ruleOf(r event.Recorded) string {
	if len(r.Path) > 0 {
		if _, rule, ok := strings.Cut(r.Path[len(r.Path)-1], "<"); ok && r.Deriver == "rules" {
			return rule
		}
	}
	return r.Deriver
}

// noEvent is the error about an id that the archive lacks, with the newest ids that are like it.
func noEvent(ctx context.Context, pool *pgxpool.Pool, tenantID, id string) error {
	near, err := recent(ctx, pool, tenantID, "event_id")
	if err != nil {
		return err
	}
	return operate.NotArchived(ctx, pool, tenantID, "no event "+id, operate.Nearest(id, near),
		"`neuronx events list --tenant "+tenantID+"` lists the newest, `neuronx deadletter list` what was refused")
}

// recent lists the ids or subjects (column) of a tenant's newest 1,000 events: what a person may have meant.
func recent(ctx context.Context, pool *pgxpool.Pool, tenantID, column string) ([]string, error) {
	rows, err := pool.Query(ctx, `SELECT DISTINCT `+column+` FROM (SELECT event_id, subject FROM neuronx.tenant_events WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1000) newest`, tenantID)
	if err != nil {
		return nil, operate.Fail("read the archive", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, operate.Fail("read the archive", err)
	}
	return found, nil
}
