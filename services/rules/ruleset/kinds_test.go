package ruleset

import (
	"fmt"
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
	for _, p := range validated(t, embeddedSchemas(t), files...) {
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

func TestValidate_NamesWhatIsWrongWithALookup(t *testing.T) {
	lookup := func(spec string) []File { return []File{ofKind(tables.KindLookup, "a", spec)} }
	with := func(columns, row string) []File {
		return lookup("  key: k\n  columns: {k: string, " + columns + "}\n  rows:\n    - {k: x, " + row + "}\n")
	}
	rows := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "{k: %d},", i)
		}
		return b.String()
	}
	pool := func(keys string) []File {
		return append(lookup(teamSpec+"  pool: {"+keys+"}\n"), ofKind(tables.KindCalendar, "office", officeSpec))
	}
	for name, c := range map[string]struct {
		files []File
		want  string // empty: no problem
	}{
		"nothing":                   {lookup("  {}\n"), `a.yaml:5: error: missing_key: spec needs the key "key"`},
		"an unknown key":            {lookup("  key: k\n  colums: {k: string}\n  columns: {k: string}\n  rows: [{k: a}]\n"), `a.yaml:6: error: unknown_key: spec has no key "colums"`},
		"no rows":                   {lookup("  key: k\n  columns: {k: string}\n"), `a lookup needs its rows; write rows, or csv`},
		"an empty list of rows":     {lookup("  key: k\n  columns: {k: string}\n  rows: []\n"), `empty: rows must be a list of at least one row`},
		"rows and a table":          {append(lookup("  key: k\n  columns: {k: string}\n  rows: [{k: a}]\n  csv: a.csv\n"), File{"a.csv", "k\n1\n"}), `duplicate_key: the rows stand in the file or in a table, not in both`},
		"a key that is no column":   {lookup("  key: rep\n  columns: {k: string}\n  rows: [{k: a}]\n"), `a.yaml:5: error: unknown_field: the key "rep" is no column of texts or integers`},
		"a key of decimals":         {lookup("  key: k\n  columns: {k: decimal}\n  rows: [{k: 1}]\n"), `the key "k" is no column of texts or integers`},
		"a kind that is none":       {with("b: strng", "b: x"), `wrong_kind: the column b has no kind "strng"; did you mean string?`},
		"a column with capitals":    {with("Weight: int", "Weight: 1"), `invalid_name: the column "Weight"`},
		"a column that is a word":   {with("in: int", "in: 1"), `invalid_name: the column "in"`},
		"51 columns":                {lookup("  key: k\n  columns: {k: string" + strings.Repeat(", a%: int", 0) + manyColumns(50) + "}\n  rows: [{k: a}]\n"), `too_large: a lookup has 51 columns, more than 50`},
		"an unknown column":         {with("weight: int", "wieght: 1, weight: 1"), `a.yaml:8: error: unknown_field: the lookup has no column "wieght"; did you mean weight?`},
		"a missing column":          {with("weight: int", ""), `missing_field: the row lacks the column weight`},
		"a column twice in a row":   {with("weight: int", "weight: 1, weight: 2"), `duplicate_key`},
		"a row that is a list":      {lookup("  key: k\n  columns: {k: string}\n  rows: [[a]]\n"), `wrong_kind: a row must be a map with the columns k`},
		"a key twice":               {lookup("  key: k\n  columns: {k: string}\n  rows:\n    - {k: a}\n    - {k: b}\n    - {k: a}\n"), `a.yaml:10: error: duplicate_key: the k "a" stands already in line 8`},
		"a number as a text":        {with("b: string", "b: 0123"), `b is "0123" and must be a text; in YAML, in quotes`},
		"a date as a text":          {with("b: string", "b: 2026-01-01"), `must be a text`},
		"a null":                    {with("b: string", "b: null"), `b is "null" and must be a text`},
		"an empty cell":             {with("b: int", `b: ""`), `b is "" and must be an integer`},
		"a text as a number":        {with("b: int", `b: "5"`), `b is "5" and must be an integer such as 25`},
		"a fraction as an integer":  {with("b: int", "b: 5.0"), `must be an integer`},
		"a hexadecimal integer":     {with("b: int", "b: 0x1F"), `must be an integer`},
		"an octal integer":          {with("b: int", "b: 017"), `must be an integer`},
		"an integer of 20 digits":   {with("b: int", "b: 99999999999999999999"), `must be an integer`},
		"a double in powers of ten": {with("b: double", "b: 1e3"), `must be a number such as 0.5`},
		"no number":                 {with("b: double", "b: .nan"), `must be a number`},
		"yes for true":              {with("b: bool", "b: yes"), `must be true or false`},
		"a decimal with a comma":    {with("b: decimal", `b: "1,5"`), `must be a decimal such as 1250.75`},
		"a time without a zone":     {with("b: time", "b: 2026-01-31T09:00:00"), `must be a time such as 2026-01-31T09:00:00Z`},
		"a control character":       {with("b: string", `b: "a\u0000b"`), `must be a text`},
		"a cell of 5 KiB":           {with("b: string", "b: "+strings.Repeat("x", 5<<10)), `must be a text`},
		"a list as a cell":          {with("b: string", "b: [x]"), `must be a text`},
		"5,000 rows":                {lookup("  key: k\n  columns: {k: int}\n  rows: [" + rows(tables.MaxRows) + "]\n"), ``},
		"5,001 rows":                {lookup("  key: k\n  columns: {k: int}\n  rows: [" + rows(tables.MaxRows+1) + "]\n"), `a.yaml:7: error: too_large: a lookup has 5001 rows, more than 5000`},
		"every kind":                {with("a: int, b: double, c: bool, d: decimal, e: time, f: string", `a: -5, b: 1, c: false, d: "12.50", e: 2026-01-31T09:00:00+01:00, f: ""`), ``},
		"a pool":                    {pool("weight: weight, capacity: capacity, calendar: hours"), ``},
		"an unknown key of a pool":  {pool("wieght: weight"), `unknown_key: pool has no key "wieght"`},
		"a pool by another column":  {pool("weight: wait"), `unknown_field: pool.weight names the column "wait", which the lookup has not`},
		"a pool by a text":          {pool("weight: hours"), `pool.weight needs a column of another kind than hours`},
		"a pool of numbers":         {lookup("  key: k\n  columns: {k: int}\n  rows: [{k: 1}]\n  pool: {}\n"), `the key of a pool names its members and must be a column of texts`},
		"a pool without hours":      {lookup(teamSpec + "  pool: {calendar: hours}\n"), `unknown_name: the member ann works by the calendar "office", which the bundle has not; the bundle has no calendar`},
		"a release of nothing":      {pool("release: {}"), `pool.release says nothing`},
		"a release without a key":   {pool("release: {on: [lead.lost]}"), `pool.release needs both on and key`},
		"a release after no time":   {pool("release: {after: 30 days}"), `pool.release.after: `},
		"a release by a wrong type": {pool("release: {on: [Lead], key: data.lead_id}"), `"Lead" is not an event type`},
		"a release by a wrong word": {pool("release: {on: [lead.lost], key: dat.lead_id}"), `undeclared reference to 'dat'`},
		"a follow without a member": {pool("follow: {on: [lead.assigned]}"), `pool.follow needs the key "member"`},
		"a follow without a key":    {pool("follow: {on: [lead.assigned], member: data.owner_id}"), `pool.follow needs the key "key"`},
		"a weight below zero":       {append(lookup(strings.Replace(teamSpec, "weight: 3", "weight: -3", 1)+"  pool: {weight: weight}\n"), ofKind(tables.KindCalendar, "office", officeSpec)), `weight is -3 and must be 0 to 1000000`},
		"two files of one name":     {[]File{ofKind(tables.KindLookup, "a", teamSpec), {"b.yaml", ofKind(tables.KindCalendar, "a", officeSpec).Text}}, `duplicate_rule: the file a.yaml has a lookup of the name a already`},
		"a rule of the same name":   {append(lookup(teamSpec), File{"b.yaml", strings.ReplaceAll(file("a", "  on: [lead.created]\n  set: {a: '1'}\n").Text, "zzz", "")}), `duplicate_rule`},
		"a name with capitals":      {[]File{ofKind(tables.KindLookup, "A", teamSpec)}, `invalid_name`},
		"no version":                {[]File{{"a.yaml", "kind: Lookup\nmetadata: {name: a}\nspec:\n" + teamSpec}}, `missing_key: the file needs the key "apiVersion"`},
		"another kind beside it":    {append(lookup(teamSpec), ofKind("Macro", "m", "  on: [lead.created]\n")), `kind is "Macro"; a file of a bundle has kind Rule, Lookup or Calendar`},
	} {
		problems := validated(t, embeddedSchemas(t), c.files...)
		if c.want == "" && len(problems) > 0 || c.want != "" && (problems.Err() == nil || !strings.Contains(fmt.Sprint(problems), c.want)) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}

