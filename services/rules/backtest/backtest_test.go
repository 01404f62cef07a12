package backtest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

var score = rule("score", `
on: [lead.created]
emit:
  - type: lead.scored
    data:
      lead_id: data.lead_id
      score: '{"paid search": 40, "organic search": 50, "social": 30}.exists(k, k == data.channel) ? {"paid search": 40, "organic search": 50, "social": 30}[data.channel] : 10'`)

func qualify(least int) ruleset.File {
	return rule("qualify", fmt.Sprintf(`
on: [lead.scored]
when: data.score >= %d
emit:
  - type: lead.qualified
    data: {lead_id: data.lead_id}
  - type: crm.note.add.requested
    data: {lead_id: data.lead_id, body: '"score " + string(data.score)'}`, least))
}

// The marketing funnel of Olist: NEURONX_TEST_OLIST_DIR is the folder of the published files, which their licence keeps out of the
// repository. Without it a file of the same layout is made.
func olist(t *testing.T) string {
	t.Helper()
	const name = "olist_marketing_qualified_leads_dataset.csv"
	if dir := os.Getenv("NEURONX_TEST_OLIST_DIR"); dir != "" {
		return filepath.Join(dir, name)
	}
	t.Logf("NEURONX_TEST_OLIST_DIR is not set: %s is made, not Olist's", name)
	text := "mql_id,first_contact_date,landing_page_id,origin\n"
	for i := range 900 {
		text += fmt.Sprintf("%032x,2018-%02d-%02d,page,%s\n", i*7919, 1+i%5, 1+i%28, []string{"", "unknown", "organic search", "paid search", "social", "email"}[i%6])
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func rows(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all[1:]
}

// Which leads change is known from the file alone, without the engine: those from paid search have 40 points.
func TestRun_AChangedThresholdReportsExactlyTheLeadsThatChange(t *testing.T) {
	path := olist(t)
	leads := rows(t, path)
	slices.SortStableFunc(leads, func(a, b []string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	want, organic := map[string]bool{}, 0
	var first []string
	for _, l := range leads {
		switch l[3] {
		case "paid search":
			want[l[0]] = true
			if len(first) < most {
				first = append(first, "lead/"+l[0])
			}
		case "organic search":
			organic++
		}
	}
	a := newArchive(t)
	old, lower := []ruleset.File{score, qualify(50)}, []ruleset.File{score, qualify(40)}
	begin, err := time.Parse(time.DateOnly, leads[0][1])
	if err != nil {
		t.Fatal(err)
	}
	a.publish(begin.Add(-time.Hour), 1, old...)
	for i, l := range leads {
		at, err := time.Parse(time.DateOnly, l[1])
		if err != nil {
			t.Fatal(err)
		}
		var channel any
		if l[3] != "" {
			channel = l[3]
		}
		a.add(at.Add(time.Duration(i)*time.Second), "lead.created", map[string]any{"lead_id": l[0], "channel": channel})
	}
	r := tried(t, a, begin, old, lower)
	if d := counted(r, "qualify", "lead.qualified"); d.Added != len(want) || d.Same != organic || d.Removed+d.Changed != 0 || d.Against != organic || d.Candidate != organic+len(want) {
		t.Errorf("%+v, want %d added and %d the same", d, len(want), organic)
	}
	if d := counted(r, "score", "lead.scored"); d.Same != len(leads) || d.Added+d.Removed+d.Changed != 0 {
		t.Errorf("%+v", d)
	}
	if r.Facts.Total != len(leads) || r.People.Both != len(leads) || r.People.OnlyCandidate != 0 {
		t.Errorf("%+v %+v", r.Facts, r.People)
	}
	var got []string
	for _, e := range r.Examples.Added {
		if e.Type == "lead.qualified" {
			got = append(got, e.Subject)
		}
	}
	if len(got) != most/2 || !slices.Equal(got, first[:most/2]) { // each has its note next to it
		t.Errorf("examples %v, want %v", got, first)
	}
	back := tried(t, a, begin, lower, old)
	if d := counted(back, "qualify", "crm.note.add.requested"); d.Removed != len(want) || d.Added+d.Changed != 0 {
		t.Errorf("the other way round %+v", d)
	}
	t.Logf("%d leads, %d change", len(leads), len(want))
}

func TestRun_TheSameRulesDecideTheSame(t *testing.T) {
	a := newArchive(t)
	set := []ruleset.File{score, qualify(40)}
	a.publish(day.Add(-time.Hour), 1, set...)
	for i := range 50 {
		a.add(day.Add(time.Duration(i)*time.Second), "lead.created", map[string]any{"lead_id": fmt.Sprint(i), "channel": "paid search"})
	}
	one := tried(t, a, day, set, set)
	if one.Differs() || counted(one, "qualify", "crm.note.add.requested").Same != 50 || one.Commands[0].Against != 50 {
		t.Errorf("%+v", one.Decisions)
	}
	for range 5 {
		if again := tried(t, a, day, set, set); !reflect.DeepEqual(one, again) {
			t.Errorf("another run tells otherwise:\n%+v\n%+v", one, again)
		}
	}
}

func TestRun_ChangesAreToldByField(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "7", "email": "ann@example.com"})
	note := func(text, subject string) ruleset.File {
		return rule("note", "on: [lead.created]\nemit:\n  - type: crm.contact.upsert.requested\n    subject: '"+subject+"'\n    data: {lead_id: data.lead_id, email: data.email, source: '"+text+"', company: event.id}")
	}
	r := tried(t, a, day, []ruleset.File{note(`"a"`, `"lead/7"`)}, []ruleset.File{note(`"b"`, `"lead/8"`)})
	want := []FieldChange{{"subject", "lead/7", "lead/8"}, {"source", `"a"`, `"b"`}}
	if len(r.Examples.Changed) != 1 || !slices.Equal(r.Examples.Changed[0].Fields, want) || r.Examples.Changed[0].Fact != "fact-000001" {
		t.Errorf("%+v", r.Examples)
	}
	if r.People != (People{Pair{1, 1}, 0, 1, 1}) {
		t.Errorf("%+v", r.People)
	}
}

// Values of fields that are marked as personal stand in a report that is asked for them only.
func TestRun_PersonalValuesAreHidden(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "7", "email": "ann@example.com"})
	upsert := func(email string) []ruleset.File {
		return []ruleset.File{rule("sync", "on: [lead.created]\nemit:\n  - type: crm.contact.upsert.requested\n    data: {lead_id: data.lead_id, email: '"+email+"'}")}
	}
	for _, c := range []struct {
		personal  bool
		old, new  []ruleset.File
		changed   string
		candidate string
	}{{false, upsert("data.email"), upsert(`"x" + data.email`), hidden, ""}, {true, upsert("data.email"), upsert(`"x" + data.email`), `"xann@example.com"`, ""}, {false, nil, upsert("data.email"), "", hidden}} {
		r := with(t, a, Config{From: day, Against: Rules{Files: c.old}, Candidate: Rules{Files: c.new}, Personal: c.personal})
		text := fmt.Sprintf("%+v", r)
		if strings.Contains(text, "ann@example.com") != c.personal || c.changed != "" && r.Examples.Changed[0].Fields[0].Value != c.changed || c.candidate != "" && r.Examples.Added[0].Fields[0].Value != c.candidate {
			t.Errorf("%s", text)
		}
	}
}

