package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// loadBundles reads, for each tenant, the bundle in force just before a sequence, without its files unless they must be compiled. Those that
// are too large for that now have no set; the smallest are compiled first.
func loadBundles(ctx context.Context, q querier, c *compiler, before map[string]int64) (map[string]*bundle, error) {
	tenants := slices.Sorted(maps.Keys(before))
	sequences := make([]int64, len(tenants))
	for i, t := range tenants {
		sequences[i] = before[t]
	}
	rows, err := q.Query(ctx, `SELECT t.tenant_id, b.sequence, b.event_id, b.version, b.semantics, b.hash,
			EXISTS (SELECT FROM neuronx.rule_bundles e WHERE e.tenant_id = t.tenant_id AND e.sequence < t.before AND e.semantics >= $3)
		  FROM unnest($1::text[], $2::bigint[]) AS t(tenant_id, before)
		  CROSS JOIN LATERAL (SELECT sequence, event_id, version, semantics, hash FROM neuronx.rule_bundles r
		        WHERE r.tenant_id = t.tenant_id AND r.sequence < t.before ORDER BY sequence DESC LIMIT 1) b`, tenants, sequences, flowSemantics)
	all, err := postgres.Collect(rows, err, "load rule bundles", func(r pgx.CollectableRow) (f found, err error) {
		f.b = &bundle{}
		return f, r.Scan(&f.tenant, &f.b.Sequence, &f.b.EventID, &f.b.Version, &f.b.Semantics, &f.hash, &f.b.Flows)
	})
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(all))
	for i, f := range all {
		keys[i] = ruleset.SetKey(f.hash, f.b.Semantics)
	}
	c.begin(keys)
	out := make(map[string]*bundle, len(all))
	var missing []found
	for _, f := range all {
		out[f.tenant] = f.b
		// What a newer build published is not read by the rules of this one: the fold says that an upgrade is needed.
		if f.b.Set = c.find(ruleset.SetKey(f.hash, f.b.Semantics)); f.b.Set == nil && f.b.Semantics <= ruleset.Semantics {
			missing = append(missing, f)
		}
	}
	return out, compileMissing(ctx, q, c, missing)
}

// found is a bundle in force.
type found struct {
	tenant, hash string
	b            *bundle
	bytes        int // of its files
}

// compileMissing compiles bundles that are not kept, as far as there is room.
func compileMissing(ctx context.Context, q querier, c *compiler, missing []found) error {
	if len(missing) == 0 {
		return nil
	}
	tenants, sequences := make([]string, len(missing)), make([]int64, len(missing))
	for i, f := range missing {
		tenants[i], sequences[i] = f.tenant, f.b.Sequence
	}
	rows, err := q.Query(ctx, `SELECT octet_length(r.files::text) FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS t(tenant_id, sequence, n)
		JOIN neuronx.rule_bundles r USING (tenant_id, sequence) ORDER BY n`, tenants, sequences)
	if err != nil {
		return fmt.Errorf("load sizes of rule files: %w", err)
	}
	sizes, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err == nil && len(sizes) != len(missing) {
		err = fmt.Errorf("%d of %d bundles are there", len(sizes), len(missing))
	}
	if err != nil {
		return fmt.Errorf("load sizes of rule files: %w", err)
	}
	for i := range missing {
		missing[i].bytes = sizes[i]
	}
	slices.SortStableFunc(missing, func(a, b found) int { return cmp.Compare(a.bytes, b.bytes) })
	for _, f := range missing {
		if f.b.Set = c.find(ruleset.SetKey(f.hash, f.b.Semantics)); f.b.Set != nil || !c.room(f.bytes) { // another tenant may have had the same files
			continue
		}
		if f.b.Set, err = recompile(ctx, q, f, c.between); err != nil {
			return err
		}
		c.keep(f.b.Set)
	}
	return nil
}

// recompile compiles a bundle in force that is not kept.
func recompile(ctx context.Context, q querier, f found, between func()) (*ruleset.Set, error) {
	if f.b.Semantics > ruleset.Semantics {
		return nil, consumer.OtherBuild(fmt.Errorf("the rules that tenant %s published at %d need engine semantics %d, this build knows %d: upgrade the rules service",
			f.tenant, f.b.Sequence, f.b.Semantics, ruleset.Semantics))
	}
	var text []byte
	err := q.QueryRow(ctx, `SELECT files FROM neuronx.rule_bundles WHERE tenant_id = $1 AND sequence = $2`, f.tenant, f.b.Sequence).Scan(&text)
	if err != nil {
		return nil, fmt.Errorf("load rule files: %w", err)
	}
	var files []ruleset.File
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, fmt.Errorf("read rule files: %w", err)
	}
	set, problems := ruleset.CompileFor(f.b.Semantics, files, between)
	if err := problems.Err(); err != nil {
		// It compiled when it was published: this build reads rules more strictly. Guessing would derive other events.
		return nil, consumer.OtherBuild(fmt.Errorf("the rules that tenant %s published at %d no longer compile: %w", f.tenant, f.b.Sequence, err))
	}
	if set.Hash != f.hash {
		return nil, fmt.Errorf("the rules that tenant %s published at %d have another hash than their row says", f.tenant, f.b.Sequence)
	}
	return set, nil
}

