package effects

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
)

// upsertOf is an upsert of another tenant than the rig's own.
func (r *rig) upsertOf(ten, lead string) event.Recorded {
	return r.event(ten, "crm.contact.upsert.requested", "lead/"+lead, map[string]any{"lead_id": lead, "email": lead + "@" + ten + ".example"})
}

// connectTo connects a tenant to the location of acme or zeta.
func (r *rig) connectTo(ten, location, mode string) {
	r.t.Helper()
	r.apply(r.event(ten, "tenant.crm_connected", "tenant/"+ten, map[string]any{
		"adapter": "gohighlevel", "location": "loc-" + location, "token": "secret://ghl-" + location + "@1", "mode": mode}))
}

func (r *rig) parts(runs ...consumer.Run) (parts []consumer.Part) {
	r.t.Helper()
	err := pgx.BeginFunc(r.t.Context(), r.pool, func(tx pgx.Tx) (err error) {
		parts, err = r.h.ApplyParts(r.t.Context(), tx, runs)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return parts
}

// More tenants than slots have long queues, and all of them have waited longer than the neighbour, whose command comes last.
func TestAdapter_SendsANeighboursCommandAfterOneOfEachFlood(t *testing.T) {
	r := newRig(t)
	r.cfg.Workers = 2
	const floods = 5
	for i := range floods {
		ten := fmt.Sprint("flood", i)
		r.connectTo(ten, "acme", "send")
		for k := range 20 {
			r.apply(r.upsertOf(ten, fmt.Sprint("l", k)))
		}
	}
	r.connect("zeta", "send")
	r.apply(r.upsertOf("zeta", "z"))

	w := r.worker()
	turns, let := make(chan string), make(chan struct{})
	w.beforeSend = func(e ledger.Effect) { turns <- e.TenantID; <-let }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	var sent []string
	for len(sent) <= floods+r.cfg.Workers && !slices.Contains(sent, "zeta") {
		sent = append(sent, <-turns)
		let <- struct{}{}
	}
	go func() { // those under way at the end
		for range turns {
			let <- struct{}{}
		}
	}()
	cancel()
	<-done
	close(turns)
	if at := slices.Index(sent, "zeta"); at < 0 || at > floods {
		t.Errorf("the neighbour's command was not among the first %d: %v", floods+1, sent)
	}
}

// One pass divides the free slots among the tenants that are due; those that come first have no quarter each.
func TestPass_SharesTheFreeSlotsAmongAllThatAreDue(t *testing.T) {
	r := newRig(t)
	const floods = 9
	for i := range floods {
		ten := fmt.Sprint("flood", i)
		r.connectTo(ten, "acme", "send")
		for k := range 8 {
			r.apply(r.upsertOf(ten, fmt.Sprint("l", k)))
		}
	}
	r.connect("zeta", "send") // the last in the order of ids, too
	r.apply(r.upsertOf("zeta", "z"))
	w := r.worker()
	let := make(chan struct{})
	w.beforeSend = func(ledger.Effect) { <-let }
	if err := w.pass(t.Context(), t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := r.pool.Query(t.Context(), `SELECT tenant_id, count(*) FROM neuronx.effects WHERE status = 'sending' GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	begun := map[string]int{}
	var ten string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&ten, &n}, func() error { begun[ten] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range floods {
		if n := begun[fmt.Sprint("flood", i)]; n < 1 || n > 2 {
			t.Errorf("flood%d has %d of %d slots, want 1 or 2", i, n, r.cfg.Workers)
		}
	}
	if begun["zeta"] != 1 {
		t.Errorf("the neighbour has %d slots, want 1", begun["zeta"])
	}
	close(let)
	w.flying.Wait()
}

func TestAdapter_EndsWhatNeedsNoRequestWithoutWaitingForTheNextLook(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.cfg.PollEvery = 1 << 40 // one look; what follows is woken by what went before
	old := r.now
	r.now = old.Add(-2 * crm.DefaultNotAfter)
	var last string
	for k := range 5 * r.cfg.Workers {
		e := r.upsert(fmt.Sprint("l", k))
		r.apply(e)
		last = e.ID
	}
	r.run(r.worker())
	if e := r.waitStatus(last, crm.Failed); e.Code != crm.CodeExpired {
		t.Errorf("%+v", e)
	}
}

func TestDueTenants_StepsThroughTenantsInTurn(t *testing.T) {
	r := newRig(t)
	for _, ten := range []string{"a", "b", "c", "d", "e", "f"} {
		r.connectTo(ten, "acme", "send")
		r.apply(r.upsertOf(ten, "l1"), r.upsertOf(ten, "l2"))
	}
	r.apply(r.event("b", "tenant.suspended", "tenant/b", map[string]any{"reason": "test"}))
	r.exec(`UPDATE neuronx.effects SET next_attempt_at = now() + interval '1 hour' WHERE tenant_id = 'c' OR tenant_id = 'a' AND command_sequence = 2`)
	r.exec(`INSERT INTO neuronx.progress (consumer, tenant_id, generation, partition, state) VALUES ($1, 'd', 1, 0, 'catching-up')`, "neuronx.gohighlevel")
	all := []int32{0, 1, 2, 3, 4, 5}
	for _, c := range []struct {
		parts        []int32
		except       []string
		after, until string
		limit        int
		want         []string
	}{
		{all, nil, "", "", 10, []string{"a", "e", "f"}},
		{all, nil, "", "", 2, []string{"a", "e"}},
		{all, nil, "a", "", 10, []string{"e", "f"}},
		{all, nil, "", "e", 10, []string{"a", "e"}},
		{all, []string{"e"}, "", "", 10, []string{"a", "f"}},
		{all, nil, "f", "", 10, nil},
		{nil, nil, "", "", 10, nil},
	} {
		got, err := book.DueTenants(t.Context(), r.pool, c.parts, append([]string{}, c.except...), c.after, c.until, c.limit)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("after %q, until %q, except %v, at most %d of %v: %v, %v; want %v", c.after, c.until, c.except, c.limit, c.parts, got, err, c.want)
		}
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

func TestApplyParts_ABatchTakesATenantsShareAndAllOfItsNeighbours(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "record")
	r.connect("zeta", "record")
	flood, few := consumer.Run{TenantID: tenant, Generation: 1}, consumer.Run{TenantID: "zeta", Generation: 1}
	for k := range perBatch + 50 {
		flood.Events = append(flood.Events, r.upsert(fmt.Sprint("l", k)))
	}
	for k := range perBatch { // events that are not for the ledger are no share of anything
		few.Events = append(few.Events, r.event("zeta", "lead.created", "lead/l", map[string]any{"lead_id": fmt.Sprint("l", k)}))
	}
	few.Events = append(few.Events, r.upsertOf("zeta", "z"))
	parts := r.parts(flood, few)
	if want := []consumer.Part{{Applied: perBatch}, {Applied: perBatch + 1}}; !slices.Equal(parts, want) {
		t.Fatalf("%+v, want %+v", parts, want)
	}
	counts, err := ledger.Counts(t.Context(), r.pool, tenant)
	if err != nil || counts[crm.Recorded] != perBatch {
		t.Errorf("the ledger has %v of the flood, %v; want %d", counts, err, perBatch)
	}
	flood.Events = flood.Events[perBatch:]
	if parts := r.parts(flood); parts[0].Applied != 50 {
		t.Errorf("%+v: the rest was not taken", parts)
	}
}

// The ledger of a tenant is empty while the log holds more of its commands than a batch takes, and behind them that all of them were carried
// out. The partition has been read to its end long before the tenant has, which therefore waits by itself.
func TestRun_ATenantThatIsReadInPartsIsSentNothingBeforeItsEnd(t *testing.T) {
	s := newSystem(t)
	const commands = 3 * perBatch
	say := func(typ, subject, id string, number int64, data map[string]any) {
		schemaID, schema, err := s.reg.ByType(t.Context(), typ)
		if err != nil {
			t.Fatal(err)
		}
		body, err := schema.EncodeMap(data)
		if err != nil {
			t.Fatal(err)
		}
		e := event.Event{TenantID: tenant, ID: id, Type: typ, Subject: subject, Source: "/test", Value: event.Frame(schemaID, body)}
		if number > 0 {
			e.Deriver, e.DeriverNumber = gohighlevel.Name, number
		}
		s.admit(e)
	}
	say("tenant.crm_connected", "tenant/acme", "connect", 0, map[string]any{"adapter": "gohighlevel", "location": "loc-acme", "token": "secret://ghl-acme@1", "mode": "send"})
	for k := range commands {
		lead := fmt.Sprint("l", k)
		say("crm.contact.upsert.requested", "lead/"+lead, "command-"+lead, 0, map[string]any{"lead_id": lead, "email": lead + "@example.com"})
	}
	for k := range commands {
		lead := fmt.Sprint("l", k)
		say("crm.contact.upsert.succeeded", "lead/"+lead, outcomeID(gohighlevel.Name, tenant, "command-"+lead, 0), int64(k+1), map[string]any{
			"command_id": "command-" + lead, "lead_id": lead, "adapter": gohighlevel.Name, "remote_id": "c-" + lead})
	}
	s.start()
	s.waitFor("all outcomes to be read", func() bool {
		counts, err := ledger.Counts(context.Background(), s.pool, tenant)
		return err == nil && counts[crm.Done] == commands
	})
	fresh := s.say("crm.contact.upsert.requested", "lead/new", map[string]any{"lead_id": "new", "email": "new@example.com"})
	s.waitFor("the new lead's contact", func() bool {
		e, found, _ := book.Get(context.Background(), s.pool, tenant, fresh, false)
		return found && e.Status == crm.Done
	})
	if w := s.writes(); len(w) != 1 {
		t.Errorf("%d requests changed something, want that of the new lead alone", len(w))
	}
}