// State before From is that of the rules that were in force then, in both timelines.
func TestRun_StateBeforeIsThatOfTheRulesInForceThen(t *testing.T) {
	counts := func(on string) ruleset.File {
		return rule("count", "on: [lead.created]\nset: {n: '(has(state.n) ? state.n : 0) + "+on+"'}")
	}
	tells := rule("tell", "on: [lead.lost]\nemit: [{type: lead.scored, data: {lead_id: data.lead_id, score: 'has(state.n) ? state.n : 0'}}]")
	a := newArchive(t)
	a.publish(day.Add(-2*time.Hour), 1, counts("5"))
	a.add(day.Add(-time.Hour), "lead.created", map[string]any{"lead_id": "7"})
	a.add(day, "lead.created", map[string]any{"lead_id": "7"})
	a.add(day.Add(time.Hour), "lead.lost", map[string]any{"lead_id": "7"})
	r := tried(t, a, day, []ruleset.File{counts("1"), tells}, []ruleset.File{counts("2"), tells})
	if len(r.Examples.Changed) != 1 || r.Examples.Changed[0].Fields[0] != (FieldChange{"score", "6", "7"}) {
		t.Errorf("%+v", r.Examples)
	}
}

// What the engine made of facts is not fed again: each timeline makes its own.
func TestRun_RecordedAnswersAreLeftOut(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "7", "channel": "paid search"})
	derived := a.add(day.Add(time.Second), "lead.scored", map[string]any{"lead_id": "7", "score": int64(99)})
	derived.Deriver, derived.Hops, derived.Source, derived.Path = "rules", 1, "/neuronx/rules", []string{"lead.scored<score@1"}
	r := tried(t, a, day, nil, []ruleset.File{score, qualify(40)})
	if d := counted(r, "qualify", "crm.note.add.requested"); d.Added != 1 || r.Facts.Total != 1 || !slices.Equal(r.Facts.LeftOut, []TypeCount{{"lead.scored", 1}}) {
		t.Errorf("%+v %+v", d, r.Facts)
	}
}

