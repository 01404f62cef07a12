package projector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/projector/fold"
)

func (f *fixture) merged(tenant, from, into string) event.Recorded {
	return f.event(tenant, alias.TypeMerged, map[string]any{"from": from, "into": into})
}

func (f *fixture) unmerged(tenant, from, into string) event.Recorded {
	return f.event(tenant, alias.TypeUnmerged, map[string]any{"from": from, "into": into})
}

// lead makes an event about one, which says its e-mail address.
func (f *fixture) lead(tenant, id, email string) event.Recorded {
	return f.event(tenant, "lead.updated", map[string]any{"lead_id": id, "email": email})
}

// run applies events of acme, in the first generation, in one batch.
func (f *fixture) run(events ...event.Recorded) {
	f.t.Helper()
	f.apply([]consumer.Run{{TenantID: "acme", Generation: 1, Events: events}})
}

// rows are those of a query, a text a row.
func (f *fixture) rows(sql string, args ...any) []string {
	f.t.Helper()
	rows, err := f.admin.Query(context.Background(), sql, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// leadsAre compares the leads that are shown, each as "id email", and ">id" of the one that it was merged into.
func (f *fixture) leadsAre(want ...string) {
	f.t.Helper()
	got := f.rows(`SELECT lead_id || ' ' || coalesce(email, '') || coalesce('>' || merged_into, '') FROM read.leads WHERE tenant_id = 'acme' ORDER BY lead_id`)
	if !slices.Equal(got, want) {
		f.t.Errorf("the leads are %q, want %q", got, want)
	}
}

// random merges, takes merges back, and says something of the subjects meanwhile. Many of the merges can't be.
func (f *fixture) mixed(rng *rand.Rand, tenant string) event.Recorded {
	if rng.IntN(3) > 0 {
		return f.random(rng, tenant)
	}
	subject := func() string {
		return fmt.Sprintf("%s-%d", []string{"lead/lead", "lead/lead", "opportunity/opp", "activity/act"}[rng.IntN(4)], rng.IntN(5))
	}
	from, into := subject(), subject()
	if rng.IntN(12) == 0 {
		into = []string{"lead/", "lead-1", "lead/lead\x01"}[rng.IntN(3)]
	}
	if rng.IntN(3) == 0 {
		return f.unmerged(tenant, from, into)
	}
	return f.merged(tenant, from, into)
}

func TestMerges_EqualTheFoldAndTheRebuildHoweverTheLogIsCut(t *testing.T) {
	t.Parallel()
	marked, gone := 0, 0
	for seed := range uint64(3) {
		f := newFixture(t)
		rng := rand.New(rand.NewPCG(seed, 21))
		cut := func(generation int64, most int) {
			next := map[string]int64{}
			for tenant := range f.heads {
				next[tenant] = 1
			}
			for len(next) > 0 {
				var runs []consumer.Run
				for _, tenant := range []string{"acme", "globex"} {
					events, _ := f.Events(context.Background(), tenant, next[tenant], 1+rng.IntN(most))
					if next[tenant] == 0 || len(events) == 0 {
						delete(next, tenant)
						continue
					}
					next[tenant] += int64(len(events))
					runs = append(runs, consumer.Run{TenantID: tenant, Generation: generation, Events: events})
				}
				if len(runs) > 0 {
					f.apply(runs)
				}
			}
		}
		for range 250 {
			f.mixed(rng, []string{"acme", "globex"}[rng.IntN(2)])
		}
		cut(1, 12)
		f.want()
		cut(2, 200) // a rebuild, in other batches
		cut(3, 2)
		for _, generation := range []int64{2, 3} {
			for _, s := range f.specs {
				for _, tenant := range []string{"acme", "globex"} {
					var n int
					if err := f.admin.QueryRow(context.Background(), comparison(s), tenant, 1, generation).Scan(&n); err != nil || n > 0 {
						t.Errorf("seed %d: %d rows of %s of %s differ in generation %d, %v", seed, n, s.Table, tenant, generation, err)
					}
				}
			}
			edges := `SELECT tenant_id || subject || into_subject || sequence FROM projection.merged_subjects WHERE generation = $1 ORDER BY 1`
			if a, b := f.rows(edges, 1), f.rows(edges, generation); !slices.Equal(a, b) {
				t.Errorf("seed %d: the edges are %q, of generation %d %q", seed, a, generation, b)
			}
		}
		marked += int(f.number(`SELECT count(*) FROM read.leads WHERE merged_into IS NOT NULL`))
		gone += int(f.number(`SELECT count(*) FROM read.leads WHERE merged_into IS NULL`))
		// A row says what the edges say, and nothing else.
		if n := f.number(`SELECT count(*) FROM projection.leads l FULL JOIN (SELECT * FROM projection.merged_subjects WHERE subject LIKE 'lead/%') m
			ON m.tenant_id = l.tenant_id AND m.generation = l.generation AND m.subject = 'lead/' || l.lead_id
			WHERE l.lead_id IS NOT NULL AND 'lead/' || l.merged_into IS DISTINCT FROM m.into_subject`); n > 0 {
			t.Errorf("seed %d: %d leads say another merge than the edges", seed, n)
		}
	}
	if marked == 0 || gone == 0 {
		t.Errorf("%d leads are merged, %d are not: the histories try nothing", marked, gone)
	}
}

func TestMerges_LeaveTheRowAsItWasAndAnUnmergeClearsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(f.lead("acme", "7", "seven@example.com"), f.lead("acme", "9", "nine@example.com"))
	f.run(f.merged("acme", "lead/7", "lead/9"))
	f.leadsAre("7 seven@example.com>9", "9 nine@example.com")
	f.run(f.lead("acme", "7", "later@example.com"))
	f.leadsAre("7 seven@example.com>9", "9 later@example.com")
	old := f.lead("acme", "7", "older@example.com") // it happened before the merge, and came after it
	old.Time = monday.AddDate(0, 0, -1)
	f.log[len(f.log)-1] = old
	f.run(old)
	f.leadsAre("7 seven@example.com>9", "9 later@example.com")

	f.run(f.lead("acme", "11", "eleven@example.com"), f.merged("acme", "lead/9", "lead/11"), f.lead("acme", "7", "chain@example.com"))
	f.leadsAre("11 chain@example.com", "7 seven@example.com>9", "9 later@example.com>11")
	f.run(f.unmerged("acme", "lead/9", "lead/11"), f.lead("acme", "7", "nine.again@example.com"))
	f.leadsAre("11 chain@example.com", "7 seven@example.com>9", "9 nine.again@example.com")
	f.run(f.unmerged("acme", "lead/7", "lead/9"))
	f.run(f.lead("acme", "7", "own@example.com"))
	f.leadsAre("11 chain@example.com", "7 own@example.com", "9 nine.again@example.com")
	f.want()
	if n := f.number(`SELECT count(*) FROM projection.merged_subjects`); n != 0 {
		t.Errorf("%d edges are left of merges that were taken back", n)
	}
}

func TestMerges_ReachWhatTheyNameAndNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(f.lead("acme", "7", "seven@example.com"), f.lead("acme", "9", ""), f.event("acme", "opportunity.created", map[string]any{"opportunity_id": "7", "lead_id": "7"}),
		f.event("acme", "appointment.booked", map[string]any{"appointment_id": "7", "lead_id": "7", "starts_at": monday}))
	f.apply([]consumer.Run{{TenantID: "globex", Generation: 1, Events: []event.Recorded{f.lead("globex", "7", "globex@example.com")}}})
	f.run(f.merged("acme", "lead/7", "lead/9"), f.merged("acme", "lead/8", "lead/9"), f.merged("acme", "appointment/7", "appointment/9"),
		f.event("acme", "opportunity.won", map[string]any{"opportunity_id": "7", "lead_id": "7"}),
		f.event("acme", "appointment.missed", map[string]any{"appointment_id": "7", "lead_id": "7"}))
	f.apply([]consumer.Run{{TenantID: "globex", Generation: 1, Events: []event.Recorded{f.lead("globex", "7", "later@example.com")}}})
	f.leadsAre("7 seven@example.com>9", "9 ") // and no row of lead 8, of which nothing is known
	for query, want := range map[string]string{
		`SELECT opportunity_id || status || lead_id || coalesce(merged_into, '-') FROM read.opportunities`:                  "7won7-",
		`SELECT activity_id || status || lead_id FROM read.activities`:                                                      "appointment:7missed7",
		`SELECT lead_id || email || coalesce(merged_into, '-') FROM read.leads WHERE tenant_id = 'globex'`:                  "7later@example.com-",
		`SELECT string_agg(opportunities_won::text, ',') FROM read.funnel_daily WHERE tenant_id = 'acme' AND currency = ''`: "1",
	} {
		if got := f.rows(query); !slices.Equal(got, []string{want}) {
			t.Errorf("%s gives %q, want %q", query, got, want)
		}
	}
	f.want()
}

