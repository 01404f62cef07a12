package fold

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

func spec(t *testing.T, name string) *Spec {
	t.Helper()
	specs, err := Declared()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no projection %s", name)
	return nil
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// apply folds events, given as type and data, one minute apart, into the one row that they touch.
func apply(t *testing.T, s *Spec, steps ...any) Row {
	t.Helper()
	var row Row
	for i := 0; i < len(steps); i += 2 {
		n := int64(i/2 + 1)
		r := event.Recorded{Event: event.Event{TenantID: "acme", Type: steps[i].(string), Time: noon.Add(time.Duration(n) * time.Minute)}, Sequence: n, RecordedTime: noon.Add(time.Hour)}
		touch, err := s.Touches(r, steps[i+1].(map[string]any))
		if err != nil {
			t.Fatal(err)
		}
		if touch == nil {
			continue
		}
		if row, _, err = touch.Apply(row); err != nil {
			t.Fatal(err)
		}
	}
	return row
}

type data = map[string]any

func lead(more data) data {
	d := data{"lead_id": "42", "email": nil, "phone": nil, "source": nil, "channel": nil, "owner_id": nil, "status": nil, "reason": nil}
	for k, v := range more {
		d[k] = v
	}
	return d
}

func want(t *testing.T, row Row, expected data) {
	t.Helper()
	for k, v := range expected {
		if row[k] != v {
			t.Errorf("%s is %v, want %v", k, row[k], v)
		}
	}
}

func TestLeads_NullLeavesAColumnAndTheFirstCreationCounts(t *testing.T) {
	row := apply(t, spec(t, "leads"),
		"lead.created", lead(data{"email": "a@example.com", "source": "web"}),
		"lead.scored", data{"lead_id": "42", "score": int64(70), "reason": nil},
		"lead.updated", lead(data{"phone": "+1"}),
		"lead.assigned", data{"lead_id": "42", "owner_id": "o-1", "team": nil},
		"lead.qualified", data{"lead_id": "42", "reason": nil},
		"lead.contacted", data{"lead_id": "42", "channel": nil, "direction": nil},
		"activity.recorded", data{},
		"lead.created", lead(data{"email": "b@example.com"}))
	want(t, row, data{"lead_id": "42", "status": "qualified", "score": int64(70), "owner_id": "o-1", "source": "web", "email": "b@example.com",
		"phone": "+1", "channel": nil, "created_at": noon.Add(time.Minute), "updated_at": noon.Add(8 * time.Minute), "sequence": int64(8)})
}

func TestLeads_AreContactedOnlyWhileNew(t *testing.T) {
	row := apply(t, spec(t, "leads"), "lead.created", lead(nil), "lead.contacted", data{"lead_id": "42", "channel": nil, "direction": nil})
	want(t, row, data{"status": "contacted"})
}

func TestOpportunities_CloseAndKeepWhatTheEventDoesNotCarry(t *testing.T) {
	none := data{"opportunity_id": "7", "lead_id": nil, "name": nil, "stage": nil, "value": nil, "currency": nil, "segment": nil, "owner_id": nil, "reason": nil}
	created := data{}
	for k, v := range none {
		created[k] = v
	}
	created["value"], created["currency"], created["stage"] = "12.5000", "EUR", "demo"
	row := apply(t, spec(t, "opportunities"), "opportunity.created", created, "opportunity.won", none)
	want(t, row, data{"status": "won", "value": "12.5000", "currency": "EUR", "stage": "demo",
		"created_at": noon.Add(time.Minute), "closed_at": noon.Add(2 * time.Minute)})
}

func TestActivities_HoldAppointmentsApart(t *testing.T) {
	d := data{"appointment_id": "1", "lead_id": "42", "starts_at": noon, "ends_at": nil, "owner_id": nil, "location": nil}
	row := apply(t, spec(t, "activities"), "appointment.booked", d, "appointment.missed", data{"appointment_id": "1", "lead_id": nil, "reason": "ill"})
	want(t, row, data{"activity_id": "appointment:1", "kind": "appointment", "status": "missed", "outcome": "ill", "lead_id": "42", "starts_at": noon})
}

func TestActivities_NoIdOfAnActivityIsThatOfAnAppointment(t *testing.T) {
	ids := map[any]string{}
	for _, e := range []struct{ typ, field, id string }{
		{"appointment.booked", "appointment_id", "7"}, {"appointment.booked", "appointment_id", "activity:7"}, {"activity.recorded", "activity_id", "7"},
		{"activity.recorded", "activity_id", "appointment:7"}, {"activity.recorded", "activity_id", "activity:appointment:7"},
		{"activity.recorded", "activity_id", "activity:7"}, {"activity.recorded", "activity_id", "activity:activity:7"},
	} {
		d := data{e.field: e.id, "lead_id": nil, "kind": "call", "channel": nil, "direction": nil, "outcome": nil, "duration_seconds": nil, "starts_at": noon, "ends_at": nil, "owner_id": nil}
		row := apply(t, spec(t, "activities"), e.typ, d)
		if other, taken := ids[row["activity_id"]]; taken {
			t.Errorf("%s %q has the row of %s: %v", e.field, e.id, other, row["activity_id"])
		}
		ids[row["activity_id"]] = e.field + " " + e.id
	}
}

func TestApply_LeavesOutWhatAColumnCannotHold(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for name, tc := range map[string]struct {
		projection, typ, column string
		data                    data
		left                    Left
	}{
		"NUL in text":      {"leads", "lead.created", "email", lead(data{"email": "a\x00b"}), LeftValue},
		"no UTF-8":         {"leads", "lead.created", "email", lead(data{"email": "a\xffb"}), LeftExpression},
		"number in text":   {"leads", "lead.created", "email", lead(data{"email": int64(1)}), LeftValue},
		"double in bigint": {"leads", "lead.scored", "score", data{"lead_id": "1", "score": 1.5}, LeftValue},
		"year 0":           {"activities", "appointment.booked", "starts_at", data{"appointment_id": "1", "lead_id": nil, "owner_id": nil, "starts_at": year(0), "ends_at": nil}, LeftRange},
		"before Christ":    {"activities", "appointment.booked", "starts_at", data{"appointment_id": "1", "lead_id": nil, "owner_id": nil, "starts_at": year(-4800), "ends_at": nil}, LeftRange},
		"year 10000":       {"activities", "appointment.booked", "ends_at", data{"appointment_id": "1", "lead_id": nil, "owner_id": nil, "starts_at": nil, "ends_at": year(10000)}, LeftRange},
		"25 digits":        {"opportunities", "opportunity.won", "value", data{"opportunity_id": "1", "lead_id": nil, "owner_id": nil, "segment": nil, "currency": nil, "value": "100000000000000000000.0000"}, LeftRange},
		"a NUL in a list":  {"api_keys", "tenant.key_issued", "scopes", data{"key_id": "1", "secret_sha256": "", "label": nil, "expires_at": nil, "scopes": []any{"a\x00"}}, LeftValue},
	} {
		touch, err := spec(t, tc.projection).Touches(event.Recorded{Event: event.Event{Type: tc.typ, Time: noon}, Sequence: 3}, tc.data)
		if err != nil || touch.Left != "" {
			t.Fatalf("%s: %q, %v", name, touch.Left, err)
		}
		row, left, err := touch.Apply(nil)
		if err != nil || len(left) != 1 || left[0] != tc.left || row[tc.column] != nil || row["sequence"] != int64(3) {
			t.Errorf("%s: %v is left out as %v, %v", name, row, left, err)
		}
	}
}

func TestTouches_LeaveOutAnEventWithoutAUsableKey(t *testing.T) {
	for name, tc := range map[string]struct {
		projection, typ string
		data            data
		left            Left
	}{
		"null":        {"leads", "lead.lost", data{"lead_id": nil}, LeftKeyNull},
		"NUL":         {"leads", "lead.lost", data{"lead_id": "a\x00"}, LeftKeyValue},
		"a number":    {"leads", "lead.lost", data{"lead_id": int64(1)}, LeftKeyValue},
		"no text":     {"activities", "appointment.missed", data{"appointment_id": int64(1)}, LeftExpression},
		"1,025 bytes": {"leads", "lead.lost", data{"lead_id": strings.Repeat("a", 1025)}, LeftKeyLong},
		"and prefix":  {"activities", "appointment.missed", data{"appointment_id": strings.Repeat("a", 1013)}, LeftKeyLong},
		"1,024 bytes": {"leads", "lead.lost", data{"lead_id": strings.Repeat("\u00e4", 512)}, ""},
	} {
		touch, err := spec(t, tc.projection).Touches(event.Recorded{Event: event.Event{Type: tc.typ, Time: noon}}, tc.data)
		if err != nil || touch.Left != tc.left {
			t.Errorf("%s: left out as %q, want %q, %v", name, touch.Left, tc.left, err)
		}
	}
}

func TestParse_NamesEveryProblem(t *testing.T) {
	const good = `
apiVersion: neuronx/v1
kind: Projection
metadata: {name: x}
spec:
  table: x
  key: [id]
  columns: {id: text, n: bigint, at: timestamptz, shown: text}
  on:
    lead.created: {key: {id: data.lead_id}, set: {n: "1"}, first: {at: event.time}}
  show: {shown: row.n}
`
	s, err := Parse("x.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	// A declaration without a subject means what it meant before there were any, so it is the same definition, and nothing is built again.
	if strings.Contains(string(s.canonical), "Subject") {
		t.Errorf("its definition is %s", s.canonical)
	}
	for _, tc := range []struct{ from, to, want string }{
		{"kind: Projection", "kind: Projection\nextra: 1", "extra"},
		{" set: {n:", " sett: {n:", "sett"},
		{"neuronx/v1", "neuronx/v2", "apiVersion"},
		{"n: bigint", "n: int8", "unknown type"},
		{"n: bigint", "sequence: bigint", "not declared"},
		{"key: [id]", "key: [nope]", "not a column"},
		{"key: [id]", "key: []", "rows need a key"},
		{"n: bigint", "stamps: bigint", "not declared"},
		{"{n: \"1\"}", "{m: \"1\"}", "not a declared column"},
		{"{n: \"1\"}", "{id: \"1\"}", "part of the key"},
		{"{n: \"1\"}", "{n: row.n}", "row"},
		{"{n: \"1\"}", "{shown: \"1\"}", "merged by show elsewhere"},
		{"first: {at:", "first: {n:", "only a timestamptz"},
		{"show: {shown: row.n}", "order: arrival", "not time or sequence"},
		{"show: {shown: row.n}", "counts: {n: {of: y, at: z}}", "one of spec.on and spec.counts"},
		{"{id: data.lead_id}", "{id: row.id}", "row"},
		{"{id: data.lead_id}", "{id: data.}", "Syntax"},
		{"lead.created:", "LeadCreated:", "not an event type"},
		{"table: x", "table: Robert'); DROP", "spec.table"},
		{"n: bigint", "merged_into: text", "only a table with spec.subject"},
		{"key: [id]", "key: [id]\n  subject: lead", "lacks merged_into"},
		{"key: [id]\n  columns: {", "key: [id]\n  subject: Lead/\n  columns: {merged_into: text, ", "not a kind of subject"},
		{"key: [id]\n  columns: {id: text,", "key: [id]\n  subject: lead\n  columns: {merged_into: text, id: bigint,", "not one text"},
		{"key: [id]\n  columns: {id: text, n: bigint", "key: [id, n]\n  subject: lead\n  columns: {merged_into: text, id: text, n: bigint", "not one text"},
		{"key: [id]\n  columns: {id: text, n: bigint", "key: [id]\n  subject: lead\n  columns: {id: text, n: bigint}\n  hidden: {merged_into: text", "lacks merged_into"},
		{"set: {n: \"1\"}", "set: {merged_into: \"'1'\"}", "set by merges alone"},
		{"shown: row.n}", "shown: row.merged_into}", "changes without an event"},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(good, tc.from, tc.to, 1)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want something about %q", tc.to, err, tc.want)
		}
	}
}

// What show computes is there from the first event on, also when that event sets nothing of what it is computed from; after that only an
// event that does computes it again.
func TestApply_ShowsARowFromItsFirstEventOn(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`
apiVersion: neuronx/v1
kind: Projection
metadata: {name: x}
spec:
  table: x
  key: [id]
  columns: {id: text, n: bigint, at: timestamptz, shown: text}
  on:
    lead.created: {key: {id: data.lead_id}, first: {at: event.time}}
    lead.scored: {key: {id: data.lead_id}, set: {n: data.score}}
  show: {shown: "row.n == null ? 'none' : 'some'"}
`))
	if err != nil {
		t.Fatal(err)
	}
	created, scored := data{"lead_id": "1"}, data{"lead_id": "1", "score": int64(3)}
	want(t, apply(t, s, "lead.created", created), data{"n": nil, "shown": "none"})
	want(t, apply(t, s, "lead.scored", scored), data{"n": int64(3), "shown": "some"})
	want(t, apply(t, s, "lead.created", created, "lead.scored", scored, "lead.created", created), data{"n": int64(3), "shown": "some"})
}

