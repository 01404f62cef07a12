package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/projector"
	"github.com/neuronx/engine/services/projector/fold"
)

// Log reads the log, by partition and offset: of some partitions, of all when none is named.
func (c *Cluster) Log(ctx context.Context, partitions ...int32) ([]event.Recorded, error) {
	var out []event.Recorded
	err := c.read(ctx, kafka.TopicEvents, partitions, func(r *kafka.Record) error {
		rec, err := kafka.ParseRecorded(r)
		if err != nil {
			return fmt.Errorf("offset %d of partition %d: %w", r.Offset, r.Partition, err)
		}
		out = append(out, rec)
		return nil
	})
	return out, err
}

// DeadLetters reads the dead letters, of some partitions, of all when none is named.
func (c *Cluster) DeadLetters(ctx context.Context, partitions ...int32) ([]checker.DeadLetter, error) {
	var out []checker.DeadLetter
	err := c.read(ctx, kafka.TopicDeadLetter, partitions, func(r *kafka.Record) error {
		h := map[string]string{}
		for _, x := range r.Headers {
			h[x.Key] = string(x.Value)
		}
		d := checker.DeadLetter{Tenant: string(r.Key), ID: h["ce_id"], Type: h["ce_type"], Code: h["nx_error_code"], Deriver: h["ce_deriver"]}
		_, _ = fmt.Sscan(h["ce_derivernumber"], &d.Number)
		if e, err := kafka.ParseRecord(r); err == nil {
			d.Path = e.Path
		}
		out = append(out, d)
		return nil
	})
	return out, err
}

func (c *Cluster) read(ctx context.Context, topic string, partitions []int32, fn func(*kafka.Record) error) error {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return err
	}
	defer adm.Close()
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, topic)
	if err != nil {
		return err
	}
	for p := range int32(len(ends)) {
		if len(partitions) > 0 && !slices.Contains(partitions, p) {
			continue
		}
		if err := read.Range(ctx, c.Kafka, topic, p, 0, ends[kafka.TopicPartition{Topic: topic, Partition: p}], fn); err != nil {
			return err
		}
	}
	return nil
}

// Dump collects everything that the checker looks at but the clients' histories: of the tenants of some partitions, of all when none is
// named. A partition's tenants can be judged by themselves, in a fraction of the memory.
func (c *Cluster) Dump(ctx context.Context, partitions ...int32) (d checker.Dump, err error) {
	tenants, err := c.tenantsOf(ctx, partitions)
	if err != nil {
		return d, err
	}
	if d.Log, err = c.Log(ctx, partitions...); err != nil {
		return d, err
	}
	if d.DeadLetters, err = c.DeadLetters(ctx, partitions...); err != nil {
		return d, err
	}
	if d.Archive, err = collect[checker.ArchiveRow](ctx, c, `SELECT tenant_id, sequence, event_id, payload FROM neuronx.tenant_events`+whose("tenant_id"), tenants); err != nil {
		return d, err
	}
	d.Stored = c.Stored(ctx)
	if d.Replays, err = c.Replays(ctx, d.Log); err != nil {
		return d, err
	}
	dec := consumer.NewDecoder(c.Registry)
	if d.Flows, err = checker.ReadFlows(d.Log, func(r *event.Recorded) (map[string]any, error) { return dec.Decode(ctx, r) }); err != nil {
		return d, err
	}
	if d.Timers, d.AtRest, err = c.Timers(ctx, tenants); err != nil {
		return d, err
	}
	if d.Tables, d.Fold, err = c.Tables(ctx, d.Log, tenants); err != nil {
		return d, err
	}
	if d.Effects, err = collect[checker.Effect](ctx, c, `SELECT tenant_id, effect_id, kind, class, status, attempts FROM neuronx.effects`+whose("tenant_id"), tenants); err != nil {
		return d, err
	}
	if d.Calls, err = c.Calls(ctx); tenants != nil {
		d.Calls = slices.DeleteFunc(d.Calls, func(call checker.Call) bool { return !slices.Contains(tenants, call.Tenant) })
	}
	return d, err
}

// tenantsOf returns the tenants that any consumer knows in some partitions; nil, for all, when none is named.
func (c *Cluster) tenantsOf(ctx context.Context, partitions []int32) ([]string, error) {
	if len(partitions) == 0 {
		return nil, nil
	}
	all, err := collect[string](ctx, c, `SELECT DISTINCT tenant_id FROM neuronx.progress`)
	return slices.DeleteFunc(all, func(t string) bool { return !slices.Contains(partitions, kafka.PartitionFor([]byte(t), Partitions)) }), err
}

// whose ends a query that is asked with tenantsOf.
func whose(column string) string { return ` WHERE $1::text[] IS NULL OR ` + column + ` = ANY ($1)` }

