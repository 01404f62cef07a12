package effects

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/standin"
)

// upserted makes lead l1 known to the CRM.
func (r *rig) upserted() {
	r.t.Helper()
	up := r.upsert("l1")
	r.apply(up)
	stop := r.run(r.worker())
	r.waitStatus(up.ID, crm.Done)
	stop()
}

func TestWorker_KilledBetweenAttemptAndSend(t *testing.T) {
	r := newRig(t)
	r.cfg.Timeout = 200 * time.Millisecond
	r.connect(tenant, "send")
	r.upserted()
	note, up := r.note("l1", "hello"), r.upsert("l2")
	r.apply(note, up)
	dead := r.worker()
	jobs, _, err := dead.begin(context.Background(), tenant, 10, newAccount(gohighlevel.Adapter{}, time.Now()))
	if err != nil || len(jobs) != 2 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	// dead never sends: the process was killed here.
	r.run(r.worker())
	r.waitStatus(note.ID, crm.Unknown)
	if e := r.waitStatus(up.ID, crm.Done); e.Attempts != 2 {
		t.Fatalf("%+v", e)
	}
	if n, _ := r.sent("POST", "/notes"); n != 0 {
		t.Fatalf("%d notes were sent", n)
	}
}

func TestWorker_PausedBeyondItsLeaseSendsNothingWhenItWakes(t *testing.T) {
	r := newRig(t)
	r.cfg.Timeout = 200 * time.Millisecond
	r.connect(tenant, "send")
	r.upserted()
	note, up := r.note("l1", "hello"), r.upsert("l2")
	r.apply(note, up)
	asleep := make(chan struct{})
	paused := r.worker()
	paused.SweepEvery = time.Hour
	paused.beforeSend = func(ledger.Effect) { <-asleep }
	stop := r.run(paused)
	wake := sync.OnceFunc(func() { close(asleep) })
	t.Cleanup(wake)
	r.waitStatus(note.ID, crm.Sending)
	r.waitStatus(up.ID, crm.Sending)
	r.run(r.worker()) // takes over when the lease is past
	r.waitStatus(note.ID, crm.Unknown)
	r.waitStatus(up.ID, crm.Done)
	wake()
	paused.flying.Wait() // a process that stops would send nothing anyway
	stop()
	if n, _ := r.sent("POST", "/notes"); n != 0 || r.get(note.ID).Status != crm.Unknown {
		t.Fatalf("%d notes were sent", n)
	}
	if n, _ := r.sent("POST", "/contacts/upsert"); n != 2 || r.get(up.ID).Status != crm.Done {
		t.Fatalf("%d upserts", n)
	}
}

func TestLedger_TakesALateAnswerThatIsSureAndNoOther(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.upserted()
	note := r.note("l1", "hello")
	r.apply(note)
	w := r.worker()
	jobs, _, err := w.begin(context.Background(), tenant, 1, newAccount(gohighlevel.Adapter{}, time.Now()))
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	if _, err := r.pool.Exec(context.Background(), `UPDATE neuronx.effects SET lease_until = now() - interval '1 s' WHERE status = 'sending'`); err != nil {
		t.Fatal(err)
	}
	w.sweep(context.Background())
	if applied, err := w.write(context.Background(), &jobs[0], &crm.End{Status: crm.Pending}); err != nil || applied {
		t.Fatalf("a lost attempt made the effect sendable: %v %v", applied, err)
	}
	if applied, err := w.write(context.Background(), &jobs[0], &crm.End{Status: crm.Done, RemoteID: "n1"}); err != nil || !applied {
		t.Fatalf("a sure end was not taken: %v %v", applied, err)
	}
	if applied, err := w.write(context.Background(), &jobs[0], &crm.End{Status: crm.Done, RemoteID: "n2"}); err != nil || applied {
		t.Fatalf("an end was taken twice: %v %v", applied, err)
	}
	if e := r.get(note.ID); e.RemoteID != "n1" || len(r.outbox()) != 2 {
		t.Fatalf("%+v", e)
	}
}