func TestMerges_ThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var first []event.Recorded
	for i := range alias.MaxChain + 3 {
		first = append(first, f.lead("acme", fmt.Sprint(i), fmt.Sprint(i)))
	}
	for i := range alias.MaxChain { // lead 0 is lead 32
		first = append(first, f.merged("acme", fmt.Sprint("lead/", i), fmt.Sprint("lead/", i+1)))
	}
	f.run(first...)
	all := `SELECT to_jsonb(l)::text FROM projection.leads l UNION ALL SELECT to_jsonb(m)::text FROM projection.merged_subjects m ORDER BY 1`
	before := f.rows(all)
	if len(before) != 2*alias.MaxChain+3 {
		t.Fatalf("there are %d rows and edges", len(before))
	}
	for name, e := range map[string]event.Recorded{
		"longer at its end":       f.merged("acme", "lead/32", "lead/33"),
		"longer at its beginning": f.merged("acme", "lead/33", "lead/0"),
		"a circle":                f.merged("acme", "lead/32", "lead/5"),
		"a second target":         f.merged("acme", "lead/5", "lead/33"),
		"again":                   f.merged("acme", "lead/5", "lead/6"),
		"itself":                  f.merged("acme", "lead/33", "lead/33"),
		"another kind":            f.merged("acme", "lead/33", "opportunity/33"),
		"no subject":              f.merged("acme", "33", "lead/34"),
		"no text of a subject":    f.merged("acme", "lead/33", "lead/34\x01"),
		"no merge":                f.unmerged("acme", "lead/33", "lead/34"),
		"another merge":           f.unmerged("acme", "lead/5", "lead/34"),
	} {
		f.run(e)
		if after := f.rows(all); !slices.Equal(before, after) {
			t.Errorf("%s: the rows are %q, were %q", name, after, before)
		}
	}
	// The same in one batch with a merge that comes in between.
	f.run(f.merged("acme", "lead/33", "lead/34"), f.merged("acme", "lead/34", "lead/33"), f.merged("acme", "lead/32", "lead/33"), f.lead("acme", "33", "last"))
	if got := f.rows(`SELECT lead_id || email FROM read.leads WHERE merged_into IS NULL ORDER BY 1`); !slices.Equal(got, []string{"3232", "34last"}) {
		t.Errorf("the leads that are their own are %q", got)
	}
}

