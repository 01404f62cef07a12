package reseed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/effects"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/timers"
)

// loadRows reads the progress of every consumer, each row with what the archive holds under its sequence.
func loadRows(ctx context.Context, q querier, tenants []string) ([]row, error) {
	found, err := consumer.AllRows(ctx, q, tenants...)
	if err != nil {
		return nil, err
	}
	var of []string
	var at []int64
	for _, r := range found {
		of, at = append(of, r.TenantID), append(at, r.Sequence)
	}
	names, err := archive.NamesAt(ctx, q, of, at)
	if err != nil {
		return nil, err
	}
	type place struct {
		tenant   string
		sequence int64
	}
	archived := map[place]archive.Name{}
	for _, n := range names {
		archived[place{n.Tenant, n.Sequence}] = n
	}
	out := make([]row, len(found))
	for i, r := range found {
		n := archived[place{r.TenantID, r.Sequence}]
		out[i] = row{Row: r, Archived: n.EventID, ArchiveLog: n.LogID}
	}
	return out, nil
}

// loadHeads reads where each tenant's events end in the archive.
func loadHeads(ctx context.Context, q querier, tenants []string, partitions int32) ([]archive.Head, error) {
	out, err := archive.Heads(ctx, q, tenants...)
	if err != nil {
		return nil, err
	}
	for _, h := range out {
		if home := kafka.PartitionFor([]byte(h.Tenant), partitions); home != h.Partition {
			return nil, refuse("tenant %s was archived from partition %d and belongs to partition %d of %d: the topics must have as many partitions as before",
				h.Tenant, h.Partition, home, partitions)
		}
	}
	return out, nil
}

// rewrite is the one transaction that makes Postgres fit the new log.
func (r *run) rewrite(ctx context.Context, reader *archive.Reader, heads []archive.Head, report *Report) error {
	byTenant := map[string]archive.Head{}
	archived := map[string]int64{}
	for _, h := range heads {
		byTenant[h.Tenant], archived[h.Tenant] = h, h.Sequence
	}
	return pgx.BeginFunc(ctx, r.db, func(tx pgx.Tx) error {
		rows, err := loadRows(ctx, tx, r.opt.Tenants)
		if err != nil {
			return err
		}
		if err := check(rows, archived); err != nil {
			return err
		}
		report.Lost = findLost(rows, archived)
		if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil { // folding a large tenant again takes its time
			return fmt.Errorf("begin: %w", err)
		}
		if err := r.places(ctx, tx, report.Partitions); err != nil {
			return err
		}
		refolded := map[string]bool{}
		for _, x := range rows {
			if x.Consumer == kafka.GroupRules && judge(x, archived[x.TenantID]) == ahead {
				refolded[x.TenantID] = true
			}
		}
		kept, err := r.outboxes(ctx, tx, report, refolded)
		if err != nil {
			return err
		}
		for _, x := range rows {
			h := byTenant[x.TenantID]
			var err error
			switch {
			case judge(x, h.Sequence) == keep:
				err = x.Keep(ctx, tx, x.ArchiveLog, h.Sequence)
			case projected(x): // the projector builds its tables again
				err = x.Replace(ctx, tx, h.Sequence, "reseed "+r.mark())
			default:
				if x.Consumer == kafka.GroupRules {
					var ids []string
					box := outbox.New(rules.Deriver, r.opt.Keys)
					if ids, err = rules.Refold(ctx, tx, x.TenantID, h.Sequence, reader, r.opt.Registry, box, r.partitions(), r.opt.Log); err != nil {
						return err
					}
					report.Again += len(ids)
					kept[x.TenantID] = append(kept[x.TenantID], ids...)
				}
				err = x.SetBack(ctx, tx, h.Sequence, h.EventID, h.LogID)
			}
			if err != nil {
				return err
			}
		}
		for _, x := range rows {
			if x.Consumer == kafka.GroupGoHighLevel && judge(x, archived[x.TenantID]) == ahead {
				n, err := setAside(ctx, tx, x.TenantID, archived[x.TenantID], kept[x.TenantID], r.mark())
				if err == nil {
					err = effects.Refold(ctx, tx, ledger.Ledger{Adapter: gohighlevel.Name}, x.TenantID, archived[x.TenantID], reader, consumer.NewDecoder(r.opt.Registry))
				}
				if err != nil {
					return err
				}
				report.Aside += n
			}
		}
		_, err = tx.Exec(ctx, `UPDATE neuronx.reseeds SET state = $2 WHERE topic_id = $1`, uuid.UUID(r.ids[kafka.TopicEvents]), stateRows)
		return err
	})
}

