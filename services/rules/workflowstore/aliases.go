package workflowstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

// knowledge is whether a tenant has something: most have merged nothing, and are asked once a batch.
type knowledge byte

const (
	unknown knowledge = iota
	hasNone
	hasSome
)

func edgeOf(subject string) workflows.Pair { return workflows.Pair{Key: subject} }

// PreloadAliases reads ahead what some subjects of many tenants were merged into.
func (b *Batch) PreloadAliases(ctx context.Context, of map[string][]string) error {
	var ask []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if b.Tenant(name).merged == unknown {
			ask = append(ask, name)
		}
	}
	if len(ask) > 0 {
		rows, err := b.q.Query(ctx, `SELECT t FROM unnest($1::text[]) AS t WHERE EXISTS (SELECT FROM neuronx.subject_aliases a WHERE a.tenant_id = t)`, ask)
		some, err := postgres.Collect(rows, err, "look for merged subjects", pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, name := range ask {
			b.Tenant(name).merged = hasNone
		}
		for _, name := range some {
			b.Tenant(name).merged = hasSome
		}
	}
	var tenants, subjects []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		t := b.Tenant(name)
		for _, s := range of[name] {
			// What is no plain text is the subject of no event, and was never merged.
			if t.merged == hasSome && !t.aliases[edgeOf(s)].known && text(s) == s {
				tenants, subjects = append(tenants, name), append(subjects, s)
			}
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	rows, err := b.q.Query(ctx, `WITH RECURSIVE edges(tenant_id, subject, into_subject, sequence, joined, n) AS (
			SELECT a.tenant_id, a.subject, a.into_subject, a.sequence, a.joined, 1
			  FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u(tenant_id, subject)) u JOIN neuronx.subject_aliases a USING (tenant_id, subject)
			UNION ALL
			SELECT a.tenant_id, a.subject, a.into_subject, a.sequence, a.joined, e.n + 1
			  FROM edges e JOIN neuronx.subject_aliases a ON a.tenant_id = e.tenant_id AND a.subject = e.into_subject WHERE e.n <= $3)
		SELECT DISTINCT ON (tenant_id, subject) tenant_id, subject, into_subject, sequence, joined FROM edges`, tenants, subjects, alias.MaxChain)
	ends, err := b.readEdges(rows, err)
	if err != nil {
		return err
	}
	for i, name := range tenants {
		b.Tenant(name).aliases.fill(edgeOf(subjects[i]), alias.Edge{}, false)
	}
	for _, end := range ends {
		b.Tenant(end.Name).aliases.fill(edgeOf(end.Key), alias.Edge{}, false)
	}
	return nil
}

// readEdges reads edges, and lists the subjects that they lead to, with their tenants.
func (b *Batch) readEdges(rows pgx.Rows, err error) (into []workflows.Pair, _ error) {
	var tenant, subject string
	var e alias.Edge
	var joined []byte
	err = postgres.ForEach(rows, err, "read merged subjects", []any{&tenant, &subject, &e.Into, &e.Sequence, &joined}, func() error {
		e.Joined = alias.Joined{}
		if err := json.Unmarshal(joined, &e.Joined); err != nil {
			return fmt.Errorf("read what the merge of %s joined: %w", subject, err)
		}
		b.Tenant(tenant).aliases.fill(edgeOf(subject), e, true)
		into = append(into, workflows.Pair{Name: tenant, Key: e.Into})
		return nil
	})
	return into, err
}

// Alias implements workflows.Store.
func (t *Tenant) Alias(ctx context.Context, subject string) (alias.Edge, bool, error) {
	x, held := t.aliases[edgeOf(subject)]
	if !held && t.merged != hasNone {
		if err := t.batch.PreloadAliases(ctx, map[string][]string{t.name: {subject}}); err != nil {
			return alias.Edge{}, false, err
		}
		x = t.aliases[edgeOf(subject)]
	}
	return x.value, x.there, nil
}

// Aliased implements workflows.Store.
func (t *Tenant) Aliased(ctx context.Context, into []string) ([]string, error) {
	if err := t.batch.PreloadAliases(ctx, map[string][]string{t.name: nil}); err != nil {
		return nil, err
	}
	if t.merged == hasSome {
		rows, err := t.batch.q.Query(ctx, `SELECT tenant_id, subject, into_subject, sequence, joined FROM neuronx.subject_aliases
			WHERE tenant_id = $1 AND into_subject = ANY($2)`, t.name, slices.DeleteFunc(slices.Clone(into), func(s string) bool { return text(s) != s }))
		if _, err := t.batch.readEdges(rows, err); err != nil {
			return nil, err
		}
	}
	var out []string
	for k, x := range t.aliases {
		if x.there && slices.Contains(into, x.value.Into) {
			out = append(out, k.Key)
		}
	}
	slices.Sort(out)
	return out, nil
}

// PutAlias implements workflows.Store.
func (t *Tenant) PutAlias(subject string, e *alias.Edge) {
	if e == nil {
		t.undo = append(t.undo, t.aliases.set(edgeOf(subject), alias.Edge{}, false, t.sequence()))
		return
	}
	t.undo = append(t.undo, t.aliases.set(edgeOf(subject), *e, true, t.sequence()))
}

func (b *Batch) saveAliases(q *pgx.Batch) error {
	here, gone := changes(b, func(t *Tenant) cache[alias.Edge] { return t.aliases })
	if len(here.values) > 0 {
		into, joined, sequences := make([]string, len(here.values)), make([]string, len(here.values)), make([]int64, len(here.values))
		for i, e := range here.values {
			text, err := json.Marshal(e.Joined)
			if err != nil {
				return fmt.Errorf("encode what a merge joined: %w", err)
			}
			into[i], joined[i], sequences[i] = e.Into, string(text), e.Sequence
		}
		q.Queue(`INSERT INTO neuronx.subject_aliases (tenant_id, subject, into_subject, sequence, joined)
			SELECT tenant_id, subject, into_subject, sequence, joined
			  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::json[]) AS u(tenant_id, none, subject, into_subject, sequence, joined)
			ON CONFLICT (tenant_id, subject) DO UPDATE SET into_subject = excluded.into_subject, sequence = excluded.sequence, joined = excluded.joined`,
			here.tenants, here.names, here.keys, into, sequences, joined)
	}
	if len(gone.values) > 0 {
		q.Queue(`DELETE FROM neuronx.subject_aliases a USING unnest($1::text[], $2::text[]) AS u(tenant_id, subject) WHERE a.tenant_id = u.tenant_id AND a.subject = u.subject`,
			gone.tenants, gone.keys)
	}
	return nil
}

// KeysOf implements workflows.Store.
func (t *Tenant) KeysOf(ctx context.Context, key string) (map[string]advance.Keys, error) {
	pairs, err := t.under(ctx, `SELECT workflow FROM neuronx.workflow_keys WHERE tenant_id = $1 AND key = $2`, key)
	if err == nil {
		err = t.batch.readKeys(ctx, map[*Tenant][]workflows.Pair{t: pairs})
	}
	return ofKey(t.keys, key), err
}

// ClaimsOf implements workflows.Store.
func (t *Tenant) ClaimsOf(ctx context.Context, key string) (map[string]pool.Claim, error) {
	pairs, err := t.under(ctx, `SELECT pool FROM neuronx.pool_claims WHERE tenant_id = $1 AND key = $2`, key)
	if err == nil {
		err = t.batch.readClaims(ctx, map[*Tenant][]workflows.Pair{t: pairs})
	}
	return ofKey(t.claims, key), err
}

// under lists the names under which Postgres has a key.
func (t *Tenant) under(ctx context.Context, sql, key string) ([]workflows.Pair, error) {
	rows, err := t.batch.q.Query(ctx, sql, t.name, text(key))
	return postgres.Collect(rows, err, "list what a key has", func(c pgx.CollectableRow) (p workflows.Pair, err error) {
		p.Key = key
		return p, c.Scan(&p.Name)
	})
}

// ofKey are the rows of a cache under a key, by name.
func ofKey[V any](in cache[V], key string) map[string]V {
	out := map[string]V{}
	for k, x := range in {
		if k.Key == key && x.there {
			out[k.Name] = x.value
		}
	}
	return out
}
