package rules

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/timers"
)

// bench is the handler over a test database, without Kafka.
type bench struct {
	*testing.T
	pool     *pgxpool.Pool
	keys     *event.Keyring
	registry registryClient
	next     map[string]int64
	log      map[string][]event.Recorded // by tenant: all that was recorded, which is also the archive
}

// Events implements stream.Source.
func (b *bench) Events(_ context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	return fixed(b.log[tenant]).Events(b.Context(), tenant, from, limit)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db := postgrestest.New(t, consumer.Migrations(), archiver.Migrations(), outbox.Migrations(), Migrations())
	return &bench{T: t, pool: db.Pool(t, postgres.RoleRules), keys: event.NewKeyring(), registry: catalogue(t), next: map[string]int64{}, log: map[string][]event.Recorded{}}
}

func (b *bench) handler() *handler {
	h := newHandler(outbox.New(Deriver, b.keys), b.registry, quiet(), newMetrics(nil))
	h.archive = b
	h.within = time.Minute // what a test asks must not depend on the speed of its machine
	return h
}

func (b *bench) recorded(tenant, typ, subject string, data map[string]any) event.Recorded {
	b.Helper()
	b.next[tenant]++
	n := b.next[tenant]
	r := event.Recorded{Event: event.Event{TenantID: tenant, ID: fmt.Sprintf("e%d", n), Source: "/test", Type: typ, Subject: subject, Time: recordedAt, Value: value(b, b.registry, typ, data)},
		Sequence: n, Position: n << 20, RecordedTime: recordedAt, LogID: "log"}
	b.log[tenant] = append(b.log[tenant], r)
	return r
}

// stormed trips a rule.
func (b *bench) stormed(tenant, rule string) event.Recorded {
	return b.recorded(tenant, typeStorm, "rule/"+rule, map[string]any{"rule": rule, "version": int64(1), "hops": int64(17), "path": []any{}, "event_id": "r1"})
}

func (b *bench) rerunOf(tenant, rule string, from, through int64) event.Recorded {
	return b.recorded(tenant, typeRerun, "rule/"+rule, map[string]any{"rule": rule, "from_sequence": from, "through_sequence": through})
}

func (b *bench) published(tenant string, version int64, files ...ruleset.File) event.Recorded {
	return b.recorded(tenant, typePublished, "rules/"+tenant, ruleset.PublishedData(files, version, ""))
}

func runOf(events ...event.Recorded) consumer.Run {
	return consumer.Run{TenantID: events[0].TenantID, Generation: 1, Events: events}
}

// apply applies runs in one transaction each, which ends with the error of end.
func (b *bench) apply(h *handler, end error, runs ...consumer.Run) {
	b.Helper()
	err := pgx.BeginFunc(b.Context(), b.pool, func(tx pgx.Tx) error {
		if err := h.ApplyBatch(b.Context(), tx, runs); err != nil {
			return err
		}
		return end
	})
	if !errors.Is(err, end) || (err != nil && end == nil) {
		b.Fatal(err)
	}
}

