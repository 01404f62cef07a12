package consumer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// Each row of the tables after the log was rebuilt up to sequence 5 of each tenant, under the log new and topic ids 1.
func TestRebuilt_RowsFitTheLogThatThereIs(t *testing.T) {
	t.Parallel()
	db := postgrestest.New(t, consumer.Migrations()).Pool(t, "")
	topic := uuid.UUID{15: 1}
	if _, err := db.Exec(t.Context(), `
		INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, seen, event_id, log_id, state, reason, missing_since) VALUES
			('kept', 1, 'a', 0, 4, 9, 'e4', 'old', 'live', '', now()), ('kept', 1, 'none', 0, 0, 9, '', '', 'live', '', NULL),
			('ahead', 1, 'a', 0, 8, 9, 'e8', 'old', 'stalled', 'bad', NULL), ('built', 3, 'a', 2, 8, 0, 'e8', 'old', 'live', '', NULL), ('built', 2, 'a', 2, 8, 0, 'e8', 'old', 'retired', '', NULL);
		INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, log_id, next_offset) VALUES
			('kept', 1, 'events', 0, gen_random_uuid(), 'old', 70), ('ahead', 1, 'events', 0, gen_random_uuid(), 'old', 80), ('kept', 1, 'events', 1, gen_random_uuid(), 'old', 71),
			('kept', 1, 'letters', 0, gen_random_uuid(), 'old', 9), ('ahead', 1, 'letters', 0, gen_random_uuid(), 'older', 9);
		INSERT INTO neuronx.resets (consumer, reset_id, topic, partition, from_offset, to_offset, state, detail, put_back) VALUES
			('kept', 'r1', 'events', 0, 9, 1, 'running', 'half', true), ('kept', 'r2', 'events', 0, 9, 1, 'done', 'fine', false), ('kept', 'r3', 'events', 0, 9, 1, 'requested', '', false)`); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		rows, err := consumer.AllRows(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			switch r.Consumer {
			case "kept":
				err = r.Keep(ctx, tx, "new", 5)
			case "ahead":
				err = r.SetBack(ctx, tx, 5, "e5", "new")
			case "built":
				err = r.Replace(ctx, tx, 5, "rebuilt")
			}
			if err != nil {
				return err
			}
		}
		for _, o := range []consumer.Offset{{Consumer: "kept", Topic: "events", TopicID: topic, LogID: "new", Next: 3}, {Topic: "letters", TopicID: topic, Next: 1}} {
			if err := consumer.SetOffset(ctx, tx, o); err != nil {
				return err
			}
		}
		for range 2 {
			if err := consumer.AddLineage(ctx, tx, "new", "old", 0, topic); err != nil {
				return err
			}
		}
		return consumer.EndResets(ctx, tx, "gone")
	})
	if err != nil {
		t.Fatal(err)
	}
	is := func(sql, want string) {
		t.Helper()
		rows, err := db.Query(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(got); text != want {
			t.Errorf("%s\ngave %s\nwant %s", sql, text, want)
		}
	}
	is(`SELECT concat_ws('/', consumer, generation, tenant_id, partition, sequence, seen, event_id, log_id, state, reason, origin, missing_since) FROM neuronx.progress ORDER BY 1`,
		"[ahead/1/a/0/5/0/e5/new/live// built/2/a/2/8/0/e8/old/retired// built/3/a/2/8/0/e8/old/retired// built/4/a/2/0/5///catching-up//rebuilt kept/1/a/0/4/5/e4/new/live// kept/1/none/0/0/5///live//]")
	is(`SELECT concat_ws('/', topic, partition, consumer, CASE topic_id WHEN '`+topic.String()+`' THEN 'here' ELSE 'gone' END, log_id, next_offset) FROM neuronx.partition_progress ORDER BY 1`,
		"[events/0/ahead/gone/old/80 events/0/kept/here/new/3 events/1/kept/gone/old/71 letters/0/ahead/here/older/1 letters/0/kept/here/old/1]")
	is(`SELECT concat_ws('/', reset_id, state, detail, put_back) FROM neuronx.resets ORDER BY 1`, "[r1/failed/gone/t r2/done/fine/t r3/failed/gone/t]")
	is(`SELECT concat_ws('/', log_id, predecessor, partition) FROM neuronx.log_lineage`, "[new/old/0]")
}

func TestRetire_StopsOnlyWhatIsFedAndSaysHowMuch(t *testing.T) {
	t.Parallel()
	db := postgrestest.New(t, consumer.Migrations()).Pool(t, "")
	if _, err := db.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state, reason) VALUES
		('c', 1, 'a', 0, 'retired', ''), ('c', 2, 'a', 0, 'stalled', 'bad'), ('c', 3, 'a', 0, 'live', ''), ('c', 4, 'a', 0, 'catching-up', ''), ('c', 2, 'b', 0, 'live', ''), ('d', 2, 'a', 0, 'live', '')`); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		n, err := consumer.Retire(t.Context(), tx, "c", "a", 1, 2, 3)
		if err != nil || n != 2 {
			t.Errorf("retired %d: %v", n, err)
		}
		rows, err := consumer.Lock(t.Context(), tx, "c", "a")
		if err != nil || len(rows) != 1 || rows[0].Generation != 4 {
			t.Errorf("left are %+v: %v", rows, err)
		}
		all, err := consumer.AllRows(t.Context(), tx)
		if err != nil || len(all) != 3 {
			t.Errorf("%d rows are fed, want 3: %v", len(all), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