// The last fact before To is answered to the end, at any number of hops.
func TestRun_TheLastFactIsAnsweredWhole(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "7", "channel": "paid search"})
	r := with(t, a, Config{From: day, To: day.Add(time.Millisecond), Candidate: Rules{Files: []ruleset.File{score, qualify(40)}}})
	if d := counted(r, "qualify", "lead.qualified"); d.Added != 1 {
		t.Errorf("%+v", r.Decisions)
	}
}

func TestRun_CommandsEndAsOutcomesSays(t *testing.T) {
	a := newArchive(t)
	for i := range 1000 {
		a.add(day.Add(time.Duration(i)*time.Second), "lead.created", map[string]any{"lead_id": fmt.Sprint(i)})
	}
	set := []ruleset.File{
		rule("note", "on: [lead.created]\nemit: [{type: crm.note.add.requested, data: {lead_id: data.lead_id, body: '\"x\"'}}]"),
		rule("good", "on: [crm.note.add.succeeded]\nemit: [{type: lead.contacted, data: {lead_id: data.lead_id}}]"),
		rule("bad", "on: [crm.note.add.failed]\nemit: [{type: lead.lost, data: {lead_id: data.lead_id, reason: data.code}}]"),
	}
	for _, c := range []struct {
		outcomes  Outcomes
		text      string
		good, bad int // at least
	}{{Outcomes{}, "succeed", 1000, 0}, {Outcomes{Fail: 1}, "fail=100%", 0, 1000}, {Outcomes{Fail: 0.1}, "fail=10%", 800, 50}, {Outcomes{Recorded: true}, "recorded", 0, 0}} {
		r := with(t, a, Config{From: day, Against: Rules{Files: set}, Candidate: Rules{Files: set}, Outcomes: c.outcomes})
		good, bad := counted(r, "good", "lead.contacted").Same, counted(r, "bad", "lead.lost").Same
		if good < c.good || bad < c.bad || good+bad != 1000 && !c.outcomes.Recorded || c.outcomes.Recorded && good+bad > 0 || r.Differs() || r.Outcomes != c.text {
			t.Errorf("%s: %d succeeded, %d failed", r.Outcomes, good, bad)
		}
	}
}

// A circle ends at hop 16, and the storm is told of the rules that made it.
func TestRun_ACircleEndsAsAStorm(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "7"})
	circle := rule("circle", "on: [lead.created, lead.lost]\nemit: [{type: lead.lost, data: {lead_id: data.lead_id}}]")
	r := tried(t, a, day, nil, []ruleset.File{circle})
	if d := counted(r, "circle", "lead.lost"); d.Added != event.MaxHops+1 || len(r.Failures) != 1 || r.Failures[0].Code != "storm" || r.Failures[0].Candidate != 1 {
		t.Errorf("%+v %+v", d, r.Failures)
	}
}

func TestRun_WhatGrowsWithoutEndIsRefused(t *testing.T) {
	a := newArchive(t)
	for i := range 3 {
		a.add(day.Add(time.Duration(i)*time.Second), "lead.created", map[string]any{"lead_id": fmt.Sprint(i)})
	}
	emits := strings.Repeat("\n  - {type: lead.lost, data: {lead_id: data.lead_id}}", 8)
	_, err := Run(t.Context(), Config{Tenant: acme, First: 1, least: 100, From: day, To: day.Add(time.Hour), Candidate: Rules{Files: []ruleset.File{rule("grows", "on: [lead.created, lead.lost]\nemit:"+emits)}}}, a, catalogue(t))
	if !errors.Is(err, ErrTooMuch) {
		t.Error(err)
	}
}

func TestRun_ARangeWithoutFactsIsRefused(t *testing.T) {
	a := newArchive(t)
	a.add(day, "lead.created", map[string]any{"lead_id": "7"})
	for name, from := range map[string]time.Time{"after all": day.Add(time.Hour), "before all": day.Add(-time.Hour)} {
		to := from.Add(time.Minute)
		_, err := Run(t.Context(), Config{Tenant: acme, First: 1, From: from, To: to, Candidate: Rules{Files: []ruleset.File{score}}}, a, catalogue(t))
		if !errors.Is(err, ErrNoFacts) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