func TestResolve_AppliesAPersonsDecisionOnce(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.upserted()
	notes := map[string]event.Recorded{}
	for _, how := range []string{"done", "failed", "resend"} {
		r.fault(standin.Fault{Kind: "close", Path: "/contacts/*/notes"})
		notes[how] = r.note("l1", how)
		r.apply(notes[how])
	}
	r.run(r.worker())
	for how, n := range notes {
		r.waitStatus(n.ID, crm.Unknown)
		r.resolve(n.ID, how)
	}
	r.waitStatus(notes["resend"].ID, crm.Done)
	if r.get(notes["done"].ID).Status != crm.Done || r.get(notes["failed"].ID).Status != crm.Failed {
		t.Fatal("a decision was not applied")
	}
	for how, n := range notes {
		if !r.outbox()[outcomeID(gohighlevel.Name, tenant, n.ID, 1)] {
			t.Fatalf("%s has no outcome", how)
		}
	}
	r.resolve(notes["done"].ID, "resend") // done is final
	if n, applied := r.sent("POST", "/notes"); n != 4 || applied != 1 || r.get(notes["done"].ID).Status != crm.Done {
		t.Fatalf("%d requests, %d applied", n, applied)
	}
}

func TestResolve_APersonNamesTheContactThatWasMade(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	named, unnamed := r.upsert("l1"), r.upsert("l2")
	r.apply(named, unnamed)
	for id, data := range map[string]map[string]any{
		named.ID:   {"effect_id": named.ID, "resolution": "done", "remote_id": "c77", "reason": "seen in the CRM"},
		unnamed.ID: {"effect_id": unnamed.ID, "resolution": "done"},
	} {
		r.apply(r.event(tenant, "engine.effect.resolved", "effect/"+id, data))
	}
	links, err := book.Links(t.Context(), r.pool, tenant, "loc-acme", []string{"l1", "l2"})
	if err != nil || links["l1"].Contact != "c77" || links["l2"].Contact != "" || len(links) != 1 {
		t.Errorf("%+v, %v; want the link of l1 alone", links, err)
	}
	if e := r.get(named.ID); e.Status != crm.Done || e.RemoteID != "c77" {
		t.Errorf("%+v", e)
	}
	if e := r.get(unnamed.ID); e.Status != crm.Done || e.RemoteID != "" {
		t.Errorf("%+v", e)
	}
}

// outcome makes the log's copy of an outcome of this adapter.
func (r *rig) outcome(typ string, number int64, command, lead, remote string) event.Recorded {
	e := r.event(tenant, typ, "lead/"+lead, map[string]any{"command_id": command, "lead_id": lead, "adapter": "gohighlevel", "remote_id": remote})
	e.ID, e.Deriver, e.DeriverNumber = outcomeID(gohighlevel.Name, tenant, command, 0), gohighlevel.Name, number
	return e
}

func TestRestore_RefillsFromTheLogAndFreezesWhatLooksUnsent(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up, first, second := r.upsert("l1"), r.note("l1", "one"), r.note("l1", "two")
	// The ledger was set back: it reads again commands that were carried out, and the log holds two of three outcomes.
	r.apply(up, first, second)
	r.apply(r.outcome("crm.contact.upsert.succeeded", 1, up.ID, "l1", "c77"))
	r.apply(r.outcome("crm.note.add.succeeded", 2, first.ID, "l1", "n77"))
	if e := r.get(up.ID); e.Status != crm.Done || e.RemoteID != "c77" {
		t.Fatalf("%+v", e)
	}
	if r.get(first.ID).Status != crm.Done || r.get(second.ID).Status != crm.Unknown {
		t.Fatal("the second note may have been sent by what was lost, and would be sent again")
	}
	third := r.note("l1", "three") // recorded after the freeze, but made before the process began
	third.Position = r.h.started - 1
	fourth := r.note("l1", "four")
	fourth.Position = event.PositionAt(time.Now().Add(time.Minute).UnixMilli())
	r.apply(third, fourth)
	if r.get(third.ID).Status != crm.Unknown || r.get(fourth.ID).Status != crm.Pending {
		t.Fatalf("%s %s", r.get(third.ID).Status, r.get(fourth.ID).Status)
	}
	r.apply(r.outcome("crm.note.add.succeeded", 3, "forgotten", "l1", "n9")) // of a command that the ledger has never seen
	if e := r.get("forgotten"); e.Status != crm.Done || e.RemoteID != "n9" {
		t.Fatalf("%+v", e)
	}
	ids, err := book.Links(context.Background(), r.pool, tenant, "loc-acme", []string{"l1"})
	if err != nil || ids["l1"].Contact != "c77" {
		t.Fatalf("%v %v", ids, err)
	}
}