func TestConvert_IsExact(t *testing.T) {
	for _, tc := range []struct {
		t    Type
		in   any
		want any
		bad  bool
	}{
		{Numeric, "12.5000", "12.5000", false}, {Numeric, "-0.00001", "0.0000", false}, {Numeric, int64(3), "3.0000", false},
		{Numeric, "99999999999999999999.9999", "99999999999999999999.9999", false}, {Numeric, "100000000000000000000", nil, true},
		{Numeric, "1/3", nil, true}, {Numeric, "1e9", nil, true}, {Numeric, true, nil, true},
		{Zone, "Europe/Berlin", "Europe/Berlin", false}, {Zone, "", "UTC", false}, {Zone, "America/NewYork", nil, true}, {Zone, int64(1), nil, true},
		{BigInt, int64(5), int64(5), false}, {BigInt, 5.0, nil, true}, {Boolean, true, true, false}, {Date, noon, "2026-11-23", false},
		{Date, "2026-13-01", nil, true}, {Timestamptz, noon.Add(1), noon, false}, {Timestamptz, "now", nil, true}, {Text, nil, nil, false},
	} {
		got, err := convert(tc.t, tc.in)
		if got != tc.want || (err != nil) != tc.bad {
			t.Errorf("convert(%s, %v) gives %v, %v", tc.t, tc.in, got, err)
		}
	}
}
