package ruleset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/tables"
)

func TestValidate_NamesWhatIsWrongWithALookup(t *testing.T) {
	catalogue := embeddedSchemas(t)
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
		"nothing":                       {lookup("  {}\n"), `a.yaml:5: error: missing_key: spec needs the key "key"`},
		"an unknown key":                {lookup("  key: k\n  colums: {k: string}\n  columns: {k: string}\n  rows: [{k: a}]\n"), `a.yaml:6: error: unknown_key: spec has no key "colums"`},
		"no rows":                       {lookup("  key: k\n  columns: {k: string}\n"), `a lookup needs its rows; write rows, or csv`},
		"an empty list of rows":         {lookup("  key: k\n  columns: {k: string}\n  rows: []\n"), `empty: rows must be a list of at least one row`},
		"rows and a table":              {append(lookup("  key: k\n  columns: {k: string}\n  rows: [{k: a}]\n  csv: a.csv\n"), File{"a.csv", "k\n1\n"}), `duplicate_key: the rows stand in the file or in a table, not in both`},
		"a key that is no column":       {lookup("  key: rep\n  columns: {k: string}\n  rows: [{k: a}]\n"), `a.yaml:5: error: unknown_field: the key "rep" is no column of texts or integers`},
		"a key of decimals":             {lookup("  key: k\n  columns: {k: decimal}\n  rows: [{k: 1}]\n"), `the key "k" is no column of texts or integers`},
		"a kind that is none":           {with("b: strng", "b: x"), `wrong_kind: the column b has no kind "strng"; did you mean string?`},
		"a column with capitals":        {with("Weight: int", "Weight: 1"), `invalid_name: the column "Weight"`},
		"a column that is a word":       {with("in: int", "in: 1"), `invalid_name: the column "in"`},
		"51 columns":                    {lookup("  key: k\n  columns: {k: string" + strings.Repeat(", a%: int", 0) + manyColumns(50) + "}\n  rows: [{k: a}]\n"), `too_large: a lookup has 51 columns, more than 50`},
		"an unknown column":             {with("weight: int", "wieght: 1, weight: 1"), `a.yaml:8: error: unknown_field: the lookup has no column "wieght"; did you mean weight?`},
		"a missing column":              {with("weight: int", ""), `missing_field: the row lacks the column weight`},
		"a column twice in a row":       {with("weight: int", "weight: 1, weight: 2"), `duplicate_key`},
		"a row that is a list":          {lookup("  key: k\n  columns: {k: string}\n  rows: [[a]]\n"), `wrong_kind: a row must be a map with the columns k`},
		"a key twice":                   {lookup("  key: k\n  columns: {k: string}\n  rows:\n    - {k: a}\n    - {k: b}\n    - {k: a}\n"), `a.yaml:10: error: duplicate_key: the k "a" stands already in line 8`},
		"a number as a text":            {with("b: string", "b: 0123"), `b is "0123" and must be a text; in YAML, in quotes`},
		"a date as a text":              {with("b: string", "b: 2026-01-01"), `must be a text`},
		"a null":                        {with("b: string", "b: null"), `b is "null" and must be a text`},
		"an empty cell":                 {with("b: int", `b: ""`), `b is "" and must be an integer`},
		"a text as a number":            {with("b: int", `b: "5"`), `b is "5" and must be an integer such as 25`},
		"a fraction as an integer":      {with("b: int", "b: 5.0"), `must be an integer`},
		"a hexadecimal integer":         {with("b: int", "b: 0x1F"), `must be an integer`},
		"an octal integer":              {with("b: int", "b: 017"), `must be an integer`},
		"an integer of 20 digits":       {with("b: int", "b: 99999999999999999999"), `must be an integer`},
		"a double in powers of ten":     {with("b: double", "b: 1e3"), `must be a number such as 0.5`},
		"no number":                     {with("b: double", "b: .nan"), `must be a number`},
		"yes for true":                  {with("b: bool", "b: yes"), `must be true or false`},
		"a decimal with a comma":        {with("b: decimal", `b: "1,5"`), `must be a decimal such as 1250.75`},
		"a time without a zone":         {with("b: time", "b: 2026-01-31T09:00:00"), `must be a time such as 2026-01-31T09:00:00Z`},
		"a control character":           {with("b: string", `b: "a\u0000b"`), `must be a text`},
		"a cell of 5 KiB":               {with("b: string", "b: "+strings.Repeat("x", 5<<10)), `must be a text`},
		"a list as a cell":              {with("b: string", "b: [x]"), `must be a text`},
		"5,000 rows":                    {lookup("  key: k\n  columns: {k: int}\n  rows: [" + rows(tables.MaxRows) + "]\n"), ``},
		"5,001 rows":                    {lookup("  key: k\n  columns: {k: int}\n  rows: [" + rows(tables.MaxRows+1) + "]\n"), `a.yaml:7: error: too_large: a lookup has 5001 rows, more than 5000`},
		"every kind":                    {with("a: int, b: double, c: bool, d: decimal, e: time, f: string", `a: -5, b: 1, c: false, d: "12.50", e: 2026-01-31T09:00:00+01:00, f: ""`), ``},
		"a pool":                        {pool("weight: weight, capacity: capacity, calendar: hours"), ``},
		"an unknown key of a pool":      {pool("wieght: weight"), `unknown_key: pool has no key "wieght"`},
		"a pool by another column":      {pool("weight: wait"), `unknown_field: pool.weight names the column "wait", which the lookup has not`},
		"a pool by a text":              {pool("weight: hours"), `pool.weight needs a column of another kind than hours`},
		"a pool of numbers":             {lookup("  key: k\n  columns: {k: int}\n  rows: [{k: 1}]\n  pool: {}\n"), `the key of a pool names its members and must be a column of texts`},
		"a pool without hours":          {lookup(teamSpec + "  pool: {calendar: hours}\n"), `unknown_name: the member ann works by the calendar "office", which the bundle has not; the bundle has no calendar`},
		"a release of nothing":          {pool("release: {}"), `pool.release says nothing`},
		"a release without a key":       {pool("release: {on: [lead.lost]}"), `pool.release needs both on and key`},
		"a release after no time":       {pool("release: {after: 30 days}"), `pool.release.after: `},
		"a release by a wrong type":     {pool("release: {on: [Lead], key: data.lead_id}"), `"Lead" is not an event type`},
		"a release by a wrong word":     {pool("release: {on: [lead.lost], key: dat.lead_id}"), `undeclared reference to 'dat'`},
		"a follow without a member":     {pool("follow: {on: [lead.assigned]}"), `pool.follow needs the key "member"`},
		"a follow without a key":        {pool("follow: {on: [lead.assigned], member: data.owner_id}"), `pool.follow needs the key "key"`},
		"a release by a misspelt field": {pool("release: {on: [lead.lost], key: data.leed_id}"), `a.yaml:10:46: error: unknown_field: pool.release.key: data.leed_id: lead.lost has no such field; did you mean data.lead_id?`},
		"a release by no type":          {pool("release: {on: [lead.lots], key: data.lead_id}"), `unknown_type: pool: no schema has the type lead.lots; did you mean lead.lost?`},
		"a release by a number":         {pool("release: {on: [lead.scored], key: data.score}"), `not_assignable: pool.release.key gives int and must give string`},
		"a follow to a null":            {pool("follow: {on: [lead.assigned], key: data.lead_id, member: data.team}"), ``},
		"a weight below zero":           {append(lookup(strings.Replace(teamSpec, "weight: 3", "weight: -3", 1)+"  pool: {weight: weight}\n"), ofKind(tables.KindCalendar, "office", officeSpec)), `weight is -3 and must be 0 to 1000000`},
		"two files of one name":         {[]File{ofKind(tables.KindLookup, "a", teamSpec), {"b.yaml", ofKind(tables.KindCalendar, "a", officeSpec).Text}}, `duplicate_rule: the file a.yaml has a lookup of the name a already`},
		"a rule of the same name":       {append(lookup(teamSpec), File{"b.yaml", strings.ReplaceAll(file("a", "  on: [lead.created]\n  set: {a: '1'}\n").Text, "zzz", "")}), `duplicate_rule`},
		"a name with capitals":          {[]File{ofKind(tables.KindLookup, "A", teamSpec)}, `invalid_name`},
		"no version":                    {[]File{{"a.yaml", "kind: Lookup\nmetadata: {name: a}\nspec:\n" + teamSpec}}, `missing_key: the file needs the key "apiVersion"`},
		"another kind beside it":        {append(lookup(teamSpec), ofKind("Macro", "m", "  on: [lead.created]\n")), `kind is "Macro"; a file of a bundle has kind Rule, Lookup or Calendar`},
	} {
		problems := validated(t, catalogue, c.files...)
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
	catalogue := embeddedSchemas(t)
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
		problems := validated(t, catalogue, nurture(c.csv)...)
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
		if problems := validated(t, catalogue, c.files...); problems.Err() == nil || !strings.Contains(fmt.Sprint(problems), c.want) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}
