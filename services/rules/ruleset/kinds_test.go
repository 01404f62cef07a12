package ruleset

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/tables"
)

func ofKind(kind, name, spec string) File {
	return File{name + ".yaml", "apiVersion: neuronx/v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec:\n" + spec}
}

const (
	teamSpec = `  key: rep
  columns: {rep: string, weight: int, capacity: int, hours: string}
  rows:
    - {rep: ann, weight: 3, capacity: 25, hours: office}
    - {rep: bob, weight: 1, capacity: 10, hours: office}
`
	poolSpec = `  pool:
    weight: weight
    capacity: capacity
    calendar: hours
    release: {on: [lead.converted, lead.lost], key: data.lead_id, after: P30D}
    follow: {on: [lead.assigned], member: data.owner_id}
`
	officeSpec = `  zone: America/New_York
  hours: {mon-fri: ["09:00-12:00", "13:00-17:30"], sat: ["10:00-14:00"]}
  holidays: [{date: 2026-11-26}, {date: "2026-12-24", hours: ["09:00-12:00"]}]
`
	weeks = "week,template\n1,hello\n2,\"again, and \"\"again\"\"\"\n"
)

func nurture(csv string) []File {
	return []File{ofKind(tables.KindLookup, "nurture", "  key: week\n  columns: {week: int, template: string}\n  csv: nurture.csv\n"), {"nurture.csv", csv}}
}

func TestCompile_ReadsLookupsAndCalendarsNextToRules(t *testing.T) {
	catalogue := embeddedSchemas(t)
	files := append(nurture(weeks), ofKind(tables.KindLookup, "sales-team", teamSpec+poolSpec), ofKind(tables.KindCalendar, "office", officeSpec),
		file("r", "  on: [lead.created]\n  when: open(event.time, \"office\")\n  set: {template: 'lookup(\"nurture\", 2).template', weight: 'lookup(\"sales-team\", \"ann\").weight'}\n"))
	set, problems := Compile(files)
	if set == nil || len(problems) > 0 || set.Semantics != 5 {
		t.Fatalf("%v", problems)
	}
	team := set.Lookup("sales-team")
	if want := []map[string]any{{"rep": "ann", "weight": int64(3), "capacity": int64(25), "hours": "office"}, {"rep": "bob", "weight": int64(1), "capacity": int64(10), "hours": "office"}}; !reflect.DeepEqual(team.Rows, want) {
		t.Errorf("rows %v", team.Rows)
	}
	if p := team.Pool; p.Weight != "weight" || p.Capacity != "capacity" || p.Calendar != "hours" || p.Release.After.Days != 30 || len(p.Release.On) != 2 || p.Release.Key == nil || p.Follow.Member == nil {
		t.Errorf("pool %+v", p)
	}
	if got := set.Lookup("nurture").Rows[1]["template"]; got != `again, and "again"` {
		t.Errorf("a quoted cell is %v", got)
	}
	vars := map[string]any{"data": map[string]any{}, "state": map[string]any{}, "event": map[string]any{"time": time.Date(2026, 11, 25, 15, 0, 0, 0, time.UTC)}}
	set.Reference().Bind(vars)
	r := set.Rule("r")
	if open, err := r.When.Bool(vars); err != nil || !open {
		t.Errorf("ten o'clock on a Wednesday: %v %v", open, err)
	}
	if got, err := r.Set[1].Expr.Eval(vars); err != nil || got != int64(3) {
		t.Errorf("%v %v", got, err)
	}
	for _, p := range validated(t, catalogue, files...) {
		t.Error(p)
	}
}