func manyColumns(n int) (s string) {
	for i := range n {
		s += fmt.Sprintf(", c%d: int", i)
	}
	return s
}

func TestValidate_NamesWhatIsWrongWithATable(t *testing.T) {
	long := strings.Builder{}
	long.WriteString("week,template\n")
	for i := range tables.MaxRows + 1 {
		fmt.Fprintf(&long, "%d,x\n", i)
	}
	for name, c := range map[string]struct{ csv, want string }{
		"as it should be":          {weeks, ``},
		"a mark at the beginning":  {"\uFEFF" + weeks, ``},
		"lines of Windows":         {strings.ReplaceAll(weeks, "\n", "\r\n"), ``},
		"columns in another order": {"template,week\nhello,1\n", ``},
		"an empty text":            {"week,template\n1,\n", ``},
		"nothing":                  {"", `nurture.csv: error: empty: the table is empty; its first line names the columns: week,template`},
		"no row":                   {"week,template\n", `nurture.csv: error: empty: the table has no row`},
		"no first line":            {"1,hello\n", `nurture.csv:1: error: unknown_field: the lookup has no column "1"`},
		"a column too few":         {"week\n1\n", `nurture.csv:1: error: missing_field: the first line lacks the column template`},
		"a column too many":        {"week,template,note\n1,a,b\n", `the lookup has no column "note"`},
		"a column twice":           {"week,template,week\n1,a,1\n", `the column week stands twice`},
		"a misspelt column":        {"week,templte\n1,a\n", `the lookup has no column "templte"; did you mean template?`},
		"semicolons":               {"week;template\n1;a\n", `the values are not separated by commas`},
		"a ragged row":             {"week,template\n1,a\n2\n3,c\n", `nurture.csv:3: error: wrong_kind: the row has 1 values and there are 2 columns`},
		"a comma that splits":      {"week,template\n1,a,b\n", `nurture.csv:2: error: wrong_kind: the row has 3 values`},
		"a quote within":           {"week,template\n1,a\"b\n", `nurture.csv:2:4: error: wrong_kind: not a table of comma-separated values`},
		"a quote without an end":   {"week,template\n1,\"ab\n2,c\n", `not a table of comma-separated values`},
		"an empty number":          {"week,template\n,a\n", `nurture.csv:2: error: wrong_kind: week is "" and must be an integer`},
		"a number with a space":    {"week,template\n 1,a\n", `week is " 1" and must be an integer`},
		"a number with a plus":     {"week,template\n+1,a\n", `week is "+1"`},
		"a key twice":              {"week,template\n1,a\n2,b\n1,c\n", `nurture.csv:4: error: duplicate_key: the week "1" stands already in line 2`},
		"another encoding":         {"week,template\n1,\xe4\n", `the table is not UTF-8`},
		"a control character":      {"week,template\n1,a\x00b\n", `template is`},
		"5,001 rows":               {long.String(), `nurture.csv:5002: error: too_large: a lookup has more than 5000 rows`},
		"70 KiB":                   {"week,template\n1," + strings.Repeat("x", 70<<10) + "\n", `too_large: the table has`},
	} {
		problems := validated(t, embeddedSchemas(t), nurture(c.csv)...)
		if c.want == "" && len(problems) > 0 || c.want != "" && (problems.Err() == nil || !strings.Contains(fmt.Sprint(problems), c.want)) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
	for name, c := range map[string]struct {
		files []File
		want  string
	}{
		"a table that is not there": {nurture(weeks)[:1], `nurture.yaml:7: error: missing_key: the bundle has no file nurture.csv`},
		"a table elsewhere":         {[]File{ofKind(tables.KindLookup, "a", "  key: k\n  columns: {k: int}\n  csv: ../a.csv\n")}, `csv is "../a.csv"; it must be the name of a file in the same folder`},
		"a table that nobody names": {append(nurture(weeks), File{"other.csv", "a\n"}), `other.csv: error: no_effect: no lookup of the bundle names this table`},
	} {
		if problems := validated(t, embeddedSchemas(t), c.files...); problems.Err() == nil || !strings.Contains(fmt.Sprint(problems), c.want) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}

func TestValidate_NamesWhatIsWrongWithACalendar(t *testing.T) {
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
		problems := validated(t, embeddedSchemas(t), ofKind(tables.KindCalendar, "a", c.spec))
		if c.want == "" && len(problems) > 0 || c.want != "" && (problems.Err() == nil || !strings.Contains(fmt.Sprint(problems), c.want)) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}

func TestValidate_ChecksExpressionsAgainstTheLookupsAndCalendarsOfTheBundle(t *testing.T) {
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
		problems := validated(t, embeddedSchemas(t), files...)
		if want == "" && len(problems) > 0 || want != "" && !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v, want %s", when, problems, want)
		}
	}
	// With a lookup that can't be read, names are not known: only the lookup is told.
	problems := validated(t, embeddedSchemas(t), ofKind(tables.KindLookup, "sales-team", "  key: rep\n"), file("r", "  on: [lead.created]\n  when: 'lookup(\"sales-team\", data.lead_id).x > 2'\n  set: {a: '1'}\n"))
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
