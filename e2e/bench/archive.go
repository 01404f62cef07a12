package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/kafka"
)

const (
	copyRows  = 10_000 // rows of one raw transaction
	templates = 20_000 // rows that the raw limit repeats
)

// archiveColumns are those of neuronx.tenant_events.
var archiveColumns = []string{"tenant_id", "sequence", "position", "event_id", "event_type", "subject", "source", "occurred_at", "recorded_at",
	"correlation_id", "causation_id", "schema_id", "log_id", "log_partition", "log_offset", "hash", "payload", "data"}

// archive measures how fast the log becomes rows. Each round goes on in the log where the one before stopped.
func (b *bench) archive(ctx context.Context, r *report) error {
	need := int64(b.o.archived)*int64(b.o.rounds+1) + 20_000
	have, err := b.unarchived(ctx)
	if err != nil {
		return err
	}
	for have < need { // admission was not measured, or in rounds too small
		n := min(need-have, 500_000)
		from, to, err := b.fill(ctx, int(n))
		if err != nil {
			return err
		}
		if _, err := b.sequence(ctx, from, to, b.process(b.sequencer)); err != nil {
			return err
		}
		have += n
	}
	if _, err := b.archiving(ctx, min(b.o.archived, 50_000), math.MaxInt64); err != nil { // warms up, and gives the rows to repeat
		return err
	}
	rows, err := b.rows(ctx)
	if err != nil {
		return err
	}
	pairs, err := b.pairs(ctx, nil,
		func(ctx context.Context) (sample, error) { return b.rawRows(ctx, rows, b.o.archived) },
		func(ctx context.Context) (sample, error) { return b.archiving(ctx, b.o.archived, math.MaxInt64) })
	if err != nil {
		return err
	}
	r.throughput("archive", "events/s", fmt.Sprintf("at least %d events a round from a backlog of the log to committed rows of neuronx.tenant_events (partitioned by tenant, key and three indexes, row-level security, "+
		"progress in the same transaction), one neuronx-archiver; raw limit: COPY of the same rows (all columns, made by it) into one plain table with the same key and one index, one connection, %d rows a transaction; "+
		"a checkpoint before either", b.o.archived, copyRows), pairs)
	return nil
}

// unarchived is about how many events of the log the archiver has not read.
func (b *bench) unarchived(ctx context.Context) (int64, error) {
	ends, err := b.ends(ctx, kafka.TopicEvents)
	if err != nil {
		return 0, err
	}
	var next int64
	err = b.c.Admin.QueryRow(ctx, `SELECT coalesce(sum(next_offset), 0) FROM neuronx.partition_progress WHERE consumer = $1 AND topic = $2`,
		kafka.GroupArchiver, kafka.TopicEvents).Scan(&next)
	return sum(ends) - next - sum(ends)/500, err // control records are offsets, too
}

func (b *bench) archived(ctx context.Context) (n int64, err error) {
	err = b.c.Admin.QueryRow(ctx, `SELECT coalesce(sum(sequence), 0)::bigint FROM neuronx.progress WHERE consumer = $1`, kafka.GroupArchiver).Scan(&n)
	return n, err
}

// archiving runs the archiver until it has archived n more events, or last in all. Time and CPU count from its first commit.
func (b *bench) archiving(ctx context.Context, n int, last int64) (s sample, err error) {
	if _, err := b.c.Admin.Exec(ctx, `CHECKPOINT`); err != nil {
		return s, err
	}
	start, err := b.archived(ctx)
	if err != nil {
		return s, err
	}
	if err := b.archiver.Start(); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, b.archiver.Term()) }()
	pid := b.archiver.PID()
	var began time.Time
	var cpu usage
	first := start
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(poll) {
		at, err := b.archived(ctx)
		if err != nil {
			return s, err
		}
		switch {
		case at == start:
		case began.IsZero():
			began, cpu, first = time.Now(), b.meter.read(pid), at
		case at >= min(first+int64(n), last):
			return sample{n: float64(at - first), wall: time.Since(began), cpu: b.meter.read(pid).since(cpu), peak: peakMemory(pid)}, nil
		}
	}
	return s, fmt.Errorf("%d events were not archived in 5 minutes:\n%s", n, b.archiver.Tail(10))
}

// rows reads archived rows, in the form in which COPY takes them.
func (b *bench) rows(ctx context.Context) ([][]any, error) {
	list := strings.Join(archiveColumns, ", ")
	found, err := b.c.Admin.Query(ctx, `SELECT `+strings.TrimSuffix(list, "data")+`data::text FROM neuronx.tenant_events WHERE event_type = 'lead.created' ORDER BY recorded_at LIMIT $1`, templates)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var out [][]any
	for found.Next() {
		v, err := found.Values()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, errors.Join(errors.New("no archived row was found"), found.Err())
	}
	return out, found.Err()
}

// rawRows copies n rows into a fresh table. The templates are repeated under ever higher sequences.
func (b *bench) rawRows(ctx context.Context, rows [][]any, n int) (sample, error) {
	conn, err := b.c.Admin.Acquire(ctx)
	if err != nil {
		return sample{}, err
	}
	defer conn.Release()
	for _, q := range []string{
		`DROP TABLE IF EXISTS bench_copy`,
		`CREATE TABLE bench_copy (LIKE neuronx.tenant_events, PRIMARY KEY (tenant_id, sequence))`,
		`CREATE INDEX ON bench_copy (tenant_id, recorded_at, event_type)`,
		`CHECKPOINT`,
	} {
		if _, err := conn.Exec(ctx, q); err != nil {
			return sample{}, fmt.Errorf("%s: %w", q, err)
		}
	}
	const sequence = 1 // its column
	base := make([]int64, len(rows))
	for i := range rows {
		base[i] = rows[i][sequence].(int64)
	}
	row := make([]any, len(archiveColumns))
	began, cpu := time.Now(), b.meter.read(os.Getpid())
	for done := 0; done < n; {
		batch, at := min(copyRows, n-done), done
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"bench_copy"}, archiveColumns, pgx.CopyFromSlice(batch, func(i int) ([]any, error) {
				k := at + i
				copy(row, rows[k%len(rows)])
				row[sequence] = base[k%len(rows)] + int64(k/len(rows))*1_000_000_000
				return row, nil
			}))
			return err
		})
		if err != nil {
			return sample{}, fmt.Errorf("raw COPY: %w", err)
		}
		done += batch
	}
	s := sample{n: float64(n), wall: time.Since(began), cpu: b.meter.read(os.Getpid()).since(cpu)}
	_, err = conn.Exec(ctx, `DROP TABLE bench_copy`)
	return s, err
}
