package foldtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/projector/fold"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type data = map[string]any

func want(t *testing.T, row fold.Row, expected data) {
	t.Helper()
	for k, v := range expected {
		if row[k] != v {
			t.Errorf("%s is %v, want %v", k, row[k], v)
		}
	}
}

// fact is an event of a test: what happened on which day, and with what fields.
type fact struct {
	day  float64 // after noon
	typ  string
	data data
}

// fields that a schema has and a test does not name are null.
var nulls = data{"lead_id": nil, "email": nil, "phone": nil, "source": nil, "channel": nil, "owner_id": nil, "status": nil, "name": nil, "stage": nil,
	"value": nil, "currency": nil, "segment": nil, "reason": nil, "kind": nil, "direction": nil, "outcome": nil, "duration_seconds": nil, "starts_at": nil,
	"ends_at": nil, "activity_id": nil, "score": nil, "zone": nil}

// tables folds facts in the order given. They were recorded long after all of them.
func tables(t *testing.T, facts ...fact) map[string]map[string]fold.Row {
	t.Helper()
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	var log []event.Recorded
	for i, f := range facts {
		at := noon.Add(time.Duration(f.day * float64(24*time.Hour)))
		log = append(log, event.Recorded{Event: event.Event{TenantID: "acme", Type: f.typ, Time: at}, Sequence: int64(i + 1), RecordedTime: noon.AddDate(1, 0, 0)})
	}
	out, err := Tables(specs, log, func(r *event.Recorded) (map[string]any, error) {
		d := maps.Clone(nulls)
		maps.Copy(d, facts[r.Sequence-1].data)
		return d, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// funnel gives the counts of the funnel that are not 0, by "<day> <currency>".
func funnel(t *testing.T, all map[string]map[string]fold.Row) map[string]string {
	t.Helper()
	specs, err := fold.Declared()
	if err != nil {
		t.Fatal(err)
	}
	counted := specs[slices.IndexFunc(specs, func(s *fold.Spec) bool { return s.Name == "funnel_daily" })].Columns[2:]
	out := map[string]string{}
	for _, row := range all["read.funnel_daily"] {
		text := ""
		for _, c := range counted {
			if v := row[c.Name]; v != int64(0) && v != "0.0000" {
				text += fmt.Sprintf("%s=%v ", c.Name, v)
			}
		}
		out[fmt.Sprintf("%v %v", row["day"], row["currency"])] = text
	}
	return out
}

func wantFunnel(t *testing.T, all map[string]map[string]fold.Row, want map[string]string) {
	t.Helper()
	if got := funnel(t, all); !maps.Equal(got, want) {
		t.Errorf("the funnel is\n  %v, want\n  %v", got, want)
	}
}

func TestTables_ALateFactOverwritesNothingNewer(t *testing.T) {
	all := tables(t,
		fact{20, "opportunity.won", data{"opportunity_id": "O1", "lead_id": "L1", "value": "5000.0000", "currency": "USD", "owner_id": "closer"}},
		fact{1, "opportunity.created", data{"opportunity_id": "O1", "lead_id": "L1", "value": "1000.0000", "currency": "USD", "owner_id": "sdr", "stage": "new", "name": "Deal"}},
		fact{20, "lead.updated", data{"lead_id": "L1", "email": "new@example.com", "owner_id": "closer", "status": "qualified"}},
		fact{1, "lead.created", data{"lead_id": "L1", "email": "old@example.com", "phone": "+1", "owner_id": "sdr", "status": "new"}},
		fact{1, "lead.created", data{"lead_id": "L2"}}, fact{20, "lead.converted", data{"lead_id": "L2"}}, fact{10, "lead.qualified", data{"lead_id": "L2"}})
	at := func(day int) time.Time { return noon.AddDate(0, 0, day) }
	want(t, all["read.opportunities"]["acme/2:O1"], data{"status": "won", "value": "5000.0000", "owner_id": "closer", "name": "Deal", "stage": "new",
		"created_at": at(1), "closed_at": at(20), "updated_at": at(20)})
	want(t, all["read.leads"]["acme/2:L1"], data{"status": "qualified", "email": "new@example.com", "owner_id": "closer", "phone": "+1", "created_at": at(1), "updated_at": at(20)})
	want(t, all["read.leads"]["acme/2:L2"], data{"status": "converted", "qualified_at": at(10), "converted_at": at(20), "updated_at": at(20)})
	wantFunnel(t, all, map[string]string{"2026-11-24 ": "leads_created=2 ", "2026-12-03 ": "qualified=1 ", "2026-12-13 ": "converted=1 ",
		"2026-11-24 USD": "opportunities_created=1 ", "2026-12-13 USD": "opportunities_won=1 value_won=5000.0000 "})
}

func TestOpportunities_AreOpenAgainWithoutAClose(t *testing.T) {
	created, won := fact{0, "opportunity.created", data{"opportunity_id": "R", "value": "100.0000", "currency": "USD", "stage": "new"}}, fact{1, "opportunity.won", data{"opportunity_id": "R"}}
	for name, tc := range map[string]struct {
		then   []fact
		status string
		closed any
	}{
		"reopened":               {[]fact{{2, "opportunity.reopened", data{"opportunity_id": "R", "stage": "negotiation"}}}, "open", nil},
		"worked on again":        {[]fact{{2, "opportunity.stage_changed", data{"opportunity_id": "R", "stage": "negotiation"}}}, "open", nil},
		"a stage before it":      {[]fact{{0.5, "opportunity.stage_changed", data{"opportunity_id": "R", "stage": "negotiation"}}}, "won", noon.AddDate(0, 0, 1)},
		"the CRM's stage of won": {[]fact{{2, "opportunity.stage_changed", data{"opportunity_id": "R", "stage": " Closed Won"}}}, "won", noon.AddDate(0, 0, 1)},
		"created once more":      {[]fact{{2, "opportunity.created", data{"opportunity_id": "R"}}}, "won", noon.AddDate(0, 0, 1)},
		"lost after that":        {[]fact{{2, "opportunity.reopened", data{"opportunity_id": "R"}}, {3, "opportunity.lost", data{"opportunity_id": "R"}}}, "lost", noon.AddDate(0, 0, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			all := tables(t, append([]fact{created, won}, tc.then...)...)
			want(t, all["read.opportunities"]["acme/1:R"], data{"status": tc.status, "closed_at": tc.closed})
		})
	}
}

func TestOpportunities_KeepTheCurrencyOfTheirValue(t *testing.T) {
	of := func(day float64, typ string, value, currency any) fact {
		return fact{day, "opportunity." + typ, data{"opportunity_id": "R", "value": value, "currency": currency}}
	}
	created := of(0, "created", "100.0000", "USD")
	for name, tc := range map[string]struct {
		facts           []fact
		value, currency any
	}{
		"a currency alone renames no amount":            {[]fact{created, of(1, "won", nil, "EUR")}, "100.0000", "USD"},
		"nor when it comes before what happened before": {[]fact{of(1, "won", nil, "EUR"), created}, "100.0000", "USD"},
		"nor an amount that a later one replaced":       {[]fact{created, of(1, "created", "120.0000", nil), of(2, "won", nil, "EUR")}, "120.0000", "USD"},
		"both are both": {[]fact{created, of(1, "won", "90.0000", "EUR")}, "90.0000", "EUR"},
		"a value alone is in the deal's currency": {[]fact{created, of(1, "won", "90.0000", nil)}, "90.0000", "USD"},
		"the currency came first":                 {[]fact{of(0, "created", nil, "EUR"), of(1, "won", "90.0000", nil)}, "90.0000", "EUR"},
		"the currency of an amount that has none": {[]fact{of(0, "created", "90.0000", nil), of(1, "won", nil, "EUR")}, "90.0000", "EUR"},
		"no amount": {[]fact{of(0, "created", nil, "EUR"), of(1, "won", nil, "USD")}, nil, "USD"},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, tables(t, tc.facts...)["read.opportunities"]["acme/1:R"], data{"value": tc.value, "currency": tc.currency})
		})
	}
}