// parts is what a batch of the loop does.
func (b *bench) parts(h *handler, runs ...consumer.Run) (parts []consumer.Part) {
	b.Helper()
	err := pgx.BeginFunc(b.Context(), b.pool, func(tx pgx.Tx) (err error) {
		parts, err = h.ApplyParts(b.Context(), tx, runs)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return parts
}

// catchUp is what one transaction of a tenant's catch-up does.
func (b *bench) catchUp(h *handler, run consumer.Run) consumer.Part {
	b.Helper()
	h.Prepare(b.Context(), b.pool, run)
	return b.parts(h, run)[0]
}

// dump is everything that the service keeps, as text.
func (b *bench) dump() string {
	b.Helper()
	var out strings.Builder
	for _, q := range []string{
		`SELECT tenant_id || ' ' || deriver || ' ' || number || ' ' || event_id || ' ' || encode(record, 'hex') FROM neuronx.outbox ORDER BY tenant_id, number`,
		`SELECT tenant_id || ' ' || last FROM neuronx.outbox_numbers ORDER BY 1`,
		`SELECT tenant_id || ' ' || subject || ' ' || state || ' ' || sequence FROM neuronx.rule_state ORDER BY 1`,
		`SELECT tenant_id || ' ' || rule || ' ' || failures || ' ' || tripped || ' ' || tripped_at || ' ' || reset_at FROM neuronx.rule_health ORDER BY 1`,
		`SELECT tenant_id || ' ' || rule || ' ' || sequence FROM neuronx.rule_missed ORDER BY tenant_id, rule, sequence`,
		`SELECT r::text FROM neuronx.rule_reruns r ORDER BY tenant_id, sequence`,
		`SELECT tenant_id || ' ' || sequence || ' ' || version || ' ' || hash FROM neuronx.rule_bundles ORDER BY tenant_id, sequence`,
	} {
		rows, err := b.pool.Query(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			b.Fatal(err)
		}
		out.WriteString(strings.Join(lines, "\n") + "\n--\n")
	}
	return out.String()
}

// story is a stretch of two tenants' streams that uses everything.
func (b *bench) story() []consumer.Run {
	counts := ruleFile("counts", "on: [lead.created, lead.updated]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}")
	var runs []consumer.Run
	for _, tenant := range []string{"a", "b"} {
		events := []event.Recorded{
			b.recorded(tenant, "lead.created", "lead/0", lead("0")),
			b.published(tenant, 1, score, counts, divides),
			b.recorded(tenant, "lead.created", "lead/1", map[string]any{"lead_id": "1", "source": "0"}),
			b.recorded(tenant, "lead.updated", "lead/1", lead("1")),
			b.recorded(tenant, "lead.created", "lead/2", map[string]any{"lead_id": "2", "source": "2"}),
			b.published(tenant, 2, counts),
			b.recorded(tenant, "lead.updated", "lead/1", lead("1")),
			b.recorded(tenant, typeReset, "rule/divides", map[string]any{"rule": "divides"}),
			b.stormed(tenant, "counts"),
			b.recorded(tenant, "lead.updated", "lead/1", lead("1")),
			b.recorded(tenant, "lead.updated", "lead/2", lead("2")),
			b.recorded(tenant, typeReset, "rule/counts", map[string]any{"rule": "counts"}),
			b.published(tenant, 3, counts, ruleFile("greets", "on: [lead.updated]\nemit:\n  - {type: lead.contacted, data: {lead_id: data.lead_id}}")),
			b.stormed(tenant, "greets"),
			b.recorded(tenant, "lead.updated", "lead/1", lead("1")),
			b.recorded(tenant, "lead.updated", "lead/2", lead("2")),
			b.rerunOf(tenant, "greets", 1, 99), // off: runs nothing
			b.recorded(tenant, typeReset, "rule/greets", map[string]any{"rule": "greets"}),
			b.rerunOf(tenant, "greets", 1, 15), // one of two
			b.rerunOf(tenant, "counts", 1, 99),
		}
		runs = append(runs, runOf(events...))
	}
	return runs
}

func TestApply_ACrashBeforeCommitLeavesNothingAndASecondRunGivesTheSameBytes(t *testing.T) {
	calm := newBench(t)
	calm.apply(calm.handler(), nil, calm.story()...)
	want := calm.dump()

	crashed := errors.New("crashed before the commit")
	torn := newBench(t)
	empty := torn.dump()
	for _, run := range torn.story() {
		h := torn.handler()
		for i := range run.Events {
			before := torn.dump()
			one := runOf(run.Events[i])
			torn.apply(h, crashed, one)
			if torn.dump() != before {
				t.Fatalf("event %d left something behind although its transaction was rolled back", i)
			}
			h = torn.handler() // the process is new: what it kept in memory is gone
			torn.apply(h, nil, one)
		}
	}
	if got := torn.dump(); got != want || got == empty {
		t.Errorf("event by event with a crash before each commit:\n%s\nin one batch:\n%s", got, want)
	}
}

func TestApply_TripsAndResetsTakeEffectAtTheirSequence(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	fail := map[string]any{"rule": "divides", "version": int64(1), "cause_sequence": int64(2), "cause_id": "e2", "code": "x", "tripped": true}
	created := func(id string) event.Recorded {
		return b.recorded("a", "lead.created", "lead/"+id, map[string]any{"lead_id": id, "source": "1"})
	}
	b.apply(h, nil, runOf(
		b.published("a", 1, divides),
		created("2"),
		b.recorded("a", typeFailed, "rule/divides", fail), // 3: trips
		created("4"), // silent
		b.recorded("a", typeReset, "rule/divides", map[string]any{"rule": "divides"}), // 5
		b.recorded("a", typeFailed, "rule/divides", fail),                             // 6: from before the reset, must not undo it
		created("7"),
	))
	rows, err := b.pool.Query(t.Context(), `SELECT event_id FROM neuronx.outbox ORDER BY number`)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{event.DerivedID("a", "2", Deriver, "divides", "1", "0"), event.DerivedID("a", "7", Deriver, "divides", "1", "0")}
	if fmt.Sprint(ids) != fmt.Sprint(want) {
		t.Errorf("derived %v, want %v", ids, want)
	}
}

func TestApply_ABundleOfNewerSemanticsStallsInsteadOfGuessing(t *testing.T) {
	b := newBench(t)
	data := ruleset.PublishedData([]ruleset.File{score}, 1, "")
	data["semantics"] = int64(ruleset.Semantics + 1)
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		return b.handler().Apply(t.Context(), tx, runOf(b.recorded("a", typePublished, "rules/a", data)))
	})
	if err == nil || consumer.IsTransient(err) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("got %v, want an error that stalls the tenant and says what to do", err)
	}
}

