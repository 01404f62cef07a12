package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// What the look at the archive may cost: for so long sequences are counted, so many at a time, each tenant's newest first.
const (
	archiveBudget = 5 * time.Second
	archiveChunk  = 100_000
)

// tenantArchive is what was found of a tenant's archive.
type tenantArchive struct {
	tenant  string
	row     int64          // the archiver's row says that all up to here is archived
	high    int64          // highest archived sequence
	low     int64          // the sequences from here on were looked at
	missing []archive.Span // at most maxSpans and one
	damaged int64          // of the newest ten, whose hash is not that of their bytes
}

const maxSpans = 3

// bytesLookedAt says what a look that found nothing did not look for.
const bytesLookedAt = "of the bytes, only each tenant's newest ten were looked at (a reset of neuronx.archiver audits all)"

// checkArchive looks for holes in the archive: the archiver writes each tenant's sequences without a gap, and its row with them.
func checkArchive(ctx context.Context, pool *pgxpool.Pool) []Finding {
	found, err := lookAtArchive(ctx, pool, archiveBudget, archiveChunk)
	if err != nil {
		return []Finding{fail(err, "doctor needs the role neuronx_ops")}
	}
	return judgeArchive(found)
}

func lookAtArchive(ctx context.Context, pool *pgxpool.Pool, budget time.Duration, chunk int64) ([]*tenantArchive, error) {
	archived, err := archive.NewReader(pool).Tenants(ctx)
	if err != nil {
		return nil, err
	}
	read, err := consumer.Tenants(ctx, pool, kafka.GroupArchiver)
	if err != nil {
		return nil, err
	}
	tenants := append(archived, read...)
	slices.Sort(tenants)
	tenants = slices.Compact(tenants)
	out := make([]*tenantArchive, 0, len(tenants))
	for _, t := range tenants {
		a, err := topOf(ctx, pool, t)
		if err != nil {
			return nil, fmt.Errorf("look at the archive of %s: %w", t, err)
		}
		out = append(out, a)
	}
	until := time.Now().Add(budget)
	for more := true; more && time.Now().Before(until); {
		more = false
		for _, a := range out { // a chunk each, so that a large tenant leaves time for the others
			if a.low <= 1 || len(a.missing) > maxSpans {
				continue
			}
			more = true
			if err := a.look(ctx, pool, max(1, a.low-chunk), a.low-1); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// topOf compares the upper end of a tenant's archive with the archiver's row. Both are of one moment: the archiver moves them in one
// transaction.
func topOf(ctx context.Context, pool *pgxpool.Pool, tenant string) (*tenantArchive, error) {
	a := &tenantArchive{tenant: tenant}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if a.row, err = consumer.Applied(ctx, tx, kafka.GroupArchiver, tenant); err != nil {
			return err
		}
		top, err := archive.TopOf(ctx, tx, tenant)
		a.high, a.damaged, a.low = top.Sequence, top.Damaged, top.Sequence+1
		return err
	})
	return a, err
}

// look counts a range, which takes no more than the index, and finds the gaps only where the count is short.
func (a *tenantArchive) look(ctx context.Context, pool *pgxpool.Pool, from, through int64) error {
	n, err := archive.Count(ctx, pool, a.tenant, from, through)
	if err != nil {
		return fmt.Errorf("count the archive of %s: %w", a.tenant, err)
	}
	a.low = from
	if n == through-from+1 {
		return nil
	}
	gaps, err := archive.Holes(ctx, pool, a.tenant, from, through, maxSpans+1)
	if err != nil {
		return fmt.Errorf("find gaps in the archive of %s: %w", a.tenant, err)
	}
	a.missing = append(gaps, a.missing...)
	return nil
}

// judgeArchive says what the look means; it is pure.
func judgeArchive(found []*tenantArchive) []Finding {
	const next = `see "A hole in the archive" in docs/operations.md`
	var out []Finding
	var looked, all int64
	var partly []string
	for _, a := range found {
		all += a.high
		if looked += a.high - a.low + 1; a.low > 1 {
			partly = append(partly, fmt.Sprintf("of %s from sequence %d on", a.tenant, a.low))
		}
		if a.high < a.row {
			a.missing = append(a.missing, archive.Span{From: a.high + 1, Through: a.row})
		}
		if len(a.missing) > 0 {
			out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("the archive of %s lacks %s, which the archiver's row (sequence %d) says it has", a.tenant, spans(a.missing), a.row), Next: next})
		}
		if a.high > a.row {
			out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("the archive of %s holds sequences %d to %d, which the archiver's row does not know of: the archiver did not write them, or its row was set back",
				a.tenant, a.row+1, a.high), Next: next})
		}
		if a.damaged > 0 {
			out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("%d of the newest events in the archive of %s are not what their hashes say", a.damaged, a.tenant), Next: next})
		}
	}
	if len(out) > 0 {
		return out
	}
	if len(partly) == 0 {
		return []Finding{{Result: OK, Detail: fmt.Sprintf("no hole: counted all %d events of %s; %s", all, operate.Plural(len(found), "tenant"), bytesLookedAt)}}
	}
	if n := len(partly); n > maxSpans {
		partly = append(partly[:maxSpans], fmt.Sprintf("and %d more tenants", n-maxSpans))
	}
	return []Finding{{Result: OK, Detail: fmt.Sprintf("no hole in the newest %d of %d events, which were counted in %s: %s; %s", looked, all, archiveBudget, strings.Join(partly, ", "), bytesLookedAt)}}
}

func spans(s []archive.Span) string {
	var parts []string
	for i, x := range s {
		if i == maxSpans {
			return strings.Join(parts, ", ") + " and more"
		}
		if x.From == x.Through {
			parts = append(parts, fmt.Sprint(x.From))
		} else {
			parts = append(parts, fmt.Sprintf("%d to %d", x.From, x.Through))
		}
	}
	return strings.Join(parts, ", ")
}
