package projector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
	"github.com/neuronx/engine/services/projector/fold/foldtest"
)

// The loop of pkg/consumer, a step at a time: what runs between two steps is the test's decision, not the machine's.

// reset asks for a reset as an operator does and makes its generations of acme; it returns its id.
func (f *fixture) reset(id string) {
	f.t.Helper()
	f.exec(`INSERT INTO neuronx.resets (consumer, reset_id, topic, partition, from_offset, to_offset, state) VALUES ('neuronx.projector', '` + id + `', 'neuronx.events', 0, 9, 0, 'running')`)
	err := f.inTx(func(tx pgx.Tx) error {
		for _, feed := range Feeds() {
			if _, err := consumer.NewGeneration(context.Background(), tx, consumer.RowName(kafka.GroupProjector, feed), "acme", 0, "reset "+id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// head is a generation's sequence; -1 when it is retired.
func (f *fixture) head(feed string, generation int64) (sequence int64) {
	f.t.Helper()
	if err := f.admin.QueryRow(context.Background(), `SELECT CASE WHEN state = 'retired' THEN -1 ELSE sequence END FROM neuronx.progress
		WHERE consumer = $1 AND generation = $2`, consumer.RowName(kafka.GroupProjector, feed), generation).Scan(&sequence); err != nil {
		f.t.Fatal(err)
	}
	return sequence
}

// feedTo takes one generation of both feeds to a sequence, as a catch-up does, and shows it if it is to be live.
func (f *fixture) feedTo(generation, to int64, live bool) {
	f.t.Helper()
	for _, feed := range Feeds() {
		events := f.log[f.head(feed, generation):to]
		p := f.projector(feed)
		err := f.inTx(func(tx pgx.Tx) error {
			if len(events) > 0 {
				if err := p.ApplyBatch(context.Background(), tx, []consumer.Run{{TenantID: "acme", Generation: generation, Events: events}}); err != nil {
					return err
				}
			}
			state := consumer.CatchingUp
			if live {
				state = consumer.Live
				if err := p.CaughtUp(context.Background(), tx, "acme", generation); err != nil {
					return err
				}
			}
			_, err := tx.Exec(context.Background(), `UPDATE neuronx.progress SET sequence = $3, state = $4, definition = coalesce(definition, $5)
				WHERE consumer = $1 AND generation = $2`, p.rowName(), generation, to, string(state), p.hash)
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// live applies events to every live generation, as a batch of the loop does.
func (f *fixture) live(events ...event.Recorded) {
	f.t.Helper()
	for _, feed := range Feeds() {
		p := f.projector(feed)
		err := f.inTx(func(tx pgx.Tx) error {
			rows, err := tx.Query(context.Background(), `SELECT generation FROM neuronx.progress WHERE consumer = $1 AND state = 'live'`, p.rowName())
			if err != nil {
				return err
			}
			generations, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				return err
			}
			var runs []consumer.Run
			for _, g := range generations {
				runs = append(runs, consumer.Run{TenantID: "acme", Generation: g, Events: events})
			}
			if err := p.ApplyBatch(context.Background(), tx, runs); err != nil {
				return err
			}
			_, err = tx.Exec(context.Background(), `UPDATE neuronx.progress SET sequence = $2, definition = coalesce(definition, $3) WHERE consumer = $1 AND state = 'live'`, p.rowName(), f.heads["acme"], p.hash)
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// watched polls a reset once and returns what it would report now.
func (f *fixture) watched(id string) (consumer.ResetReport, int) {
	f.t.Helper()
	b := rebuild{verdicts: map[built]verdict{}, since: map[built]time.Time{}}
	waiting, stalled, err := f.projector(consumer.FeedMain).watch(context.Background(), []string{"neuronx.projector.control", "neuronx.projector"}, "reset "+id, &b)
	if err != nil || len(stalled) > 0 {
		f.t.Fatal(stalled, err)
	}
	r := consumer.Reset{Tenants: []string{"acme"}, Report: &consumer.ResetReport{}}
	b.report(r, nil)
	return *r.Report, waiting
}

func (f *fixture) number(sql string) (n int64) {
	f.t.Helper()
	if err := f.admin.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// grown is a tenant with a generation 1 that is live and shown, at sequence n.
func grown(t *testing.T, rng *rand.Rand, n int) *fixture {
	f := newFixture(t)
	for _, feed := range Feeds() {
		f.exec(fmt.Sprintf(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state) VALUES ('%s', 1, 'acme', 0, 'live')`, consumer.RowName(kafka.GroupProjector, feed)))
	}
	f.event("acme", "tenant.created", map[string]any{"name": "Acme"})
	for range n - 1 {
		f.random(rng, "acme")
	}
	f.live(f.log...)
	return f
}

// Damage done by hand to generation 1: what it is, and in how many rows.
var damage = []struct {
	sql  string
	rows int64
}{
	{`UPDATE projection.leads SET email = 'eve@example.com' WHERE generation = 1 AND lead_id = 'lead-1'`, 1},
	{`DELETE FROM projection.activities WHERE generation = 1 AND activity_id = (SELECT min(activity_id) FROM projection.activities WHERE generation = 1)`, 1},
	{`INSERT INTO projection.opportunities (tenant_id, generation, opportunity_id, sequence) VALUES ('acme', 1, 'nobody''s', 7)`, 1},
	{`UPDATE projection.leads SET told_status = 'x' WHERE generation = 1 AND lead_id = 'lead-2'`, 1}, // no view shows the column
	{`UPDATE projection.funnel_daily SET contacted = contacted + 1 WHERE generation = 1 AND (day, currency) = (SELECT day, currency FROM projection.funnel_daily WHERE generation = 1 ORDER BY 1, 2 LIMIT 1)`, 1},
	{`UPDATE projection.api_keys SET revoked_at = NULL, label = 'mine' WHERE generation = 1 AND key_id = (SELECT min(key_id) FROM projection.api_keys WHERE generation = 1)`, 1},
}

func TestReset_CountsTheRowsThatItRepairedWhateverCameMeanwhile(t *testing.T) {
	t.Parallel()
	f := grown(t, rand.New(rand.NewPCG(3, 4)), 200)
	lead := func(typ, id string, more ...any) event.Recorded {
		data := map[string]any{"lead_id": id}
		for i := 0; i+1 < len(more); i += 2 {
			data[more[i].(string)] = more[i+1]
		}
		return f.event("acme", typ, data)
	}
	f.live(lead("lead.created", "late", "email", "a@example.com"))
	f.reset("r1")
	f.feedTo(2, 100, false)
	if report, waiting := f.watched("r1"); waiting != 2 {
		t.Fatalf("%d of 2 are waited for: %+v", waiting, report)
	}
	// The newest rows are changed and taken away by live events: before the swap, and between the swap and the count. A new zone moves
	// what is counted to other days, so rows of counts go.
	f.live(f.event("acme", "tenant.zone_set", map[string]any{"zone": "Asia/Tokyo"}), lead("lead.contacted", "late"))
	f.feedTo(2, f.heads["acme"], true)
	f.live(f.event("acme", "tenant.zone_set", map[string]any{"zone": "America/New_York"}), lead("lead.created", "later", "email", "b@example.com"),
		f.event("acme", "tenant.key_issued", map[string]any{"key_id": "new", "secret_sha256": strings.Repeat("ab", 32), "scopes": []any{}}))
	var want int64
	for _, d := range damage {
		f.exec(d.sql)
		want += d.rows
	}
	f.live(lead("lead.scored", "late", "score", 5)) // an undamaged row
	report, waiting := f.watched("r1")
	if waiting != 0 || report.Differences != want || report.NotCounted != "" || report.Examined != f.heads["acme"] {
		t.Errorf("the reset reports %+v, waiting %d; want %d rows", report, waiting, want)
	}
	f.want()
	if f.head(consumer.FeedMain, 1) != -1 || f.head(FeedControl, 1) != -1 {
		t.Error("what was kept to be compared is still fed")
	}
	// A process that takes the job over finds the number. A second reset finds nothing to repair.
	if again, _ := f.watched("r1"); again != report {
		t.Errorf("told again: %+v, was %+v", again, report)
	}
	f.exec(`UPDATE neuronx.resets SET state = 'done'`)
	f.reset("r2")
	f.feedTo(3, f.heads["acme"], true)
	f.live(lead("lead.lost", "late"))
	if report, waiting := f.watched("r2"); waiting != 0 || report.Differences != 0 || report.NotCounted != "" {
		t.Errorf("the second reset reports %+v, waiting %d", report, waiting)
	}
}

func TestReset_SaysWhyItCouldNotCount(t *testing.T) {
	t.Parallel()
	reports := func(f *fixture, id, why string) {
		t.Helper()
		report, waiting := f.watched(id)
		if waiting != 0 || report.Differences != 0 || !strings.Contains(report.NotCounted, why) {
			t.Errorf("%s reports %+v, waiting %d; want %q", id, report, waiting, why)
		}
	}
	t.Run("another reset was first", func(t *testing.T) {
		// The generation is retired half built: all that it lacks must not pass for damage.
		f := grown(t, rand.New(rand.NewPCG(5, 6)), 150)
		f.reset("r1")
		f.reset("r2")
		f.feedTo(2, 60, false)
		f.feedTo(3, 150, true)
		f.live(f.random(rand.New(rand.NewPCG(1, 1)), "acme"))
		reports(f, "r1", "a later rebuild replaced these tables")
		if report, waiting := f.watched("r2"); waiting != 0 || report.Differences != 0 || report.NotCounted != "" {
			t.Errorf("the reset that was first reports %+v, waiting %d", report, waiting)
		}
	})
	t.Run("two resets, each in its turn", func(t *testing.T) {
		f := grown(t, rand.New(rand.NewPCG(5, 7)), 150)
		f.reset("r1")
		f.reset("r2")
		f.feedTo(2, 150, true)
		f.exec(damage[0].sql)
		f.feedTo(3, 150, true)
		f.live(f.event("acme", "lead.created", map[string]any{"lead_id": "new"}))
		if report, _ := f.watched("r2"); report.Differences != 0 || report.NotCounted != "" {
			t.Errorf("the second, over what the first built, reports %+v", report)
		}
		if report, _ := f.watched("r1"); report.Differences != 1 || report.NotCounted != "" {
			t.Errorf("the first reports %+v", report)
		}
		if f.head(consumer.FeedMain, 1) != -1 || f.head(consumer.FeedMain, 2) != -1 {
			t.Error("what was kept to be compared is still fed")
		}
	})
	t.Run("stalled before", func(t *testing.T) {
		f := grown(t, rand.New(rand.NewPCG(5, 8)), 50)
		f.exec(`UPDATE neuronx.progress SET state = 'stalled'`)
		f.random(rand.New(rand.NewPCG(1, 2)), "acme")
		f.reset("r1")
		f.feedTo(2, 51, true)
		reports(f, "r1", "the tables shown before stopped at sequence 50 (stalled), the new ones are at 51")
	})
	t.Run("nothing before", func(t *testing.T) {
		f := grown(t, rand.New(rand.NewPCG(5, 9)), 50)
		f.exec(`DELETE FROM neuronx.progress`)
		f.exec(`DELETE FROM projection.active`)
		f.reset("r1")
		f.feedTo(1, 50, true)
		reports(f, "r1", "no tables were shown before")
	})
	t.Run("too large", func(t *testing.T) {
		f := grown(t, rand.New(rand.NewPCG(5, 11)), 50)
		f.reset("r1")
		f.feedTo(2, 50, true)
		cfg, err := pgxpool.ParseConfig(f.db.URL(postgres.RoleProjector))
		if err != nil {
			t.Fatal(err)
		}
		cfg.ConnConfig.RuntimeParams["statement_timeout"] = "3s"
		pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		f.pool = pool
		err = pgx.BeginFunc(context.Background(), f.admin, func(tx pgx.Tx) error { // as good as rows without end
			if _, err := tx.Exec(context.Background(), `LOCK TABLE projection.leads`); err != nil {
				return err
			}
			report, waiting := f.watched("r1")
			if waiting != 0 || report.Differences != 0 || !strings.Contains(report.NotCounted, "1 of 2 sets of tables: comparing them took longer than statement_timeout allows") {
				t.Errorf("%+v, waiting %d", report, waiting)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("the reset has ended", func(t *testing.T) {
		f := grown(t, rand.New(rand.NewPCG(5, 10)), 50)
		f.reset("r1")
		f.feedTo(2, 50, true)
		f.exec(`UPDATE neuronx.resets SET state = 'failed'`)
		for _, feed := range Feeds() {
			if _, err := f.projector(feed).purgeOnce(context.Background(), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if f.head(consumer.FeedMain, 1) != -1 || f.head(FeedControl, 1) != -1 {
			t.Error("a generation is fed for a reset that has ended")
		}
		reports(f, "r1", "the reset ended before")
	})
}

// Any order of live events, damage, resets, catch-up and counts: a count is what a plain fold of the log finds in the generation before.
func TestReset_CountsAsAPlainFoldDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 9))
			f := grown(t, rng, 60)
			counted, damaged := 0, 0
			for generation := int64(2); generation < 14; generation++ {
				id := fmt.Sprint("r", generation)
				f.reset(id)
				for at := int64(0); at < f.heads["acme"]; {
					at = min(f.heads["acme"], at+1+rng.Int64N(80))
					f.feedTo(generation, at, false)
					if rng.IntN(2) == 0 {
						f.live(f.random(rng, "acme"))
					}
				}
				f.feedTo(generation, f.heads["acme"], true)
				for range rng.IntN(4) {
					f.live(f.random(rng, "acme"), f.random(rng, "acme"))
					if rng.IntN(3) == 0 {
						damaged++
						f.exec(strings.ReplaceAll(damage[rng.IntN(2)].sql, "generation = 1", fmt.Sprint("generation = ", generation-1)))
					}
				}
				want := f.differing(generation - 1)
				report, waiting := f.watched(id)
				if waiting != 0 || report.Differences != want || report.NotCounted != "" {
					t.Fatalf("generation %d: %+v, waiting %d; a plain fold finds %d", generation, report, waiting, want)
				}
				counted += int(want)
				f.exec(`UPDATE neuronx.resets SET state = 'done'`)
			}
			if counted == 0 || damaged == 0 {
				t.Error("nothing was damaged")
			}
		})
	}
}

// differing counts the rows of a generation that differ from the plain fold of the log.
func (f *fixture) differing(generation int64) (n int64) {
	f.t.Helper()
	tables, err := foldtest.Tables(f.specs, f.log, decodeBy(f.schemas))
	if err != nil {
		f.t.Fatal(err)
	}
	err = f.inTx(func(tx pgx.Tx) error {
		for _, s := range f.specs {
			want := tables[s.Schema+"."+s.Table]
			met := 0
			err := each(context.Background(), tx, s, "WHERE generation = $1", []any{generation}, func(at rowID, row fold.Row) error {
				expected, ok := want["acme/"+at.id]
				if ok {
					met++
				}
				if !ok || !sameRow(row, expected) {
					n++
				}
				return nil
			})
			if err != nil {
				return err
			}
			n += int64(len(want) - met)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}