func loadHealth(ctx context.Context, q querier, tenants []string) (map[string]map[string]Health, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, rule, failures, tripped, tripped_at, reset_at, subjects, over_budget, last_budget, reported_at, by_data, last_data,
		last_code, last_detail, last_sequence, last_event_id FROM neuronx.rule_health WHERE tenant_id = ANY($1)`, tenants)
	out := map[string]map[string]Health{}
	var tenant, rule string
	var health Health
	into := []any{&tenant, &rule, &health.Failures, &health.Tripped, &health.TrippedAt, &health.ResetAt, &health.Subjects, &health.OverBudget,
		&health.LastBudget, &health.ReportedAt, &health.ByData, &health.LastData,
		&health.Last.Code, &health.Last.Detail, &health.Last.Sequence, &health.Last.EventID}
	err = postgres.ForEach(rows, err, "load rule health", into, func() error {
		if out[tenant] == nil {
			out[tenant] = map[string]Health{}
		}
		health.Subjects = slices.Clone(health.Subjects) // the next row is read into the same memory
		out[tenant][rule] = health
		return nil
	})
	return out, err
}

// loadStates reads many states at once; a subject without a row has an empty state.
func loadStates(ctx context.Context, q querier, tenants, subjects []string) (map[[2]string]State, error) {
	out := make(map[[2]string]State, len(tenants))
	for i := range tenants {
		out[[2]string{tenants[i], subjects[i]}] = State{}
	}
	rows, err := q.Query(ctx, `SELECT s.tenant_id, s.subject, s.state FROM unnest($1::text[], $2::text[]) AS w(tenant_id, subject)
		JOIN neuronx.rule_state s USING (tenant_id, subject)`, tenants, subjects)
	var tenant, subject string
	var text []byte
	err = postgres.ForEach(rows, err, "load rule state", []any{&tenant, &subject, &text}, func() error {
		state, err := decodeState(text)
		out[[2]string{tenant, subject}] = state
		return err
	})
	return out, err
}

// save writes what the folds changed, in an order that is the same for every transaction.
func save(ctx context.Context, tx pgx.Tx, folds []*fold) error {
	b := &pgx.Batch{}
	slices.SortFunc(folds, func(a, b *fold) int { return cmp.Compare(a.tenant, b.tenant) })
	for _, f := range folds {
		for _, p := range f.published {
			files, err := json.Marshal(p.Files)
			if err != nil {
				return fmt.Errorf("encode rule files: %w", err)
			}
			b.Queue(`INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				f.tenant, p.Sequence, p.EventID, p.Version, p.Set.Hash, p.Semantics, string(files), p.By, p.At)
		}
		for _, rule := range slices.Sorted(maps.Keys(f.dirtyHealth)) {
			h := f.health[rule]
			b.Queue(`INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at, reset_at, subjects, over_budget,
					last_budget, reported_at, by_data, last_data, last_code, last_detail, last_sequence, last_event_id)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
				ON CONFLICT (tenant_id, rule) DO UPDATE SET failures = excluded.failures, tripped = excluded.tripped,
				tripped_at = excluded.tripped_at, reset_at = excluded.reset_at, subjects = excluded.subjects, over_budget = excluded.over_budget,
				last_budget = excluded.last_budget, reported_at = excluded.reported_at, by_data = excluded.by_data,
				last_data = excluded.last_data, last_code = excluded.last_code, last_detail = excluded.last_detail,
				last_sequence = excluded.last_sequence, last_event_id = excluded.last_event_id, updated_at = now()`,
				f.tenant, rule, h.Failures, h.Tripped, h.TrippedAt, h.ResetAt, append([]string{}, h.Subjects...), h.OverBudget, h.LastBudget,
				h.ReportedAt, h.ByData, h.LastData, h.Last.Code, h.Last.Detail, h.Last.Sequence, h.Last.EventID)
		}
	}
	saveMissed(b, folds)
	var tenants, subjects, states []string
	var sequences []int64
	for _, f := range folds {
		for _, subject := range slices.Sorted(maps.Keys(f.dirtyStates)) {
			text, err := f.states[subject].encode()
			if err != nil {
				return fmt.Errorf("encode rule state: %w", err)
			}
			tenants, subjects = append(tenants, f.tenant), append(subjects, subject)
			states, sequences = append(states, string(text)), append(sequences, f.dirtyStates[subject])
		}
	}
	if len(tenants) > 0 {
		b.Queue(`INSERT INTO neuronx.rule_state (tenant_id, subject, state, sequence)
			SELECT * FROM unnest($1::text[], $2::text[], $3::json[], $4::bigint[])
			ON CONFLICT (tenant_id, subject) DO UPDATE SET state = excluded.state, sequence = excluded.sequence`,
			tenants, subjects, states, sequences)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write rule state: %w", err)
	}
	return nil
}

// noteStorm records that a storm of a rule was answered, and reports whether it is the first since the rule's reset: what was under way
// when the rule was tripped is refused too, and is the same storm. A dead letter that is read again is none.
func noteStorm(ctx context.Context, tx pgx.Tx, tenant, rule, eventID string) (bool, error) {
	var one int
	err := tx.QueryRow(ctx, `WITH current AS (
			SELECT coalesce((SELECT reset_at FROM neuronx.rule_health WHERE tenant_id = $1 AND rule = $2), 0) AS reset_at)
		INSERT INTO neuronx.rule_storms (tenant_id, event_id, rule, reset_at) SELECT $1, $3, $2, reset_at FROM current
		WHERE NOT EXISTS (SELECT 1 FROM neuronx.rule_storms s WHERE s.tenant_id = $1 AND s.rule = $2 AND s.reset_at = current.reset_at)
		ON CONFLICT DO NOTHING RETURNING 1`, tenant, rule, eventID).Scan(&one)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("note storm: %w", err)
	}
	return true, nil
}