func TestRestore_SeesNothingAmissInItsOwnOutcomes(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.upserted()
	note := r.note("l1", "one")
	r.apply(note)
	r.apply(r.outcome("crm.contact.upsert.succeeded", 1, "crm.contact.upsert.requested-2", "l1", "c1"))
	if r.get(note.ID).Status != crm.Pending || len(r.outbox()) != 0 {
		t.Fatal("an outcome of our own froze the tenant or stayed in the outbox")
	}
}

func TestBehind_CountsOnlyOurOwnCommits(t *testing.T) {
	tp := func(p int32) kafka.TopicPartition {
		return kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p}
	}
	got := behind(map[int32]int64{0: 10, 1: 10, 2: 10}, map[kafka.TopicPartition]kafka.Committed{
		tp(0): {Offset: 10, Metadata: "nx1:0:log", Present: true}, tp(1): {Offset: 11, Metadata: "nx1:0:log", Present: true},
		tp(2): {Offset: 99, Metadata: "", Present: true}, tp(3): {Offset: 1, Metadata: "nx1:0:log", Present: true},
		{Topic: "other", Partition: 4}: {Offset: 1, Metadata: "nx1:0:log", Present: true},
	})
	seen := map[int32]bool{}
	for _, p := range got {
		seen[p] = true
	}
	if len(got) != 2 || !seen[1] || !seen[3] {
		t.Fatalf("%v", got)
	}
}

func TestFreeze_OfAPartitionHoldsOnlyItsTenants(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.upserted()
	note := r.note("l1", "one")
	r.apply(note)
	p := kafka.PartitionFor([]byte(tenant), 6)
	ctx := context.Background()
	if n, err := book.Freeze(ctx, r.pool, "", (p+1)%6, r.h.started+1<<40, "test"); err != nil || n != 0 {
		t.Fatalf("%d %v", n, err)
	}
	if n, err := book.Freeze(ctx, r.pool, "", p, r.h.started+1<<40, "test"); err != nil || n != 1 || r.get(note.ID).Status != crm.Unknown {
		t.Fatalf("%d %v", n, err)
	}
}

func TestRedelivery_InsertsWhatIsMissingAndSendsNoNoteForIt(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	known, missing := r.note("l1", "known"), r.note("l1", "missing")
	r.apply(known)
	for range 2 {
		for _, e := range []event.Recorded{known, missing} {
			err := pgx.BeginFunc(context.Background(), r.pool, func(tx pgx.Tx) error {
				_, err := r.h.record(context.Background(), tx, &e, crm.KindNote, true, &standing{})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if r.get(known.ID).Status != crm.Pending || r.get(missing.ID).Status != crm.Unknown {
		t.Fatalf("%s %s", r.get(known.ID).Status, r.get(missing.ID).Status)
	}
}

func TestDeadLetters_FreeTheirNumberOnlyUnderOurSignature(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.upserted()
	letter := func(sign bool) consumer.DeadLetter {
		e := r.outcome("crm.contact.upsert.succeeded", 1, "crm.contact.upsert.requested-2", "l1", "c1").Event
		if sign {
			r.keys.Sign(&e)
		}
		return consumer.DeadLetter{TenantID: tenant, Event: e, Code: "storm"}
	}
	for _, signed := range []bool{false, true} {
		err := pgx.BeginFunc(context.Background(), r.pool, func(tx pgx.Tx) error {
			return r.h.ApplyDeadLetters(context.Background(), tx, []consumer.DeadLetter{letter(signed)})
		})
		if err != nil {
			t.Fatal(err)
		}
		if gone := len(r.outbox()) == 0; gone != signed {
			t.Fatalf("signed %v: gone %v", signed, gone)
		}
	}
}

func TestOperators_SeeEffectsAndChangeNone(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	up := r.upsert("l1")
	r.apply(up)
	ops := r.db.Pool(t, "neuronx_ops")
	ctx := context.Background()
	got, err := ledger.List(ctx, ops, ledger.Filter{Tenant: tenant, Statuses: []crm.Status{crm.Recorded}})
	if err != nil || len(got) != 1 || got[0].ID != up.ID {
		t.Fatalf("%v %v", got, err)
	}
	if !CanResolve(got[0], ResolveResend) {
		t.Fatalf("%+v can't be sent again", got[0])
	}
	if _, err := ops.Exec(ctx, `UPDATE neuronx.effects SET status = 'pending'`); err == nil {
		t.Fatal("an operator changed the ledger")
	}
	if _, err := r.pool.Exec(ctx, `DELETE FROM neuronx.effects`); err == nil {
		t.Fatal("the adapter deleted from its ledger")
	}
}
