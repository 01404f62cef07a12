package projector

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// merging is what a batch knows of the merges of one generation. Most generations have none, and cost nothing.
type merging struct {
	some    bool            // Postgres has edges of it
	edges   alias.Aliases   // those that the batch needs, as they are by now
	changed map[string]bool // subjects whose edge was made or taken away since it was stored
}

// mergings are those of a batch.
type mergings map[generation]*merging

// step is one event on its way: into a row of one table, or, as a merge, into the edges and the row of the subject that was merged.
type step struct {
	generation
	*fold.Touch
	merge *fold.Merge
}

// steps decodes the events and finds the rows that each names, in order.
func (p *Projector) steps(ctx context.Context, runs []consumer.Run, left leftOut) (out []step, _ error) {
	for _, run := range runs {
		g := generation{run.TenantID, run.Generation}
		for i := range run.Events {
			r := &run.Events[i]
			if !p.wanted(r.Type) {
				continue
			}
			data, err := p.decoder.Decode(ctx, r)
			if err != nil {
				return nil, atSequence(r, err)
			}
			if m, ok := fold.MergeOf(*r, data); ok {
				out = append(out, step{generation: g, merge: m})
			}
			for _, s := range p.specs {
				t, err := s.Touches(*r, data)
				switch {
				case err != nil:
					return nil, atSequence(r, err)
				case t == nil:
				case t.Left != "":
					left.add(rowID{tenant: g.tenant, generation: g.number}, s, r.Sequence, t.Left)
				default:
					out = append(out, step{generation: g, Touch: t})
				}
			}
		}
	}
	return out, nil
}

// route sends every step to its row: the one that its event names, or that of the subject which this one is by then. It does no I/O.
func (p *Projector) route(steps []step, all mergings) map[*fold.Spec][]touch {
	tables := map[*fold.Spec][]touch{}
	add := func(g generation, t *fold.Touch) {
		tables[t.Spec] = append(tables[t.Spec], touch{rowID{g.tenant, g.number, t.ID()}, t})
	}
	for _, s := range steps {
		m := all[s.generation]
		if s.merge == nil {
			if subject := s.Subject(); subject != "" && len(m.edges) > 0 {
				s.Redirect(m.edges.Resolve(subject))
			}
			add(s.generation, s.Touch)
			continue
		}
		next, reason := s.merge.Apply(m.edges)
		if reason != "" {
			continue // the rules tell of it
		}
		if m.changed == nil {
			m.changed = map[string]bool{}
		}
		m.edges, m.changed[s.merge.From] = next, true
		for _, spec := range p.specs {
			if t := spec.Mark(s.merge); t != nil {
				add(s.generation, t)
			}
		}
	}
	return tables
}

// asked are subjects of generations, as three arrays for SQL.
type asked struct {
	tenants     []string
	generations []int64
	subjects    []string
}

func (a *asked) add(g generation, subjects ...string) {
	for _, s := range subjects {
		a.tenants, a.generations, a.subjects = append(a.tenants, g.tenant), append(a.generations, g.number), append(a.subjects, s)
	}
}

// loadEdges reads the edges that decide where steps go: those that lead away from each subject, and those that lead to one which is about to be
// merged.
func (p *Projector) loadEdges(ctx context.Context, tx pgx.Tx, steps []step, all mergings) error {
	var from, to asked
	for _, s := range steps {
		switch {
		case !all[s.generation].some:
		case s.merge == nil:
			if subject := s.Subject(); subject != "" {
				from.add(s.generation, subject)
			}
		case alias.IsSubject(s.merge.From) && alias.IsSubject(s.merge.Into): // any other is refused, and may be no text that Postgres takes
			from.add(s.generation, s.merge.From, s.merge.Into)
			to.add(s.generation, s.merge.From)
		}
	}
	if err := p.readEdges(ctx, tx, from, "subject", "into_subject", all); err != nil {
		return err
	}
	return p.readEdges(ctx, tx, to, "into_subject", "subject", all)
}

// readEdges reads the edges that have subjects as one of their ends, and on from their other ends.
func (p *Projector) readEdges(ctx context.Context, tx pgx.Tx, of asked, end, other string, all mergings) error {
	if len(of.subjects) == 0 {
		return nil
	}
	const columns = "m.tenant_id, m.generation, m.subject, m.into_subject, m.sequence"
	rows, err := tx.Query(ctx, `WITH RECURSIVE way AS (
			SELECT `+columns+` FROM unnest($2::text[], $3::bigint[], $4::text[]) AS v (tenant_id, generation, subject)
				JOIN projection.merged_subjects m ON m.tenant_id = v.tenant_id AND m.feed = $1 AND m.generation = v.generation AND m.`+end+` = v.subject
			UNION
			SELECT `+columns+` FROM way w
				JOIN projection.merged_subjects m ON m.tenant_id = w.tenant_id AND m.feed = $1 AND m.generation = w.generation AND m.`+end+` = w.`+other+`)
		SELECT * FROM way`, p.feed, of.tenants, of.generations, of.subjects)
	var g generation
	var subject string
	var e alias.Edge
	return postgres.ForEach(rows, err, "read merged subjects", []any{&g.tenant, &g.number, &subject, &e.Into, &e.Sequence}, func() error {
		m := all[g]
		if m.edges == nil {
			m.edges = alias.Aliases{}
		}
		m.edges[subject] = e
		return nil
	})
}

// storeEdges writes what has changed of the edges.
func (p *Projector) storeEdges(ctx context.Context, tx pgx.Tx, all mergings) error {
	var here, gone asked
	var into []string
	var sequences []int64
	for g, m := range all {
		for _, subject := range slices.Sorted(maps.Keys(m.changed)) {
			if e, merged := m.edges[subject]; merged {
				here.add(g, subject)
				into, sequences = append(into, e.Into), append(sequences, e.Sequence)
			} else {
				gone.add(g, subject)
			}
		}
		m.some = m.some || len(m.changed) > 0
		clear(m.changed)
	}
	if len(here.subjects) > 0 {
		if err := postgres.Exec(ctx, tx, "store merged subjects", `INSERT INTO projection.merged_subjects (tenant_id, feed, generation, subject, into_subject, sequence)
			SELECT v.tenant_id, $1, v.generation, v.subject, v.into_subject, v.sequence
			FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[]) AS v (tenant_id, generation, subject, into_subject, sequence)
			ON CONFLICT (tenant_id, feed, generation, subject) DO UPDATE SET into_subject = excluded.into_subject, sequence = excluded.sequence`,
			p.feed, here.tenants, here.generations, here.subjects, into, sequences); err != nil {
			return err
		}
	}
	if len(gone.subjects) == 0 {
		return nil
	}
	return postgres.Exec(ctx, tx, "remove subjects that are merged no more", `DELETE FROM projection.merged_subjects m
		USING unnest($2::text[], $3::bigint[], $4::text[]) AS v (tenant_id, generation, subject)
		WHERE m.tenant_id = v.tenant_id AND m.feed = $1 AND m.generation = v.generation AND m.subject = v.subject`,
		p.feed, gone.tenants, gone.generations, gone.subjects)
}
