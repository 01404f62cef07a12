package projector

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/projector/fold"
)

// withoutLeads is the same database, log and Kafka under a build that lacks the projection leads.
func (f *fixture) withoutLeads() *fixture {
	return &fixture{t: f.t, db: f.db, pool: f.pool, admin: f.admin, schemas: f.schemas, heads: f.heads, kafka: f.kafka,
		specs: slices.DeleteFunc(slices.Clone(f.specs), func(s *fold.Spec) bool { return s.Name == "leads" })}
}

// leads makes n events of a tenant about leads: each second one says of a lead what the one before did not.
func (f *fixture) leads(tenant string, n int) (out []event.Recorded) {
	for i := range n {
		id := fmt.Sprintf("%d", i/2%25)
		if i%2 == 0 {
			out = append(out, f.event(tenant, "lead.created", map[string]any{"lead_id": id, "email": id + "@example.com", "source": "web"}))
		} else {
			out = append(out, f.event(tenant, "lead.scored", map[string]any{"lead_id": id, "score": int64(i)}))
		}
	}
	return out
}

// definition reads that of a generation of the main feed; "" is not known.
func (f *fixture) definition(generation int) (d string) {
	f.t.Helper()
	err := f.admin.QueryRow(context.Background(), `SELECT coalesce(definition, '') FROM neuronx.progress WHERE consumer = 'neuronx.projector' AND tenant_id = 'acme' AND generation = $1`,
		generation).Scan(&d)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// from makes the archive of f that of another fixture, after events were added to it, and returns those.
func (f *fixture) from(other *fixture, events []event.Recorded) []event.Recorded {
	f.log = append(f.log[:0:0], other.log...)
	return events
}

func TestDefinition_ANewProjectionHasTheRowsOfOldEvents(t *testing.T) {
	t.Parallel()
	f, _ := builtByOlder(t, 40)

	f.produce(f.leads("acme", 40)...)
	stop := f.start()
	f.await("acme", 1, 80, consumer.Live)
	if n := f.redeclare(); n != 1 {
		t.Fatalf("%d generations are made, want one of the feed whose declarations changed", n)
	}
	f.await("acme", 2, 80, consumer.Live)
	f.await("acme", 1, 80, consumer.Retired)
	f.want()
	var incomplete int
	if err := f.admin.QueryRow(context.Background(), `SELECT count(*) FROM read.leads WHERE created_at IS NULL OR email IS NULL OR source IS NULL`).Scan(&incomplete); err != nil || incomplete != 0 {
		t.Errorf("%d leads lack what events before the projection said, %v", incomplete, err)
	}
	if n := f.redeclare(); n != 0 {
		t.Errorf("%d generations are made of tables that are right", n)
	}
	stop()
}

func TestDefinition_IsThatOfTheFirstEventAndMixedAfterAnothers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	old := f.withoutLeads()
	f.produce(old.from(f, f.leads("acme", 1))...)
	stop := old.start()
	old.await("acme", 1, 1, consumer.Live)
	stop()
	if got, want := f.definition(1), old.projector(consumer.FeedMain).hash; got != want {
		t.Errorf("the generation is of %q, want %q", got, want)
	}
	f.produce(f.leads("acme", 1)...)
	f.start()
	f.await("acme", 1, 2, consumer.Live)
	if got := f.definition(1); got != consumer.DefinitionMixed {
		t.Errorf("a generation that two definitions fed is of %q", got)
	}
}

// builtByOlder is a database in which a build without the projection leads has applied n events of acme, and is gone.
func builtByOlder(t *testing.T, n int) (f, old *fixture) {
	f = newFixture(t)
	f.kafka = kafkatest.Start(t)
	old = f.withoutLeads()
	f.produce(old.from(f, f.leads("acme", n))...)
	stop := old.start()
	old.await("acme", 1, int64(n), consumer.Live)
	stop()
	return f, old
}

// awaitNewest waits until a build with the fixture's definition has run last.
func (f *fixture) awaitNewest() {
	f.t.Helper()
	kafkatest.WaitFor(f.t, "the newer definition is registered", func(ctx context.Context) bool {
		newest, _, err := consumer.Newest(ctx, f.admin, kafka.GroupProjector)
		return err == nil && newest == f.projector(consumer.FeedMain).hash
	})
}

// gate is an archive that gives pages of ten and, while it is closed, none beyond a sequence.
type gate struct {
	*fixture
	last int64
}