// mark names this reseed where several could meet.
func (r *run) mark() string {
	id := r.ids[kafka.TopicEvents]
	return uuid.UUID(id).String()
}

// letterTopics are where dead letters are from: a refused record of ingress, or what nobody could read among the dead letters.
var letterTopics = []string{kafka.TopicIngress, kafka.TopicDeadLetter}

// before ends the names under which dead letters of the lost Kafka are known from now on.
func (r *run) before() string { return "@before-" + r.mark()[:8] }

// places makes the rows of partitions fit the new topics. What was asked of the old ones is void.
func (r *run) places(ctx context.Context, tx pgx.Tx, parts []Partition) error {
	events, letters := uuid.UUID(r.ids[kafka.TopicEvents]), uuid.UUID(r.ids[kafka.TopicDeadLetter])
	for _, p := range parts {
		for _, name := range r.consumers {
			o := consumer.Offset{Consumer: name, Topic: kafka.TopicEvents, Partition: p.Partition, TopicID: events, Next: p.next[name], LogID: p.LogID}
			if err := consumer.SetOffset(ctx, tx, o); err != nil {
				return err
			}
		}
		o := consumer.Offset{Topic: kafka.TopicDeadLetter, Partition: p.Partition, TopicID: letters,
			Next: r.starts[kafka.TopicPartition{Topic: kafka.TopicDeadLetter, Partition: p.Partition}]}
		if err := consumer.SetOffset(ctx, tx, o); err != nil {
			return err
		}
		if p.Predecessor == "" {
			continue
		}
		if err := consumer.AddLineage(ctx, tx, p.LogID, p.Predecessor, p.Partition, events); err != nil {
			return err
		}
	}
	// Dead letters are named by the place of what was refused; the new ingress counts from 0 again.
	for _, table := range []string{"dead_letters", "dead_letter_decisions", "dead_letter_requests"} {
		if _, err := tx.Exec(ctx, `UPDATE neuronx.`+table+` SET topic = topic || $2 WHERE topic = ANY($1)`, letterTopics, r.before()); err != nil {
			return fmt.Errorf("rename dead letters: %w", err)
		}
	}
	return consumer.EndResets(ctx, tx, "the log was rebuilt")
}

// outboxes numbers what waits to be sent behind what the archive has, and drops what was derived from events that are gone. It returns
// the ids that are kept, by tenant. Firings of tenants whose rules are folded again are dropped: the fold arms these timers, and they fire again
// under the same ids.
func (r *run) outboxes(ctx context.Context, tx pgx.Tx, report *Report, refolded map[string]bool) (map[string][]string, error) {
	kept, last := map[string][]string{}, map[[2]string]int64{}
	for _, p := range report.Partitions {
		maps.Copy(last, p.derivers)
	}
	// Tenants of whom the archive has nothing begin at 1 if they are made again.
	numbers, err := outbox.Numbers(ctx, tx, r.opt.Tenants...)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		last[[2]string{n.Tenant, n.Deriver}] += 0
	}
	for key, last := range last {
		tenant, deriver := key[0], key[1]
		ids, dropped, err := outbox.New(deriver, r.opt.Keys).Renumber(ctx, tx, tenant, last, func(e *event.Event) (bool, error) {
			if deriver == timers.Deriver && refolded[tenant] {
				return false, nil
			}
			return r.waiting(ctx, tx, deriver, e)
		})
		if err != nil {
			return nil, fmt.Errorf("number the outbox of %s for %s: %w", deriver, tenant, err)
		}
		kept[tenant] = append(kept[tenant], ids...)
		report.Dropped += dropped
	}
	return kept, nil
}

// waiting decides over one event of an outbox, and gives its schema the number of now.
func (r *run) waiting(ctx context.Context, tx pgx.Tx, deriver string, e *event.Event) (bool, error) {
	if id, body, err := event.Unframe(e.Value); err == nil && r.numbers[id] != 0 {
		e.Value = event.Frame(r.numbers[id], body)
	}
	if deriver == deadletter.Deriver { // a retry's cause is no event of the log
		return true, r.renamed(ctx, e)
	}
	if e.CausationID == "" {
		return true, nil
	}
	return archive.HasID(ctx, tx, e.TenantID, e.CausationID)
}

