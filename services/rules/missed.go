package rules

import (
	"cmp"
	"context"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// What rules missed is kept in pages: a row of neuronx.rule_missed_pages has missedPage sequences of one rule, one bit each. A row for each
// sequence would be several hundred times the event when hundreds of rules are off.
const missedPage = 1024

// What it costs to note misses, in the units of terms: a row for each rule once, and a bit for each event. It only divides the work among
// transactions; the budgets of an event do not count it.
const (
	missedRowCost = 50
	missedBitCost = 1
)

// loadMissed reads what a rule missed in a range of sequences, ascending.
func loadMissed(ctx context.Context, q querier, tenant, rule string, from, through int64, limit int) ([]int64, error) {
	rows, err := q.Query(ctx, `SELECT page * 1024 + n FROM neuronx.rule_missed_pages, generate_series(0, 1023) AS n
		WHERE tenant_id = $1 AND rule = $2 AND page BETWEEN $3::bigint / 1024 AND $4::bigint / 1024 AND get_bit(bits, n) = 1 AND page * 1024 + n BETWEEN $3 AND $4
		ORDER BY page, n LIMIT $5`, tenant, rule, from, through, limit)
	return postgres.Collect(rows, err, "load what a rule missed", pgx.RowTo[int64])
}

// missedPages is a set of pairs of rule and sequence, as rows of neuronx.rule_missed_pages.
type missedPages struct {
	rules []string
	pages []int64
	bits  []string // in hexadecimal
}

// add takes in sequences of one rule, ascending.
func (p *missedPages) add(rule string, sequences []int64) {
	for len(sequences) > 0 {
		page := sequences[0] / missedPage
		var bits [missedPage / 8]byte
		n := 0
		for ; n < len(sequences) && sequences[n]/missedPage == page; n++ {
			bit := sequences[n] % missedPage
			bits[bit/8] |= 0x80 >> (bit % 8)
		}
		p.rules, p.pages, p.bits = append(p.rules, rule), append(p.pages, page), append(p.bits, hex.EncodeToString(bits[:]))
		sequences = sequences[n:]
	}
}

// saveMissed queues what the folds' rules missed, what was run over, and what became of the requests.
func saveMissed(b *pgx.Batch, folds []*fold) {
	for _, f := range folds {
		var more, less missedPages
		for _, rule := range slices.Sorted(maps.Keys(f.missed)) {
			more.add(rule, f.missed[rule])
		}
		for _, rule := range slices.Sorted(maps.Keys(f.ran)) {
			less.add(rule, slices.SortedFunc(maps.Keys(f.ran[rule]), cmp.Compare[int64]))
		}
		if len(more.rules) > 0 {
			b.Queue(`INSERT INTO neuronx.rule_missed_pages AS m (tenant_id, rule, page, bits)
				SELECT $1, w.rule, w.page, ('x' || w.bits)::bit(1024) FROM unnest($2::text[], $3::bigint[], $4::text[]) AS w(rule, page, bits)
				ON CONFLICT (tenant_id, rule, page) DO UPDATE SET bits = m.bits | excluded.bits`, f.tenant, more.rules, more.pages, more.bits)
		}
		if len(less.rules) > 0 {
			b.Queue(`UPDATE neuronx.rule_missed_pages AS m SET bits = m.bits & ~('x' || w.bits)::bit(1024)
				FROM unnest($2::text[], $3::bigint[], $4::text[]) AS w(rule, page, bits) WHERE m.tenant_id = $1 AND m.rule = w.rule AND m.page = w.page`,
				f.tenant, less.rules, less.pages, less.bits)
			b.Queue(`DELETE FROM neuronx.rule_missed_pages AS m USING unnest($2::text[], $3::bigint[]) AS w(rule, page)
				WHERE m.tenant_id = $1 AND m.rule = w.rule AND m.page = w.page AND m.bits = 0::bit(1024)`, f.tenant, less.rules, less.pages)
		}
		for _, r := range f.reruns {
			b.Queue(`INSERT INTO neuronx.rule_reruns (tenant_id, sequence, rule, refused, ran, fired, failed, derived) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
				ON CONFLICT DO NOTHING`, f.tenant, r.Sequence, r.Rule, r.Refused, r.Ran, r.Fired, r.Failed, r.Derived)
		}
	}
}
