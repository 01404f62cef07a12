package checker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

func TestModels_FoldEveryTableByHand(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var log []event.Recorded
	var data []map[string]any
	add := func(kind string, fields map[string]any) {
		at := noon.Add(time.Duration(len(log)) * time.Second)
		log = append(log, event.Recorded{Event: event.Event{TenantID: "a", Type: kind, Time: at}, Sequence: int64(len(log) + 1)})
		data = append(data, fields)
	}
	add("tenant.created", map[string]any{"name": "A"})
	add("tenant.effects_mode_set", map[string]any{"kind": "*", "mode": "send"})
	add("tenant.key_issued", map[string]any{"key_id": "k", "secret_sha256": "00", "scopes": []any{"x", "y"}})
	add("lead.created", map[string]any{"lead_id": "1", "email": "old@example.com"})
	add("lead.updated", map[string]any{"lead_id": "1", "email": ""})
	add("lead.contacted", map[string]any{"lead_id": "1"})
	add("lead.qualified", map[string]any{"lead_id": "1"})
	add("lead.contacted", map[string]any{"lead_id": "1"})
	add("appointment.booked", map[string]any{"appointment_id": "p", "starts_at": noon})
	add("appointment.missed", map[string]any{"appointment_id": "p", "reason": "ill"})
	add("opportunity.won", map[string]any{"opportunity_id": "o", "value": "12.5000", "lead_id": "1"})
	add("opportunity.won", map[string]any{"opportunity_id": "q", "value": "0.0001"})
	add("lead.created", map[string]any{"lead_id": strings.Repeat("x", maxKey+1)}) // a row that no index holds, counted all the same
	got, err := Models(log, func(r *event.Recorded) (map[string]any, error) { return data[r.Sequence-1], nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range got {
		slices.Sort(lines)
	}
	day := "2026-11-23T12:00:"
	for table, want := range map[string][]string{
		"neuronx.tenants":    {"a|a|A|active||||send||||" + day + "00.000000Z|" + day + "01.000000Z"},
		"neuronx.api_keys":   {"a|k|00|x,y||||" + day + "02.000000Z|" + day + "02.000000Z"},
		"read.leads":         {"a|1|qualified|||||||" + day + "03.000000Z|" + day + "07.000000Z"},
		"read.activities":    {"a|appointment:p|appointment||missed|||ill|||" + day + "00.000000Z||" + day + "08.000000Z|" + day + "09.000000Z"},
		"read.opportunities": {"a|o|1||won||12.5000|||||" + day + "10.000000Z|" + day + "10.000000Z", "a|q|||won||0.0001|||||" + day + "11.000000Z|" + day + "11.000000Z"},
		"read.funnel_daily":  {"a|2026-11-23|2|2|1|0|0|0|2|0|12.5001|1"},
	} {
		if !slices.Equal(got[table], want) {
			t.Errorf("%s:\n%q\n%q", table, got[table], want)
		}
	}
}