// renamed gives a decision about a dead letter that waits to be sent the letter's name of now.
func (r *run) renamed(ctx context.Context, e *event.Event) error {
	if !strings.HasPrefix(e.Type, "engine.dead_letter.") {
		return nil
	}
	id, body, err := event.Unframe(e.Value)
	if err != nil {
		return fmt.Errorf("decision %s: %w", e.ID, err)
	}
	schema, err := r.opt.Registry.SchemaByID(ctx, id)
	if err != nil {
		return fmt.Errorf("decision %s: %w", e.ID, err)
	}
	data, err := schema.Decode(body)
	if err != nil {
		return fmt.Errorf("decision %s: %w", e.ID, err)
	}
	if topic, _ := data["topic"].(string); slices.Contains(letterTopics, topic) {
		data["topic"] = topic + r.before()
		if body, err = schema.EncodeMap(data); err != nil {
			return fmt.Errorf("decision %s: %w", e.ID, err)
		}
		e.Value = event.Frame(id, body)
	}
	return nil
}

// setAside takes effects of commands that are gone out of the way of new ones, whose ids may be the same. A command that is derived
// again keeps its effect, and so is not carried out twice.
func setAside(ctx context.Context, tx pgx.Tx, tenant string, archived int64, again []string, mark string) (int, error) {
	// The sequence will be another one. 0 lets the command fill it in when it comes.
	if _, err := tx.Exec(ctx, `UPDATE neuronx.effects SET command_sequence = 0, updated_at = now()
		WHERE tenant_id = $1 AND command_sequence > $2 AND effect_id = ANY($3)`, tenant, archived, again); err != nil {
		return 0, fmt.Errorf("keep effects of %s: %w", tenant, err)
	}
	rows, err := tx.Query(ctx, `SELECT effect_id FROM neuronx.effects WHERE tenant_id = $1 AND command_sequence > $2
		AND effect_id NOT LIKE '%~lost-%'`, tenant, archived)
	ids, err := postgres.Collect(rows, err, fmt.Sprintf("list effects of %s", tenant), pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		aside := id + "~lost-" + mark[:8]
		for _, sql := range []string{
			`INSERT INTO neuronx.effects SELECT (jsonb_populate_record(f, jsonb_build_object('effect_id', $3::text, 'code', 'command_lost', 'lease_until', NULL,
				'status', CASE WHEN f.status = 'pending' AND f.attempts = 0 THEN 'failed' WHEN f.status IN ('pending', 'sending') THEN 'unknown' ELSE f.status END,
				'last_error', 'the command was lost with the tail of the log; see neuronx log reseed'))).* FROM neuronx.effects f WHERE tenant_id = $1 AND effect_id = $2`,
			`UPDATE neuronx.effect_attempts SET effect_id = $3 WHERE tenant_id = $1 AND effect_id = $2`,
		} {
			if _, err := tx.Exec(ctx, sql, tenant, id, aside); err != nil {
				return 0, fmt.Errorf("set effect %s aside: %w", id, err)
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM neuronx.effects WHERE tenant_id = $1 AND effect_id = $2`, tenant, id); err != nil {
			return 0, fmt.Errorf("set effect %s aside: %w", id, err)
		}
	}
	return len(ids), nil
}

// schemas registers what the archive knows and returns the number of now for each number of then.
func (r *run) schemas(ctx context.Context) error {
	moves, err := r.currentMoves(ctx)
	if err != nil {
		return err
	}
	numbers := map[int32]int32{}
	for _, m := range moves {
		id, err := r.opt.Registry.Ensure(ctx, m.schema)
		if err != nil {
			return fmt.Errorf("register %s, which was schema %d: %w", m.schema.FullName(), m.then, err)
		}
		numbers[m.then] = id
		fp := m.schema.Fingerprint()
		if _, err := r.db.Exec(ctx, `INSERT INTO neuronx.schema_moves (fingerprint, schema_id) VALUES ($1, $2)
			ON CONFLICT (fingerprint) DO UPDATE SET schema_id = excluded.schema_id, moved_at = now()`, fp[:], id); err != nil {
			return fmt.Errorf("keep the number of %s: %w", m.schema.FullName(), err)
		}
	}
	r.numbers = numbers
	return nil
}

// tenantsLeftOut lists tenants of the archive that were not chosen.
func tenantsLeftOut(ctx context.Context, q querier, chosen []string) ([]string, error) {
	if len(chosen) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, `SELECT tenant_id FROM neuronx.tenant_leaves WHERE NOT tenant_id = ANY($1) ORDER BY 1`, chosen)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

var errTenant = errors.New("not in the archive")

func chosen(heads []archive.Head, tenants []string) error {
	for _, t := range tenants {
		if !slices.ContainsFunc(heads, func(h archive.Head) bool { return h.Tenant == t }) {
			return fmt.Errorf("tenant %s: %w", strings.TrimSpace(t), errTenant)
		}
	}
	return nil
}