// What a bundle derives must not change because a newer build publishes it.
func TestSemanticsOf_IsFiveOnlyForWhatNeedsIt(t *testing.T) {
	rule := func(when string) File {
		return file("r", "  on: [lead.created]\n  when: >-\n    "+when+"\n  set: {a: '1'}\n")
	}
	for name, c := range map[string]struct {
		files []File
		want  int64
	}{
		"nothing":                   {nil, 4},
		"a rule":                    {[]File{rule(`data.phone != null`)}, 4},
		"a rule with a zone":        {[]File{rule(`event.time.getHours("Europe/Berlin") > 9 && data.note == "open (now)"`)}, 4},
		"a list reversed":           {[]File{rule(`data.tags.reverse() == []`)}, 4},
		"nonsense":                  {[]File{{"a.yaml", "{"}}, 4},
		"another kind":              {[]File{ofKind("Macro", "a", "  on: [x]\n")}, 4},
		"a rule with a lookup":      {[]File{rule(`lookup("a", 1).b`)}, 5},
		"a rule with a bucket":      {[]File{rule(`bucket(data.lead_id, "x") < 10`)}, 5},
		"a name that is bound":      {[]File{rule(`cel.bind(a, data.lead_id, a == "x")`)}, 5},
		"a call with too little":    {[]File{rule(`lookup("a")`)}, 5},
		"a calendar":                {[]File{rule(`true`), ofKind(tables.KindCalendar, "office", officeSpec)}, 5},
		"a lookup that is wrong":    {[]File{ofKind(tables.KindLookup, "a", "  nothing: 1\n")}, 5},
		"a function in what is set": {[]File{file("r", "  on: [lead.created]\n  set: {a: 'days(3) > duration(\"1h\")'}\n")}, 5},
	} {
		if got := SemanticsOf(c.files); got != c.want {
			t.Errorf("%s: semantics %d, want %d", name, got, c.want)
		}
		if data := PublishedData(c.files, 1, ""); data["semantics"] != c.want {
			t.Errorf("%s is published under %v", name, data["semantics"])
		}
	}
	// The hash and the semantics of a bundle as the build before this one published it.
	data := PublishedData([]File{file("same", "  on: [lead.created]\n  set: {a: \"1\"}\n")}, 1, "")
	if data["hash"] != goldenHash || data["semantics"] != int64(4) {
		t.Errorf("a bundle of rules alone is published as %v under %v", data["hash"], data["semantics"])
	}
}

const goldenHash = "153bc80a51ba0d2f2a9df76565dc9c2e13995e283b848bf1539f90927448edff"

// A bundle of other kinds that is forced past the checks under older semantics is what it was: a problem, word for word.
func TestCompileFor_OlderSemanticsKnowRulesAlone(t *testing.T) {
	for semantics := int64(1); semantics <= 4; semantics++ {
		set, problems := CompileFor(semantics, []File{ofKind(tables.KindLookup, "a", "  on: [lead.created]\n  set: {b: '1'}\n"), {"b.csv", "a,b\n"}}, nil)
		want := "[a.yaml:2: error: wrong_version: kind is \"Lookup\"; a rule file has kind Rule b.csv:1: error: wrong_kind: the file must be a map with the keys apiVersion, kind, metadata, spec]"
		if set != nil || fmt.Sprint(problems) != want {
			t.Errorf("semantics %d: %v", semantics, problems)
		}
		if set, _ := CompileFor(semantics, []File{file("r", "  on: [lead.created]\n  set: {a: 'bucket(data.lead_id, \"x\")'}\n")}, nil); set != nil {
			t.Errorf("semantics %d has bucket()", semantics)
		}
	}
}