func TestMerges_AreForgottenWithTheirGeneration(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.lead("acme", "7", "a@example.com")
	f.run(first, f.merged("acme", "lead/7", "lead/9"))
	f.run(first) // its progress was removed by hand: it begins again, over what is there
	if n := f.number(`SELECT count(*) FROM projection.merged_subjects`); n != 0 {
		t.Errorf("%d edges are left of a generation that begins again", n)
	}
	f.leadsAre("7 a@example.com")
	f.run(f.log[1])
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state, updated_at) VALUES ('neuronx.projector', 1, 'acme', 0, 2, 'retired', now() - interval '2 days')`)
	f.exec(`UPDATE projection.active SET generation = 2`)
	if _, err := f.projector(consumer.FeedMain).purgeOnce(context.Background(), keepRetired); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`SELECT count(*) FROM projection.merged_subjects`); n != 0 {
		t.Errorf("%d edges are left of a generation that was purged", n)
	}
}

func TestMerges_AreNoReadersBusinessButForTheirOwnRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(f.lead("acme", "7", ""), f.merged("acme", "lead/7", "lead/9"))
	for role, want := range map[string]string{postgres.RoleReader: "denied", postgres.RoleIngest: "denied", postgres.RoleRules: "denied", postgres.RoleOps: "1", postgres.RoleProjector: "1"} {
		var n string
		err := f.db.Pool(t, role).QueryRow(context.Background(), `SELECT count(*)::text FROM projection.merged_subjects`).Scan(&n)
		if err != nil && strings.Contains(err.Error(), "permission denied") {
			n = "denied"
		}
		if n != want {
			t.Errorf("%s sees %q of the edges, want %q, %v", role, n, want, err)
		}
	}
	var into string
	err := pgx.BeginFunc(context.Background(), f.db.Pool(t, postgres.RoleReader), func(tx pgx.Tx) error {
		if err := postgres.SetTenant(context.Background(), tx, "acme"); err != nil {
			return err
		}
		return tx.QueryRow(context.Background(), `SELECT merged_into FROM read.leads WHERE lead_id = '7'`).Scan(&into)
	})
	if err != nil || into != "9" {
		t.Errorf("a reader sees %q, %v", into, err)
	}
}

func TestUpgrade_MergesOfBeforeCountOnceTheTablesAreBuiltAgain(t *testing.T) {
	t.Parallel()
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	old := Migrations()
	old.FS = upTo{old.FS, "00009"}
	f := &fixture{t: t, db: postgrestest.New(t, consumer.Migrations(), old), schemas: newCatalogue(t), specs: specs, heads: map[string]int64{}, kafka: kafkatest.Start(t)}
	f.pool, f.admin = f.db.Pool(t, postgres.RoleProjector), f.db.Pool(t, "")
	// The build before kept the two apart.
	events := []event.Recorded{f.lead("acme", "7", "seven@example.com"), f.lead("acme", "9", "nine@example.com"), f.merged("acme", "lead/7", "lead/9"), f.lead("acme", "7", "later@example.com")}
	partition := fmt.Sprint(kafka.PartitionFor([]byte("acme"), kafkatest.Partitions))
	control := f.projector(FeedControl).hash
	f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, definition) VALUES
		('neuronx.projector', 1, 'acme', ` + partition + `, 4, 'acme-4', '` + events[0].LogID + `', 'before'), ('neuronx.projector.control', 1, 'acme', ` + partition + `, 4, 'acme-4', '` + events[0].LogID + `', '` + control + `')`)
	f.exec(`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'main', 1), ('acme', 'control', 1)`)
	f.exec(`INSERT INTO projection.leads (tenant_id, generation, lead_id, email, sequence) VALUES ('acme', 1, '7', 'later@example.com', 4), ('acme', 1, '9', 'nine@example.com', 2)`)
	if _, err := postgres.Migrate(context.Background(), f.admin.Config().ConnString(), consumer.Migrations(), Migrations()); err != nil {
		t.Fatal(err)
	}
	f.leadsAre("7 later@example.com", "9 nine@example.com")
	f.produce(append(events, f.lead("acme", "7", "last@example.com"))...)
	f.start()
	f.await("acme", 1, 5, consumer.Live)
	f.leadsAre("7 last@example.com", "9 nine@example.com") // until then it goes on from what it holds
	if n := f.redeclare(); n != 1 {
		t.Errorf("%d generations are made, want one of the feed whose declarations changed", n)
	}
	f.await("acme", 2, 5, consumer.Live)
	f.leadsAre("7 seven@example.com>9", "9 last@example.com")
	f.want()
}
