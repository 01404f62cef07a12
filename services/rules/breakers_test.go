package rules

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas/breakers"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// greedy are rules that keep and send on what events hold.
func greedy() []ruleset.File {
	return []ruleset.File{
		ruleFile("keeps", "on: [lead.created, lead.updated, opportunity.won, appointment.booked]\n"+
			"set: {all: data, at: event.time}"),
		ruleFile("nan", "on: [lead.created]\nset: {nan: 'double(\"NaN\")'}"),
		ruleFile("inf", "on: [lead.created]\nset: {inf: 'double(\"Infinity\")'}"),
		ruleFile("keepsid", "on: [lead.created, lead.lost]\nset: {id: data.lead_id, at: event.time, n: 'has(state.n) ? state.n + 1 : 1'}"),
		ruleFile("asks", "on: [lead.created]\nemit:\n  - type: crm.contact.upsert.requested\n    subject: '\"lead/\" + data.lead_id'\n"+
			"    data: {lead_id: data.lead_id, email: data.email}"),
		ruleFile("asksagain", "on: [lead.created, lead.lost]\nemit:\n  - type: crm.note.add.requested\n    data: {lead_id: data.lead_id, body: '\"note: \" + data.lead_id'}"),
	}
}

func TestBreakers_StopNoRules(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.handler()
	for i, c := range breakers.Cases() {
		tenant := fmt.Sprintf("t-%d", i)
		id, schema, err := b.registry.ByType(t.Context(), c.Type)
		if err != nil {
			t.Fatal(err)
		}
		body, err := schema.EncodeMap(c.Data)
		if err != nil {
			continue // what no encoder writes is in no log
		}
		b.apply(h, nil, runOf(b.published(tenant, 1, greedy()...)))
		bad := b.recorded(tenant, "lead.lost", c.Subject, map[string]any{"lead_id": "replaced"})
		bad.Type, bad.Value = c.Type, event.Frame(id, body)
		if !c.Time.IsZero() {
			bad.Time = c.Time
		}
		// The second one reads the state that the first one left.
		for n, e := range []event.Recorded{bad, b.recorded(tenant, "lead.created", c.Subject, lead("after")), b.recorded(tenant, "lead.lost", c.Subject, map[string]any{"lead_id": "after"})} {
			err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return h.ApplyBatch(t.Context(), tx, []consumer.Run{runOf(e)}) })
			if err != nil {
				t.Fatalf("%s, event %d: %v", c.Name, n, err)
			}
		}
		var kept string
		err = b.pool.QueryRow(t.Context(), `SELECT state::text FROM neuronx.rule_state WHERE tenant_id = $1 AND subject = $2`, tenant, c.Subject).Scan(&kept)
		if err != nil || kept == "{}" {
			t.Errorf("%s: the state after it is %q, %v", c.Name, kept, err)
		}
	}
}

func TestState_RefusesWhatCannotBeReadAgain(t *testing.T) {
	for name, v := range map[string]any{
		"NaN": math.NaN(), "infinite": math.Inf(-1), "in a list": []any{math.Inf(1)}, "year 12000": time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC),
		"year -1": time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if _, err := (State{"x": v}).check(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	good := State{"t": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "f": 1e300, "odd": "\x01\u2028\U0010ffff"}
	text, err := good.encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := decodeState(text); err != nil || !again.equal(good) {
		t.Errorf("%s reads as %v, %v", text, again, err)
	}
}