func TestValidate_NamesWhatIsWrongWithACalendar(t *testing.T) {
	catalogue := embeddedSchemas(t)
	for name, c := range map[string]struct{ spec, want string }{
		"as it should be":       {officeSpec, ``},
		"no zone":               {"  hours: {mon: [\"09:00-17:00\"]}\n", `missing_key: spec needs the key "zone"`},
		"a misspelt zone":       {strings.Replace(officeSpec, "New_York", "NewYork", 1), `a.yaml:5: error: invalid_calendar: zone has no time zone`},
		"an unknown day":        {"  zone: UTC\n  hours:\n    mon: [\"09:00-17:00\"]\n    tues: [\"09:00-17:00\"]\n", `a.yaml:8: error: invalid_calendar: hours.tues`},
		"an end before a start": {"  zone: UTC\n  hours:\n    mon:\n      - 09:00-12:00\n      - 17:00-13:00\n", `a.yaml:9: error: invalid_calendar: hours.mon[1]`},
		"hours that are a text": {"  zone: UTC\n  hours: {mon: 09:00-17:00}\n", `wrong_kind: hours.mon must be a list`},
		"a day off":             {"  zone: UTC\n  hours: {mon-sat: [\"09:00-17:00\"], sun: []}\n", ``},
		"a date that is none":   {"  zone: UTC\n  hours: {mon: [\"09:00-17:00\"]}\n  holidays:\n    - {date: 2026-12-25}\n    - {date: 2026-02-30}\n", `a.yaml:9: error: invalid_calendar: holidays[1]`},
		"a date that is a year": {"  zone: UTC\n  hours: {mon: [\"09:00-17:00\"]}\n  holidays: [{date: 2026}]\n", `date must be a date such as 2026-12-25`},
		"an unknown key":        {"  zone: UTC\n  hours: {mon: [\"09:00-17:00\"]}\n  holiday: []\n", `unknown_key: spec has no key "holiday"`},
		"holidays as a map":     {"  zone: UTC\n  hours: {mon: [\"09:00-17:00\"]}\n  holidays: {}\n", `holidays must be a list`},
	} {
		problems := validated(t, catalogue, ofKind(tables.KindCalendar, "a", c.spec))
		if c.want == "" && len(problems) > 0 || c.want != "" && (problems.Err() == nil || !strings.Contains(fmt.Sprint(problems), c.want)) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}

func TestValidate_ChecksExpressionsAgainstTheLookupsAndCalendarsOfTheBundle(t *testing.T) {
	catalogue := embeddedSchemas(t)
	for when, want := range map[string]string{
		`lookup("sales-team", data.owner_id).weight > 2`:                          `warning: nullable: when: data.owner_id may be null`,
		`data.owner_id != null && lookup("sales-team", data.owner_id).weight > 2`: ``,
		`lookup("sales-teem", data.lead_id).weight > 2`:                           `r.yaml:8:12: error: unknown_name: when: there is no lookup "sales-teem" in the bundle; did you mean "sales-team"?`,
		`lookup("sales-team", data.lead_id).wait > 2`:                             `r.yaml:8:39: error: unknown_field: when: lookup("sales-team", …).wait: the lookup sales-team has no such column`,
		`lookup("sales-team", data.lead_id).weight > "2"`:                         `error: type_mismatch: when: > does not take an integer and a text`,
		`lookup("sales-team", "zoe").weight > 2`:                                  `error: invalid_expression: when: it fails whatever the event holds: missing_key: the lookup has no row with this key`,
		`lookup("sales-team", "ann").weight > 2`:                                  ``,
		`open(event.time, "ofice")`:                                               `error: unknown_name: when: there is no calendar "ofice" in the bundle; did you mean "office"?`,
		`open(event.time, "office")`:                                              ``,
		`event.time.getHours("Europe/Berlin") > 9`:                                `error: invalid_expression: when: getHours takes no zone in a bundle that uses lookups, calendars or their functions; write local(t, "office").hour`,
		`local(event.time, "Europe/Berlin").hour > 9`:                             ``,
	} {
		files := []File{ofKind(tables.KindLookup, "sales-team", teamSpec), ofKind(tables.KindCalendar, "office", officeSpec), file("r", "  on: [lead.created]\n  when: >-\n    "+when+"\n  set: {a: '1'}\n")}
		problems := validated(t, catalogue, files...)
		if want == "" && len(problems) > 0 || want != "" && !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v, want %s", when, problems, want)
		}
	}
	// With a lookup that can't be read, names are not known: only the lookup is told.
	problems := validated(t, catalogue, ofKind(tables.KindLookup, "sales-team", "  key: rep\n"), file("r", "  on: [lead.created]\n  when: 'lookup(\"sales-team\", data.lead_id).x > 2'\n  set: {a: '1'}\n"))
	if problems.Err() == nil || slices.ContainsFunc(problems, func(p rulefile.Problem) bool { return p.File != "sales-team.yaml" }) {
		t.Errorf("%v", problems)
	}
}