// Durable collects what I10 is decided by: a group's committed offsets and what is on disk below them.
func (c *Cluster) Durable(ctx context.Context, group string) (d checker.Dump, err error) {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return d, err
	}
	defer adm.Close()
	committed, err := adm.Committed(ctx, group)
	if err != nil {
		return d, err
	}
	offsets := map[int32]int64{}
	for tp, o := range committed {
		if tp.Topic == kafka.TopicEvents && o.Present {
			offsets[tp.Partition] = o.Offset
		}
	}
	d.Committed = map[string]map[int32]int64{group: offsets}
	if d.Progress, err = c.Progress(ctx); err != nil {
		return d, err
	}
	if d.Archive, err = collect[checker.ArchiveRow](ctx, c, `SELECT tenant_id, sequence, event_id, ''::bytea FROM neuronx.tenant_events`); err != nil {
		return d, err
	}
	if d.Effects, err = collect[checker.Effect](ctx, c, `SELECT tenant_id, effect_id, kind, class, status, attempts FROM neuronx.effects`); err != nil {
		return d, err
	}
	d.Log, err = c.Log(ctx)
	return d, err
}

// Stored is stored() with the fingerprint looked up by the record's schema id.
func (c *Cluster) Stored(ctx context.Context) func(event.Recorded) ([]byte, error) {
	return func(r event.Recorded) ([]byte, error) {
		id, _, err := event.Unframe(r.Value)
		if err != nil {
			return nil, err
		}
		s, err := c.Registry.SchemaByID(ctx, id)
		if err != nil {
			return nil, err
		}
		return archive.Stored(r, s.Fingerprint())
	}
}

// Tables returns what the read models hold of tenants, of all when tenants is nil, and what they should hold by the log, a line a row.
func (c *Cluster) Tables(ctx context.Context, log []event.Recorded, tenants []string) (have, want map[string][]string, err error) {
	specs, err := fold.Declared()
	if err != nil {
		return nil, nil, err
	}
	dec := consumer.NewDecoder(c.Registry)
	if want, err = checker.Models(log, func(r *event.Recorded) (map[string]any, error) { return dec.Decode(ctx, r) }); err != nil {
		return nil, nil, err
	}
	have = map[string][]string{}
	for _, s := range specs {
		name := s.Schema + "." + s.Table
		if !slices.EqualFunc(s.Columns, checker.Columns[name], func(c fold.Column, column string) bool { return c.Name == column }) {
			return nil, nil, fmt.Errorf("the columns of %s are not those that the checker folds", name)
		}
		if have[name], err = collect[string](ctx, c, tableQuery(s)+whose("t.tenant_id"), tenants); err != nil {
			return nil, nil, err
		}
	}
	return have, want, nil
}

// tableQuery selects a table's active rows as lines of the form of checker.Models. It reads below the views, which leave columns out.
func tableQuery(s *fold.Spec) string {
	parts := []string{"t.tenant_id"}
	for _, col := range s.Columns {
		q := pgx.Identifier{"t", col.Name}.Sanitize()
		switch col.Type {
		case fold.Timestamptz:
			q = `to_char(` + q + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
		case fold.TextArray:
			q = `array_to_string(` + q + `, ',')`
		default:
			q += "::text"
		}
		parts = append(parts, "coalesce("+q+", '')")
	}
	return "SELECT " + strings.Join(parts, " || '|' || ") + " FROM " + pgx.Identifier{"projection", s.Table}.Sanitize() +
		" t JOIN projection.active a ON a.tenant_id = t.tenant_id AND a.generation = t.generation AND a.feed = '" + projector.FeedOf(s) + "'"
}

// Calls asks the stand-in for the requests that it carried out.
func (c *Cluster) Calls(ctx context.Context) ([]checker.Call, error) {
	out := []checker.Call{}
	for since := int64(0); ; {
		body, code, err := get(ctx, fmt.Sprintf("%s/_standin/requests?limit=10000&since=%d", c.CRMURL, since))
		if err != nil || code != http.StatusOK {
			return nil, fmt.Errorf("ask the stand-in: %d %w", code, err)
		}
		var answer struct {
			Requests []struct {
				Location, Method, Path, Body string
				Applied                      bool
			} `json:"requests"`
			Next int64 `json:"next_since"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			return nil, fmt.Errorf("read the stand-in's answer: %w", err)
		}
		for _, r := range answer.Requests {
			if r.Applied {
				out = append(out, checker.Call{Tenant: r.Location, Method: r.Method, Path: r.Path, Body: r.Body})
			}
		}
		if len(answer.Requests) == 0 {
			return out, nil
		}
		since = answer.Next
	}
}

// collect reads rows as the superuser.
func collect[T any](ctx context.Context, c *Cluster, query string, args ...any) ([]T, error) {
	rows, err := c.Admin.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	var zero T
	if _, ok := any(zero).(string); ok {
		return pgx.CollectRows(rows, pgx.RowTo[T])
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// Progress reads the rows that say how far each consumer is.
func (c *Cluster) Progress(ctx context.Context) ([]checker.Progress, error) {
	return collect[checker.Progress](ctx, c, `SELECT consumer, tenant_id, state, sequence FROM neuronx.progress WHERE state <> 'retired'`)
}