func TestOpportunities_AreOpenFromTheirFirstEvent(t *testing.T) {
	for _, typ := range []string{"opportunity.created", "opportunity.stage_changed", "opportunity.reopened"} {
		all := tables(t, fact{0, typ, data{"opportunity_id": "1", "stage": "closed won"}})
		want(t, all["read.opportunities"]["acme/1:1"], data{"status": "open", "closed_at": nil})
	}
}

func TestFunnel_CountsALeadAndADealOnceAStageAndACurrencyForItself(t *testing.T) {
	all := tables(t,
		fact{0, "opportunity.created", data{"opportunity_id": "R", "value": "100.0000", "currency": "USD"}},
		fact{0.01, "opportunity.won", data{"opportunity_id": "R", "value": "100.0000", "currency": "USD"}},
		fact{0.02, "opportunity.stage_changed", data{"opportunity_id": "R", "stage": "negotiation"}},
		fact{0.03, "opportunity.won", data{"opportunity_id": "R", "value": "120.0000", "currency": "USD"}},
		fact{0.04, "opportunity.won", data{"opportunity_id": "J", "value": "150000.0000", "currency": "jpy "}},
		fact{0.05, "opportunity.won", data{"opportunity_id": "N", "value": "0.1000"}},
		fact{0.06, "opportunity.won", data{"opportunity_id": "M", "value": "0.2000"}},
		fact{0.07, "lead.converted", data{"lead_id": "X"}}, fact{0.08, "lead.converted", data{"lead_id": "X"}},
		fact{0.09, "appointment.booked", data{"appointment_id": "A"}}, fact{0.1, "appointment.booked", data{"appointment_id": "A"}})
	wantFunnel(t, all, map[string]string{
		"2026-11-23 ":    "converted=1 opportunities_won=2 value_won=0.3000 appointments_booked=1 ",
		"2026-11-23 USD": "opportunities_created=1 opportunities_won=1 value_won=120.0000 ",
		"2026-11-23 JPY": "opportunities_won=1 value_won=150000.0000 ",
	})
	won := fact{1, "opportunity.won", data{"opportunity_id": "R", "value": "100.0000", "currency": "USD"}}
	reopened := fact{2, "opportunity.reopened", data{"opportunity_id": "R"}}
	wantFunnel(t, tables(t, won, reopened), map[string]string{})
	wantFunnel(t, tables(t, won, reopened, fact{3, "opportunity.won", data{"opportunity_id": "R"}}), map[string]string{"2026-11-26 USD": "opportunities_won=1 value_won=100.0000 "})
	wantFunnel(t, tables(t, won, reopened, fact{3, "opportunity.lost", data{"opportunity_id": "R"}}), map[string]string{"2026-11-26 USD": "opportunities_lost=1 "})
}