func TestLoadFS_TakesTheTablesThatLookupsName(t *testing.T) {
	dir := fstest.MapFS{"rules/nurture.yaml": {Data: []byte(nurture("")[0].Text)}, "rules/nurture.csv": {Data: []byte(weeks)}, "rules/stray.csv": {Data: []byte("a,b\n")},
		"rules/r.yaml": {Data: []byte(file("r", "  on: [lead.created]\n  set: {a: '1'}\n").Text)}}
	files, err := LoadFS(dir, "rules")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{"nurture.csv", "nurture.yaml", "r.yaml"}; !slices.Equal(names, want) {
		t.Errorf("loaded %v, want %v", names, want)
	}
	if set, problems := Compile(files); set == nil {
		t.Error(problems)
	}
	var changes []string
	for _, ch := range Diff(nil, files) {
		changes = append(changes, ch.Rule)
	}
	if want := []string{"nurture", "nurture.csv", "r"}; !slices.Equal(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
}

func TestLoad_TakesATableThatIsNamedItselfOnce(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, f := range nurture(weeks) {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	files, err := Load(paths...)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files (%v), want the lookup and its table", len(files), err)
	}
}

func TestWeight_GrowsWithTheCellsOfLookups(t *testing.T) {
	var b strings.Builder
	b.WriteString("week,template\n")
	for i := range tables.MaxRows {
		fmt.Fprintf(&b, "%d,x\n", i)
	}
	set, problems := Compile(nurture(b.String()))
	if set == nil {
		t.Fatal(problems)
	}
	if set.Weight() < 2*tables.MaxRows/8 || set.Expressions() != 0 {
		t.Errorf("a lookup of %d rows weighs %d", tables.MaxRows, set.Weight())
	}
}

func FuzzCompile_Tables(f *testing.F) {
	f.Add(weeks)
	f.Add("\uFEFFweek,template\n1,\"a\nb\"\n")
	f.Add("week;template\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, problems := CompileFor(Semantics, nurture(text), nil)
		if (set == nil) == (problems.Err() == nil) {
			t.Fatalf("set %v with problems %v", set, problems)
		}
		if set != nil && len(set.Lookup("nurture").Rows) > tables.MaxRows {
			t.Fatal("too many rows")
		}
	})
}

// The price of walking a calendar bounds the time of the worst one that a file can hold: hours in every interval that a day may have, and a
// holiday on every day.
func TestCalendars_AreWalkedWithinTheirPrice(t *testing.T) {
	var hours, holidays []string
	for h := range 24 {
		hours = append(hours, fmt.Sprintf("%q", fmt.Sprintf("%02d:00-%02d:30", h, h)))
	}
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 450 {
		holidays = append(holidays, fmt.Sprintf("{date: %s, hours: [\"09:00-09:30\", \"10:00-10:30\"]}", day.AddDate(0, 0, i).Format(time.DateOnly)))
	}
	calls := []string{`open_between(event.time, event.time + days(400), "busy")`, `next_open(event.time, "shut")`, `next_open(event.time, "busy")`, `open(event.time, "busy")`, `local(event.time, "busy")`}
	for _, call := range calls {
		const forty = "[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]"
		set, problems := Compile([]File{
			ofKind(tables.KindCalendar, "busy", "  zone: Africa/Casablanca\n  hours: {mon-sun: ["+strings.Join(hours, ", ")+"]}\n  holidays: ["+strings.Join(holidays, ", ")+"]\n"),
			ofKind(tables.KindCalendar, "shut", "  zone: Africa/Casablanca\n  hours: {mon-sun: []}\n  holidays: [{date: 2031-01-01, hours: [\"09:00-10:00\"]}]\n"),
			file("r", "  on: [lead.created]\n  when: '"+fmt.Sprintf("%s.all(a, %s.all(b, %s.all(c, dyn(%s) != 1.5 || true)))", forty, forty, forty, call)+"'\n  set: {a: '1'}\n")})
		if set == nil {
			t.Fatal(problems)
		}
		vars := map[string]any{"data": map[string]any{}, "state": map[string]any{}, "event": map[string]any{"time": day}}
		set.Reference().Bind(vars)
		start := time.Now()
		_, cost, err := set.Rules[0].When.Run(t.Context(), vars)
		took := time.Since(start)
		t.Logf("%s: %s for %d units (%v)", call, took, cost, err)
		if took > 30*time.Second || err == nil {
			t.Errorf("%s took %s for %d units (%v)", call, took, cost, err)
		}
	}
}