func (g gate) Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	events, err := g.fixture.Events(ctx, tenant, from, min(limit, 10))
	return slices.DeleteFunc(events, func(e event.Recorded) bool { return e.Sequence > g.last }), err
}

func TestDefinition_ARebuildThatIsKilledHalfwayIsNotSeenAndGoesOn(t *testing.T) {
	t.Parallel()
	f, _ := builtByOlder(t, 80)

	stop := f.startOn(gate{f, 30})
	f.awaitNewest()
	if n := f.redeclare(); n != 1 {
		t.Fatalf("%d generations are made, want 1", n)
	}
	f.await("acme", 2, 30, consumer.CatchingUp)
	stop()
	var shown int
	if err := f.admin.QueryRow(context.Background(), `SELECT count(*) FROM read.leads`).Scan(&shown); err != nil || shown != 0 {
		t.Errorf("%d leads of a half-built generation are shown, %v", shown, err)
	}
	if n := f.redeclare(); n != 0 {
		t.Errorf("%d generations are made while one is being built", n)
	}
	f.start()
	f.await("acme", 2, 80, consumer.Live)
	f.want()
}

func TestDefinition_BuildsThatRunSideBySideDoNotTakeTurnsInRebuilding(t *testing.T) {
	t.Parallel()
	f, old := builtByOlder(t, 40)
	stop := f.start() // the newer build takes the partition
	f.awaitNewest()
	if n := f.redeclare(); n != 1 {
		t.Fatalf("%d generations are made, want 1", n)
	}
	f.await("acme", 2, 40, consumer.Live)
	stop()
	for range 2 { // and it goes back, with events of that tenant and of one that the newer build has made
		f.produce(old.from(f, f.leads("acme", 10))...)
		stop = old.start()
		old.awaitAll("acme", f.heads["acme"])
		if n := old.redeclare(); n != 0 {
			t.Fatalf("the older build makes %d generations again", n)
		}
		stop()
	}
	stop = f.start()
	if n := f.redeclare(); n != 1 {
		t.Errorf("%d generations are made of tables that the older build fed, want 1", n)
	}
	f.await("acme", 3, f.heads["acme"], consumer.Live)
	f.want()
	stop()
	for _, build := range []*fixture{old, f} {
		if n := build.redeclare(); n != 0 {
			t.Errorf("%d generations are made at rest", n)
		}
	}
}

func TestDefinition_AHalfBuiltGenerationThatAnOlderBuildFinishedIsNotShown(t *testing.T) {
	t.Parallel()
	f, old := builtByOlder(t, 80)
	stop := f.startOn(gate{f, 30})
	f.awaitNewest()
	f.redeclare()
	f.await("acme", 2, 30, consumer.CatchingUp)
	stop()
	stop = old.start()
	old.await("acme", 2, 80, consumer.Live)
	stop()
	var active int64
	if err := f.admin.QueryRow(context.Background(), `SELECT generation FROM projection.active WHERE tenant_id = 'acme' AND feed = 'main'`).Scan(&active); err != nil || active != 1 {
		t.Errorf("generation %d is shown, %v", active, err)
	}
	f.start()
	if n := f.redeclare(); n != 1 {
		t.Errorf("%d generations are made, want 1", n)
	}
	f.await("acme", 3, 80, consumer.Live)
	f.want()
}

// A definition must not change with the layout of a file, and must with what a declaration says.
func TestDefinition_FollowsWhatIsDeclaredAndNothingElse(t *testing.T) {
	t.Parallel()
	const text = "apiVersion: neuronx/v1\nkind: Projection\nmetadata: {name: t}\nspec:\n  table: t\n  key: [id]\n  columns: {id: text, a: text}\n  on:\n    lead.created: {key: {id: data.lead_id}, set: {a: data.email}}\n"
	hash := func(text string) string {
		s, err := fold.Parse("t.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return fold.Hash([]*fold.Spec{s})
	}
	same := "# a comment\n\nkind: Projection\napiVersion:   \"neuronx/v1\"\nmetadata:\n    name: t # here\nspec:\n    on:\n        lead.created:\n            set: {a: data.email}\n            key: {id: data.lead_id}\n    columns:\n        id: text\n        a: text\n    key:\n        - id\n    table: t\n"
	if hash(text) != hash(same) {
		t.Error("comments and layout are part of the definition")
	}
	other := []byte(text)
	copy(other[len(other)-len("data.email}}\n"):], "data.phone}}\n")
	if hash(text) == hash(string(other)) {
		t.Error("another expression is the same definition")
	}
}