func TestFunnel_CountsDaysInTheTenantsZoneAlsoThoseBefore(t *testing.T) {
	late := fact{0.45, "lead.created", data{"lead_id": "1"}} // 22:48 UTC
	set := func(name any) fact { return fact{0.5, "tenant.zone_set", data{"zone": name}} }
	for name, tc := range map[string]struct {
		facts []fact
		day   string
	}{
		"none":                {[]fact{late}, "2026-11-23 "},
		"before":              {[]fact{set("Europe/Berlin"), late}, "2026-11-23 "},
		"east, before":        {[]fact{set("Asia/Tokyo"), late}, "2026-11-24 "},
		"east, after":         {[]fact{late, set("Asia/Tokyo")}, "2026-11-24 "},
		"taken back":          {[]fact{set("Asia/Tokyo"), late, set("UTC")}, "2026-11-23 "},
		"empty":               {[]fact{set("Asia/Tokyo"), late, set("")}, "2026-11-23 "},
		"unknown, stays east": {[]fact{set("Asia/Tokyo"), late, set("America/NewYork"), set("Local")}, "2026-11-24 "},
	} {
		t.Run(name, func(t *testing.T) {
			wantFunnel(t, tables(t, tc.facts...), map[string]string{tc.day: "leads_created=1 "})
		})
	}
}

func TestTables_AreTheSameInWhateverOrderFactsCome(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		text := func(of ...any) any { return of[rng.IntN(len(of))] }
		var facts []fact
		for i := range 40 {
			typ := text("lead.created", "lead.updated", "lead.contacted", "lead.contacted", "lead.qualified", "lead.converted", "lead.lost", "lead.scored", "lead.assigned",
				"opportunity.created", "opportunity.stage_changed", "opportunity.won", "opportunity.lost", "opportunity.reopened", "appointment.booked", "appointment.missed", "activity.recorded").(string)
			facts = append(facts, fact{float64(i) / 10, typ, data{"lead_id": text("1", "2"), "opportunity_id": text("1", "2"), "appointment_id": "1", "activity_id": text("1", "2"),
				"status": text(nil, nil, "new", "open", ""), "email": text(nil, "", "a"), "owner_id": text(nil, "x", "y"), "stage": text("new", "closed", "talk"),
				"value": text(nil, "1.5000", "-2.0000", "0.0000"), "currency": text(nil, "EUR", "USD"), "score": int64(i), "reason": text(nil, "ill")}})
		}
		inOrder := tables(t, facts...)
		rng.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		shuffled := tables(t, facts...)
		for name, rows := range inOrder {
			if len(rows) != len(shuffled[name]) {
				t.Fatalf("seed %d: %s has %d rows, shuffled %d", seed, name, len(rows), len(shuffled[name]))
			}
			for id, row := range rows {
				other := shuffled[name][id]
				for c, v := range row {
					if slices.Contains([]string{"sequence", "stamps", "told_order", "contacted_order"}, c) {
						continue // these name sequences, which are the order of arrival
					}
					if other[c] != v {
						t.Fatalf("seed %d: %s %s: %s is %v, shuffled %v", seed, name, id, c, v, other[c])
					}
				}
			}
		}
	}
}

func TestControl_FollowsTheRecordWhateverClocksSaid(t *testing.T) {
	all := tables(t, fact{1, "tenant.created", nil}, fact{5, "tenant.suspended", nil}, fact{2, "tenant.resumed", nil})
	want(t, all["neuronx.tenants"]["acme/4:acme"], data{"status": "active", "updated_at": noon.AddDate(0, 0, 5)})
}
