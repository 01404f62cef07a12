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
		log = append(log, event.Recorded{Event: event.Event{TenantID: "a", Type: kind, Time: at}, RecordedTime: at, Sequence: int64(len(log) + 1)})
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
	add("opportunity.won", map[string]any{"opportunity_id": "q", "value": "7", "currency": " eur"})
	add("opportunity.reopened", map[string]any{"opportunity_id": "o", "stage": "talk"})
	// What comes last happened first: nothing but what was not said yet may change by it.
	log, data = append(log, event.Recorded{Event: event.Event{TenantID: "a", Type: "lead.created", Time: noon.Add(-time.Hour)}, RecordedTime: noon.Add(time.Hour),
		Sequence: int64(len(log) + 1)}), append(data, map[string]any{"lead_id": "1", "email": "older@example.com", "phone": "+1", "status": "new"})
	add("tenant.zone_set", map[string]any{"zone": "Asia/Tokyo"})
	add("tenant.zone_set", map[string]any{"zone": "America/NewYork"})
	log[len(log)-1].Time = noon.AddDate(80, 0, 0)                                            // nothing happens after it was recorded
	add("lead.created", map[string]any{"lead_id": strings.Repeat("x", maxKey+1)})            // no row, as no index holds it, and so not counted
	add("activity.recorded", map[string]any{"activity_id": "appointment:p", "kind": "call"}) // is not the appointment p
	got, err := Models(log, func(r *event.Recorded) (map[string]any, error) { return data[r.Sequence-1], nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range got {
		slices.Sort(lines)
	}
	day := "2026-11-23T12:00:"
	at := func(second string) string { return "|" + day + second + ".000000Z" }
	for table, want := range map[string][]string{
		"neuronx.tenants":  {"a|a|A|active||||send||||Asia/Tokyo" + at("00") + at("16")},
		"neuronx.api_keys": {"a|k|00|x,y|||" + at("02") + at("02")},
		"read.leads":       {"a|1|qualified||||||+1|2026-11-23T11:00:00.000000Z" + at("05") + at("06") + "||" + at("07") + "|"},
		"read.activities": {"a|activity:appointment:p|call||recorded||||||||" + at("18") + at("18"),
			"a|appointment:p|appointment||missed|||ill||" + at("00") + "|" + at("08") + at("08") + at("09")},
		"read.opportunities": {"a|o|1||open|talk|12.5000||||||" + day + "13.000000Z|",
			"a|q|||won||7| eur|||" + at("12") + at("12") + "|"},
		"read.funnel_daily": {"a|2026-11-23|EUR|0|0|0|0|0|0|1|0|7.0000|0", "a|2026-11-23||1|1|1|0|0|0|0|0|0.0000|1"},
	} {
		if !slices.Equal(got[table], want) {
			t.Errorf("%s:\n%q\n%q", table, got[table], want)
		}
	}
}
