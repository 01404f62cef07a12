package effects

import (
	"context"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) teller() *teller {
	return &teller{ledger: book, pool: r.pool, box: r.h.box, outcomes: r.h.outcomes, every: time.Millisecond, log: slog.New(slog.DiscardHandler),
		partitions: func(context.Context) []int32 { return []int32{0, 1, 2, 3, 4, 5} }}
}

// tells lets everything be told, and gives what a teller would tell of effects now, by effect: mode and code.
func (r *rig) tells() map[string]string {
	r.t.Helper()
	said := map[string]string{}
	rows, err := r.pool.Query(context.Background(), `SELECT effect_id FROM neuronx.effects WHERE untold`)
	if err != nil {
		r.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	before := r.outbox()
	for {
		n, err := r.teller().look(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	for _, id := range ids {
		ev, err := r.h.outcomes.recorded(context.Background(), r.get(id))
		if err != nil || ev == nil {
			r.t.Fatalf("%s: %v %v", id, ev, err)
		}
		_, body, err := event.Unframe(ev.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		_, s, err := r.cat.ByType(context.Background(), typeRecorded)
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := s.Decode(body)
		if err != nil {
			r.t.Fatal(err)
		}
		code, _ := data["code"].(string)
		said[id] = strings.TrimSpace(data["mode"].(string) + " " + code)
		if !r.outbox()[ev.ID] || before[ev.ID] || data["effect_id"] != id || ev.CausationID != id || ev.Hops != 0 || ev.CheckAttributes() != nil {
			r.t.Errorf("%s is told by %+v, which waits to be sent: %v, waited before: %v", id, ev, r.outbox()[ev.ID], before[ev.ID])
		}
	}
	if after := len(r.outbox()); after != len(before)+len(said) {
		r.t.Errorf("%d events more wait to be sent, of %d effects", after-len(before), len(said))
	}
	return said
}

func (r *rig) command(typ string, data map[string]any) event.Recorded {
	return r.event(tenant, typ, "lead/l1", data)
}

func TestTeller_TellsOnceOfWhatIsNotSent(t *testing.T) {
	r := newRig(t)
	unconnected := r.note("l1", "a")
	r.apply(unconnected)
	if got, want := r.tells(), map[string]string{unconnected.ID: "off"}; !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	r.connect(tenant, "record")
	recorded, imported := r.note("l1", "b"), r.note("l1", "c")
	message := r.command("crm.message.send.requested", map[string]any{"lead_id": "l1", "message_id": "m1", "channel": "sms", "purpose": "marketing", "body": "Hi"})
	r.apply(recorded, message)
	r.connect(tenant, "send")
	imported.Origin = event.OriginImport
	stranger := r.note("l1", "d")
	stranger.Type, stranger.ID, stranger.Value = "crm.fax.send.requested", "fax-1", nil
	r.apply(imported, stranger)
	want := map[string]string{recorded.ID: "record", message.ID: "record", imported.ID: "record origin", stranger.ID: "off unknown_kind"}
	if got := r.tells(); !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	r.apply(recorded, message, imported, stranger, unconnected) // read again
	if got := r.tells(); len(got) > 0 {
		t.Errorf("told %v again", got)
	}
	if e := r.get(stranger.ID); e.Status != crm.Off || e.Command.LeadID != "" || CanResolve(e, ResolveResend) || CanResolve(e, ResolveDone) {
		t.Errorf("what no adapter takes is kept as %+v, or a person can have it sent", e)
	}
}

// What is told has the same id and bytes, so that it is seen when the log has it.
func TestTeller_AResetThatFillsTheLedgerAgainDerivesTheSameEvents(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	var all []event.Recorded
	for range 3 {
		all = append(all, r.note("l1", "a"))
	}
	r.apply(all...)
	build := func() (ids []string) {
		for _, e := range all {
			ev, err := r.h.outcomes.recorded(t.Context(), r.get(e.ID))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, ev.ID+" "+ev.Subject+" "+event.FormatTime(ev.Time)+" "+string(ev.Value))
		}
		return ids
	}
	first := build()
	if n := len(r.tells()); n != 3 {
		t.Fatalf("told %d", n)
	}
	if _, err := r.db.Pool(t, "").Exec(t.Context(), `DELETE FROM neuronx.effects`); err != nil {
		t.Fatal(err)
	}
	r.apply(all...)
	if again := build(); !slices.Equal(first, again) {
		t.Errorf("derived\n%q, was\n%q", again, first)
	}
}

// After Postgres was set back the log has, behind the commands, what it was told of them. It admits what comes under another number once more.
func TestTeller_ALedgerThatWasSetBackTellsNothingAgain(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	commands := []event.Recorded{r.note("l1", "a"), r.note("l2", "b"), r.note("l3", "c")}
	r.apply(commands...)
	if n := len(r.tells()); n != 3 {
		t.Fatalf("told %d", n)
	}
	var log []event.Recorded // all but the last, which never came there
	for i, c := range commands[:2] {
		ev, err := r.h.outcomes.recorded(t.Context(), r.get(c.ID))
		if err != nil {
			t.Fatal(err)
		}
		own := r.note("l1", "its place in the log")
		own.Event = *ev
		own.Deriver, own.DeriverNumber = gohighlevel.Name, int64(i+1)
		log = append(log, own)
	}
	if _, err := r.db.Pool(t, "").Exec(t.Context(), `DELETE FROM neuronx.effects; DELETE FROM neuronx.outbox; DELETE FROM neuronx.outbox_numbers`); err != nil {
		t.Fatal(err)
	}
	r.apply(append(slices.Clone(commands), log...)...)
	if got, want := r.tells(), map[string]string{commands[2].ID: "record"}; !maps.Equal(got, want) {
		t.Errorf("told %v, want %v: the log has the others", got, want)
	}
}

// A reset inserts commands that the ledger lacks. Whether the log was told of them is known to the archive.
func TestReset_TellsTheLogOnlyOfWhatTheArchiveDoesNotHave(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	known, lost := r.note("l1", "a"), r.note("l2", "b")
	r.apply(known, lost)
	r.h.facts.archive = causes{recordedID(gohighlevel.Name, r.get(known.ID)): {}}
	for _, c := range []event.Recorded{known, lost} {
		if err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error { return r.h.toldBefore(t.Context(), tx, r.get(c.ID)) }); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := r.tells(), map[string]string{lost.ID: "record"}; !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestTeller_TellsWhatNobodyKnowsAndNothingOfWhatHasAnOutcome(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.fault(standin.Fault{Kind: "status", Method: http.MethodPost, Path: "/contacts/*/notes", Status: 502, Apply: true})
	up, note := r.upsert("l1"), r.note("l1", "a")
	todo := r.message("l1", "sms")
	r.apply(up, note, todo)
	stop := r.run(r.worker())
	r.waitStatus(up.ID, crm.Done)
	r.waitStatus(note.ID, crm.Unknown)
	if e := r.waitStatus(todo.ID, crm.Failed); e.Code != crm.CodeAddress || !r.outbox()[outcomeID(gohighlevel.Name, tenant, todo.ID, 0)] {
		t.Errorf("a message that can't be sent ended as %+v, and its outcome waits to be sent: %v", e, r.outbox()[outcomeID(gohighlevel.Name, tenant, todo.ID, 0)])
	}
	stop()
	got := r.tells()
	if len(got) != 1 || !strings.HasPrefix(got[note.ID], "unknown ") {
		t.Errorf("told %v, want that %s is unknown", got, note.ID)
	}
	r.resolve(note.ID, "done")
	if got := r.tells(); len(got) > 0 {
		t.Errorf("told %v of what has an outcome", got)
	}
	again := r.note("l1", "b") // its worker dies
	r.apply(again)
	if err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
		e := r.get(again.ID)
		return book.Begin(t.Context(), tx, &e, "w", "x", -time.Second)
	}); err != nil {
		t.Fatal(err)
	}
	r.worker().sweep(t.Context())
	if got := r.tells(); len(got) != 1 || got[again.ID] != "unknown lease_lost" {
		t.Errorf("told %v, want that %s is unknown", got, again.ID)
	}
}

// TestTeller_SaysNothingOfWhatTheLedgerHeldBefore: an upgrade does not fill the logs with what nobody waits for.
func TestTeller_SaysNothingOfWhatTheLedgerHeldBefore(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	old := r.note("l1", "a")
	r.apply(old)
	// The table as an earlier build left it, and the upgrade.
	text, err := fs.ReadFile(ledger.Migrations().FS, "00006_untold.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(text), "-- +goose Down")
	admin := r.db.Pool(t, "")
	if _, err := admin.Exec(t.Context(), "BEGIN; SET LOCAL ROLE neuronx_owner;"+down+up+"COMMIT"); err != nil {
		t.Fatal(err)
	}
	if got := r.tells(); len(got) > 0 {
		t.Errorf("told %v", got)
	}
	if _, err := admin.Exec(t.Context(), `DELETE FROM neuronx.effects`); err != nil {
		t.Fatal(err)
	}
	young := r.note("l1", "b")
	r.apply(old, young) // a reset brings the old one back
	if got, want := r.tells(), map[string]string{young.ID: "record"}; !maps.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// TestTeller_ARegistryWithoutTheSchemaHoldsUpNothing: batches and what is sent go on.
func TestTeller_ARegistryWithoutTheSchemaHoldsUpNothing(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	id := r.cat.byType[typeRecorded]
	delete(r.cat.byType, typeRecorded)
	note := r.note("l1", "a")
	r.apply(note)
	if n, err := r.teller().look(t.Context()); err == nil || n > 0 || len(r.outbox()) > 0 {
		t.Errorf("told %d, %v", n, err)
	}
	r.cat.byType[typeRecorded] = id
	if got := r.tells(); got[note.ID] != "record" {
		t.Errorf("told %v", got)
	}
}