// A newer build put a bundle in force, and its partition came back to this one: nothing is folded by files that may mean something else here, not even an
// event that no rule hears, or a timer.
func TestApply_WhatIsInForceOfNewerSemanticsIsNotFoldedByThisBuild(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, chase, reps)
	b.lead("a", "1")
	b.noted("a", "1")
	at := b.outside("a", "lead.updated", "lead/1", lead("1")) // in the place of what the newer build read
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at)
		VALUES ('a', $1, $2, 2, 'later', $3, '[{"name": "x.yaml", "text": "kind: Later"}]', '', now())`, at.Sequence, at.ID, ruleset.Semantics+1); err != nil {
		t.Fatal(err)
	}
	kept := b.kept(true)
	for _, r := range []event.Recorded{
		b.outside("a", "lead.lost", "lead/1", lead("1")), b.outside("a", "lead.updated", "lead/1", lead("1")),
		b.outside("a", timers.Type, "timer/x", map[string]any{"timer_id": "x", "due": b.now}),
		b.outside("a", typePublished, "rules/a", ruleset.PublishedData([]ruleset.File{score}, 3, "")),
	} {
		b.restart()
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.h.Apply(t.Context(), tx, runOf(r)) })
		if err == nil || consumer.IsTransient(err) || !strings.Contains(err.Error(), "another build is needed") || !strings.Contains(err.Error(), "upgrade the rules service") {
			t.Errorf("%s: %v, want an error that stalls the tenant until an upgrade", r.Type, err)
		}
	}
	b.is("kept", other(b.kept(true), kept), "")
}

func TestApplyDeadLetters_OneReportADeadLetterAndNoneForForgedOnes(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	refused := event.Event{TenantID: "a", ID: "r1", Source: Source, Type: "lead.updated", Time: recordedAt, ContentType: event.ContentTypeAvro, CausationID: "c", CorrelationID: "k", Hops: 17,
		Origin: event.OriginLive, Deriver: Deriver, DeriverNumber: 5, Path: []string{"lead.updated<ping@3"}, Value: value(t, b.registry, "lead.updated", lead("1"))}
	forged := refused
	forged.ID, forged.DeriverNumber = "r2", 99
	b.keys.Sign(&refused)
	foreign := refused
	foreign.Deriver = "gohighlevel"
	b.keys.Sign(&foreign)
	letters := []consumer.DeadLetter{{TenantID: "a", Event: refused, Code: "storm"}, {TenantID: "a", Event: forged, Code: "storm"}, {TenantID: "a", Event: foreign, Code: "storm"}}
	for range 2 { // the dead letters are read again
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return h.ApplyDeadLetters(t.Context(), tx, letters) })
		if err != nil {
			t.Fatal(err)
		}
	}
	var n, number int64
	var id string
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*), min(number), min(event_id) FROM neuronx.outbox`).Scan(&n, &number, &id); err != nil {
		t.Fatal(err)
	}
	if n != 1 || number != 6 || id != stormID("a", "r1") {
		t.Errorf("%d reports, number %d, id %s; want one, after the refused number 5", n, number, id)
	}
}
