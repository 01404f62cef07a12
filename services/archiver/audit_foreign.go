package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// ofThisLog keeps dead letters of the Kafka that is read. Those of one that was lost are known under another topic's name since the log
// was rebuilt, and their locations mean nothing here.
const ofThisLog = `topic NOT LIKE '%@before-%'`

// letter compares one dead letter.
func (u *auditor) letter(ctx context.Context, rec *kafka.Record) error {
	u.examined++
	headers := make([]event.Header, len(rec.Headers))
	for i, h := range rec.Headers {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	want := archive.HashLetter(rec.Key, archive.EncodeHeaders(headers), rec.Value)
	var key, kept, value, hash []byte
	// Of several that claim the location, the right one counts as found; the others are in no log (see foreign).
	err := u.a.pool.QueryRow(ctx, `SELECT key, headers, value, hash FROM neuronx.dead_letters WHERE letter_partition = $1 AND letter_offset = $2 AND `+ofThisLog+`
		ORDER BY hash <> $3 LIMIT 1`, rec.Partition, rec.Offset, want[:]).Scan(&key, &kept, &value, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		u.differ("dead letter at partition %d offset %d is not in the archive", rec.Partition, rec.Offset)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	u.letters++
	if have := archive.HashLetter(key, kept, value); have != want || !bytes.Equal(hash, want[:]) {
		u.differ("dead letter at partition %d offset %d: the archive holds other bytes", rec.Partition, rec.Offset)
	}
	return nil
}

// foreign counts the rows that the archive has and the log has not.
func (u *auditor) foreign(ctx context.Context, r consumer.Reset, from int64, partitions int32) error {
	if r.Topic == kafka.TopicDeadLetter {
		return u.foreignLetters(ctx, r, from)
	}
	tenants, err := u.archivedTenants(ctx, r.Partition, partitions)
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		// The archiver writes rows and moves its own in one transaction, so in one snapshot none lies beyond. The log may hold the next
		// event by now, but the archiver did not write it.
		var n, low, high int64
		err := pgx.BeginTxFunc(ctx, u.a.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
			if err := postgres.SetTenant(ctx, tx, tenant); err != nil {
				return err
			}
			archived, err := consumer.Applied(ctx, tx, kafka.GroupArchiver, tenant)
			if err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SELECT count(*), coalesce(min(sequence), 0), coalesce(max(sequence), 0) FROM neuronx.tenant_events WHERE tenant_id = $1
				AND sequence > $2`, tenant, archived).Scan(&n, &low, &high)
		})
		if err != nil {
			return fmt.Errorf("look for rows of %s that are not in the log: %w", tenant, err)
		}
		if n > 0 {
			u.differ("%d rows of %s, sequences %d to %d, are in the archive and the archiver has not got them from the log", n, tenant, low, high)
			u.differences += n - 1
		}
	}
	return nil
}

// leafBound is how Postgres shows which tenant a table of the archive is for.
var leafBound = regexp.MustCompile(`^FOR VALUES IN \('([a-z0-9-]{1,63})'\)$`)

// archivedTenants lists the tenants that have a table in the archive and belong to a partition. The catalogue tells: the archiver may not
// read which table is whose, and a tenant of whom it knows nothing is what is looked for.
func (u *auditor) archivedTenants(ctx context.Context, partition, partitions int32) ([]string, error) {
	rows, err := u.a.pool.Query(ctx, `SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'neuronx.tenant_events'::regclass ORDER BY 1`)
	bounds, err := postgres.Collect(rows, err, "list the archive's tables", pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var out []string
	for _, b := range bounds {
		m := leafBound.FindStringSubmatch(b)
		if m == nil {
			return nil, fmt.Errorf("a table of the archive is for %q, which is no tenant", b)
		}
		if u.met[m[1]] || kafka.PartitionFor([]byte(m[1]), partitions) == partition {
			out = append(out, m[1])
		}
	}
	return out, nil
}

func (u *auditor) foreignLetters(ctx context.Context, r consumer.Reset, from int64) error {
	var within, beyond int64
	// In one snapshot, because the archiver writes letters and moves its offset in one transaction.
	err := pgx.BeginTxFunc(ctx, u.a.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		offsets, err := consumer.Offsets(ctx, tx, kafka.GroupArchiver, r.Topic, r.Partition)
		if err != nil || len(offsets) == 0 {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FILTER (WHERE letter_offset < $3), count(*) FILTER (WHERE letter_offset >= $4)
			FROM neuronx.dead_letters WHERE letter_partition = $1 AND letter_offset >= $2 AND `+ofThisLog, r.Partition, from, r.From, offsets[0].Next).Scan(&within, &beyond)
	})
	if err != nil {
		return fmt.Errorf("look for dead letters that are not in the log: %w", err)
	}
	if n := within - u.letters + beyond; n > 0 {
		u.differ("%d dead letters of partition %d are in the archive and not in the log", n, r.Partition)
		u.differences += n - 1
	}
	return nil
}
