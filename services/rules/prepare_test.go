package rules

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// near is a rule that costs almost what one may.
func near(t *testing.T, name string) ruleset.File {
	t.Helper()
	for _, f := range hostileFiles(t) {
		if f.Name == "near-the-limit.yaml" {
			return ruleset.File{Name: name + ".yaml", Text: strings.Replace(f.Text, "near-the-limit", name, 1)}
		}
	}
	t.Fatal("no such rule")
	return ruleset.File{}
}

func (b *bench) leads(tenant string, n int) consumer.Run {
	run := consumer.Run{TenantID: tenant, Generation: 1}
	for range n {
		id := fmt.Sprint(b.next[tenant])
		run.Events = append(run.Events, b.recorded(tenant, "lead.created", "lead/"+id, lead(id)))
	}
	return run
}

func TestApplyParts_ATenantWhoseEventsCostMuchIsEvaluatedInCatchUpUntilTheyDoNot(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("dear", 1, near(t, "near"))), runOf(b.published("good", 1, score)))
	first := b.leads("dear", 3)
	if parts := b.parts(h, first, b.leads("good", 3)); parts[0] != (consumer.Part{Later: true}) || parts[1].Applied != 3 {
		t.Errorf("%+v: the batch waits for more than it may", parts)
	}
	// Known now: the next batch spends nothing on it.
	cheap := runOf(b.recorded("dear", "activity.recorded", "lead/1", map[string]any{"activity_id": "1", "kind": "call"}))
	if parts := b.parts(h, cheap); parts[0] != (consumer.Part{Later: true}) {
		t.Errorf("%+v", parts)
	}
	for len(first.Events) > 0 {
		part := b.catchUp(h, first)
		if part.Applied == 0 || part.Err != nil {
			t.Fatalf("in catch-up: %+v", part)
		}
		first.Events = first.Events[part.Applied:]
	}
	if parts := b.parts(h, b.leads("dear", 1)); !parts[0].Later {
		t.Error("its last events were expensive, and a batch takes it again")
	}
	if part := b.catchUp(h, cheap); part.Applied != 1 {
		t.Errorf("%+v", part)
	}
	if parts := b.parts(h, runOf(b.recorded("dear", "activity.recorded", "lead/1", map[string]any{"activity_id": "2", "kind": "call"}))); parts[0].Applied != 1 {
		t.Errorf("%+v: its events are cheap again, and no batch takes them", parts)
	}
}

// Where an event is evaluated must not matter: in a catch-up, in a batch that gives up in the middle, or whole.
func TestPrepare_GivesTheSameBytesAsABatch(t *testing.T) {
	dearStory := func(b *bench) []consumer.Run {
		runs := b.story()
		for i := range runs {
			tenant := runs[i].TenantID
			runs[i].Events = append(runs[i].Events, b.published(tenant, 3, near(t, "near"), score, divides),
				b.recorded(tenant, "lead.created", "lead/9", map[string]any{"lead_id": "9", "source": "0"}),
				b.published(tenant, 4, manyRules("many", 300)...), b.recorded(tenant, "lead.created", "lead/10", lead("10")))
		}
		return runs
	}
	whole := newBench(t)
	whole.apply(whole.handler(), nil, dearStory(whole)...)

	apart := newBench(t)
	h := apart.handler()
	runs := dearStory(apart)
	later := 0
	for i, part := range apart.parts(h, runs...) {
		run := runs[i]
		for run.Events = run.Events[part.Applied:]; len(run.Events) > 0; run.Events = run.Events[part.Applied:] {
			later++
			if part = apart.catchUp(h, run); part.Applied == 0 || part.Err != nil {
				t.Fatalf("%s from %d: %+v", run.TenantID, run.Events[0].Sequence, part)
			}
		}
	}
	if got, want := apart.dump(), whole.dump(); got != want || later < 2 {
		t.Errorf("%d parts of a catch-up gave\n%s\nwant\n%s", later, got, want)
	}
}

// When what was prepared can't be written, the consumer looks for the event whose fault it is by halving the run: the halves must be
// applied, not left for later, or the tenant would neither go on nor be named.
func TestApplyParts_TheHalvesOfARunThatCanNotBeWrittenAreNotLeftForLater(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("dear", 1, near(t, "near"))))
	run := b.leads("dear", 2)
	if parts := b.parts(h, run); !parts[0].Later {
		t.Fatalf("%+v", parts)
	}
	h.Prepare(t.Context(), b.pool, run)
	refused := errors.New("a table refuses it")
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT 1/0`); err == nil {
			t.Error("the transaction works")
		}
		if _, err := h.ApplyParts(t.Context(), tx, []consumer.Run{run}); err == nil {
			t.Error("nothing was written")
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if parts := b.parts(h, consumer.Run{TenantID: "dear", Generation: 1, Events: run.Events[:1]}); parts[0].Applied != 1 {
		t.Errorf("the first half: %+v", parts)
	}
}

// A rule that listens to rules.published can be too expensive for a batch: then the bundle is not in force yet, either.
func TestFold_AnEventThatIsForLaterLeavesNothingBehind(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	digits := "[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]"
	file := ruleFile("near", "on: [rules.published]\nset: {x: '"+digits+".exists(a, "+digits+".exists(b, "+digits+".exists(c, a + b + c < 0)))'}")
	run := runOf(b.published("dear", 1, file), b.recorded("dear", "lead.created", "lead/1", lead("1")))
	part := b.parts(h, run)[0]
	if part != (consumer.Part{Later: true}) {
		t.Fatalf("%+v", part)
	}
	var n int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.rule_bundles`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d bundles are in force before their event was applied (%v)", n, err)
	}
	if part := b.catchUp(h, run); part.Applied != 2 || part.Err != nil {
		t.Errorf("%+v", part)
	}
}

// TestGiveWay_PausesTwiceAsLongAsWasWorked holds the compilation of a large bundle to a third of a core.
func TestGiveWay_PausesTwiceAsLongAsWasWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pause := giveWay(ctx)
		for _, c := range []struct{ worked, want time.Duration }{
			{30 * time.Millisecond, 60 * time.Millisecond},
			{leastWork / 2, 0},
			{time.Minute, longestPause},
		} {
			time.Sleep(c.worked)
			began := time.Now()
			pause()
			if got := time.Since(began); got != c.want {
				t.Errorf("a pause of %s after %s of work, want %s", got, c.worked, c.want)
			}
		}
		cancel()
		time.Sleep(time.Minute)
		began := time.Now()
		if pause(); time.Since(began) != 0 {
			t.Error("it pauses although the service is to stop")
		}
	})
}

// TestCompiler_GivesWayBetweenTheFilesOfABundle lets other tenants' batches run while a large bundle is compiled.
func TestCompiler_GivesWayBetweenTheFilesOfABundle(t *testing.T) {
	pauses := 0
	c := &compiler{kept: &shared{}, one: 1 << 20, left: 1 << 20, between: func() { pauses++ }}
	set, problems, err := c.published(ruleset.Semantics, []ruleset.File{ruleFile("a", "on: [lead.lost]\nset: {seen: '1'}"), ruleFile("b", "on: [lead.lost]\nset: {seen: '1'}")})
	if err != nil || set == nil {
		t.Fatal(problems, err)
	}
	if pauses != 2 {
		t.Errorf("%d pauses, want one a file", pauses)
	}
}
