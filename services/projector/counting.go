package projector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/projector/fold"
)

// generation is one of a tenant.
type generation struct {
	tenant string
	number int64
}

// zones are the time zones of a batch's generations.
type zones map[generation]*time.Location

// counting collects what a batch changes in the tables that count.
type counting struct {
	zones   zones
	specs   []*fold.Spec
	changes []change
}

type change struct {
	rowID
	fold.Change
	spec     *fold.Spec
	sequence int64
}

// compare adds what a row's change from old to now changes.
func (c *counting) compare(t *touch, old, now fold.Row) {
	c.add(generation{t.tenant, t.rowID.generation}, t.Spec, t.Sequence(), old, now)
}

func (c *counting) add(g generation, of *fold.Spec, sequence int64, old, now fold.Row) {
	for _, s := range c.specs {
		for _, ch := range s.Changes(of, old, now, c.zones[g]) {
			at := rowID{tenant: g.tenant, generation: g.number}
			if ch.Left == "" {
				at.id = s.ChangeID(ch)
			}
			c.changes = append(c.changes, change{at, ch, s, sequence})
		}
	}
}

// write carries the changes out, in their order, with one SELECT and one upsert a table. Rows that have nothing left to count go.
func (c *counting) write(ctx context.Context, tx pgx.Tx, left leftOut) error {
	// They were collected table by table; a row's sequence is that of the last event that changed it.
	slices.SortStableFunc(c.changes, func(a, b change) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, s := range c.specs {
		var keys []keyed
		met := map[rowID]bool{}
		for _, ch := range c.changes {
			if ch.spec == s && ch.Left == "" && !met[ch.rowID] {
				met[ch.rowID] = true
				keys = append(keys, keyed{ch.rowID, ch.Key})
			}
		}
		if len(keys) == 0 {
			continue
		}
		rows, err := load(ctx, tx, s, keys)
		if err != nil {
			return err
		}
		if err := c.apply(s, rows, left); err != nil {
			return err
		}
		var kept []rowID
		var gone []keyed
		for _, k := range keys {
			if s.Empty(rows[k.rowID]) {
				gone = append(gone, k)
			} else {
				kept = append(kept, k.rowID)
			}
		}
		if err := store(ctx, tx, s, kept, rows); err != nil {
			return err
		}
		if err := remove(ctx, tx, s, gone); err != nil {
			return err
		}
	}
	return nil
}

// apply counts the changes of one table into rows. It does no I/O.
func (c *counting) apply(s *fold.Spec, rows map[rowID]fold.Row, left leftOut) error {
	for _, ch := range c.changes {
		if ch.spec != s {
			continue
		}
		if ch.Left != "" {
			left.add(ch.rowID, s, ch.sequence, ch.Left)
			continue
		}
		row, err := s.Count(rows[ch.rowID], ch.Change, ch.sequence)
		if err != nil {
			return fmt.Errorf("count in %s: %w", s.Table, err)
		}
		rows[ch.rowID] = row
	}
	return nil
}

// part is a piece of a batch: runs of many tenants, or the one event by which a tenant gets another time zone.
type part struct {
	runs []consumer.Run
	zone *event.Recorded
	of   generation // of zone
}

// split cuts a batch at events that set a zone: what comes before is counted by the old one, and then everything by the new one.
func (p *Projector) split(runs []consumer.Run) []part {
	first := part{}
	var later []part
	for _, run := range runs {
		from, to := 0, len(run.Events)
		if len(p.counts) > 0 {
			to = nextZone(run.Events, 0)
		}
		if to > from {
			head := run
			head.Events = run.Events[:to]
			first.runs = append(first.runs, head)
		}
		for to < len(run.Events) {
			later = append(later, part{zone: &run.Events[to], of: generation{run.TenantID, run.Generation}})
			from, to = to+1, nextZone(run.Events, to+1)
			if to > from {
				next := run
				next.Events = run.Events[from:to]
				later = append(later, part{runs: []consumer.Run{next}})
			}
		}
	}
	if len(first.runs) == 0 {
		return later
	}
	return append([]part{first}, later...)
}

func nextZone(events []event.Recorded, from int) int {
	for i := from; i < len(events); i++ {
		if events[i].Type == fold.TypeZoneSet {
			return i
		}
	}
	return len(events)
}

// setZone makes everything that is counted of a generation again, by the days of another zone. It reads each row once.
func (p *Projector) setZone(ctx context.Context, tx pgx.Tx, set part, all zones) error {
	data, err := p.decoder.Decode(ctx, set.zone)
	if err != nil {
		return fmt.Errorf("sequence %d: %w", set.zone.Sequence, err)
	}
	name, ok := fold.ZoneOf(data)
	if !ok {
		return nil // no zone that is known: the tenant keeps the one that it has
	}
	if all[set.of], err = zone.Load(name); err != nil {
		return err
	}
	g := set.of
	if err := postgres.Exec(ctx, tx, "set zone", `INSERT INTO projection.generations (tenant_id, feed, generation, zone) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant_id, feed, generation) DO UPDATE SET zone = excluded.zone`, g.tenant, p.feed, g.number, name); err != nil {
		return err
	}
	for _, s := range p.counts {
		if _, err := tx.Exec(ctx, `DELETE FROM projection.`+s.Table+` WHERE tenant_id = $1 AND generation = $2`, g.tenant, g.number); err != nil {
			return fmt.Errorf("count %s again: %w", s.Table, err)
		}
		rows := map[rowID]fold.Row{}
		for _, of := range p.specs {
			err := each(ctx, tx, of, "WHERE t.tenant_id = $1 AND t.generation = $2", []any{g.tenant, g.number}, func(_ rowID, row fold.Row) error {
				c := counting{zones: all, specs: []*fold.Spec{s}}
				c.add(g, of, set.zone.Sequence, nil, row)
				return c.apply(s, rows, leftOut{})
			})
			if err != nil {
				return err
			}
		}
		order := make([]rowID, 0, len(rows))
		for at, row := range rows {
			if !s.Empty(row) {
				order = append(order, at)
			}
		}
		if err := store(ctx, tx, s, order, rows); err != nil {
			return err
		}
	}
	return nil
}

// generations returns the time zones by which the generations of a batch count days, and which of them have merges.
func (p *Projector) generations(ctx context.Context, tx pgx.Tx, runs []consumer.Run) (zones, mergings, error) {
	out, merges := make(zones, len(runs)), make(mergings, len(runs))
	tenants, numbers := make([]string, len(runs)), make([]int64, len(runs))
	for i, r := range runs {
		tenants[i], numbers[i] = r.TenantID, r.Generation
		g := generation{r.TenantID, r.Generation}
		out[g], merges[g] = time.UTC, &merging{}
	}
	rows, err := tx.Query(ctx, `SELECT v.tenant_id, v.generation, coalesce(g.zone, 'UTC'),
			EXISTS (SELECT FROM projection.merged_subjects m WHERE m.tenant_id = v.tenant_id AND m.feed = $3 AND m.generation = v.generation)
		FROM unnest($1::text[], $2::bigint[]) AS v (tenant_id, generation)
		LEFT JOIN projection.generations g ON g.tenant_id = v.tenant_id AND g.generation = v.generation AND g.feed = $3`, tenants, numbers, p.feed)
	var g generation
	var name string
	var some bool
	err = postgres.ForEach(rows, err, "load generations", []any{&g.tenant, &g.number, &name, &some}, func() (err error) {
		merges[g].some = some
		out[g], err = zone.Load(name)
		return err
	})
	return out, merges, err
}
