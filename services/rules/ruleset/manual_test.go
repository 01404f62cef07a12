package ruleset

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/tables"
	"github.com/neuronx/engine/services/rules/typecheck"
)

const manual = "../../../docs/rules.md"

func manualText(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// manualTable gives the cells of all tables of the manual that have this header, without the backquotes of code.
func manualTable(t *testing.T, header string) (rows [][]string) {
	t.Helper()
	inside := false
	for line := range strings.Lines(manualText(t)) {
		line = strings.TrimSpace(line)
		switch {
		case line == header:
			inside = true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.Trim(line, "| "), " | ")
			for i := range cells {
				cells[i] = strings.Trim(cells[i], "`")
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table %q", manual, header)
	}
	return rows
}

var tableHeader = regexp.MustCompile(`^[a-z_]+(,[a-z_]+)+$`)

// manualFiles are the files of the manual as one bundle: rules, lookups with their tables, and calendars.
func manualFiles(t *testing.T) (files []File) {
	t.Helper()
	var block []string
	table := ""
	for line := range strings.Lines(manualText(t) + "\nend") {
		line = strings.TrimRight(line, "\n")
		if code, indented := strings.CutPrefix(line, "    "); indented {
			block = append(block, code)
			continue
		}
		text := strings.Join(block, "\n") + "\n"
		switch {
		case len(block) > 0 && strings.HasPrefix(block[0], "apiVersion:") && !slices.Contains(block, "kind: "+KindTest): // package simulate runs those
			f := File{fmt.Sprintf("%d.yaml", len(files)+1), text}
			files = append(files, f)
			if name := tables.Named(f.Name, f.Text); name != "" {
				table = name
			}
		case len(block) > 0 && tableHeader.MatchString(block[0]):
			files = append(files, File{table, text})
		}
		block = nil
	}
	return files
}

func TestManual_EveryFileIsValidWithoutAWarning(t *testing.T) {
	files := manualFiles(t)
	if len(files) < 9 {
		t.Fatalf("found %d files", len(files))
	}
	for _, p := range validated(t, embeddedSchemas(t), files...) {
		t.Error(p)
	}
}

func TestManual_EveryExpressionGivesWhatItSays(t *testing.T) {
	value, err := expr.ParseDecimal("12500.50")
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{
		"data": map[string]any{"email": "Ada@Example.com", "phone": nil, "channel": "paid search", "tags": []any{"vip", "eu"},
			"score": int64(50), "value": value},
		"event": map[string]any{"time": time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC)},
		"state": map[string]any{"touches": int64(2)},
	}
	set, problems := Compile(manualFiles(t))
	if set == nil {
		t.Fatal(problems)
	}
	set.Reference().Bind(vars)
	rows := manualTable(t, "| expression | gives |")
	for _, row := range rows {
		p, err := expr.CompileIn(editionOf(Semantics), row[0], variables...)
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		got, err := p.Eval(vars)
		if err != nil {
			t.Errorf("%s: %v", row[0], err)
			continue
		}
		if text := rendered(t, got); text != row[1] {
			t.Errorf("%s gives %s, the manual says %s", row[0], text, row[1])
		}
	}
}

func rendered(t *testing.T, v any) string {
	t.Helper()
	if d, ok := v.(expr.Decimal); ok {
		return string(d)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), `","`, `", "`)
}

func TestManual_EveryRefusalIsOne(t *testing.T) {
	for _, row := range manualTable(t, "| written | refused, because |") {
		when, err := json.Marshal(row[0])
		if err != nil {
			t.Fatal(err)
		}
		problems := validated(t, embeddedSchemas(t), append(slices.DeleteFunc(manualFiles(t), isRule), File{"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [opportunity.created]\n  when: " +
			string(when) + "\n  set: {seen: 'true'}\n"})...)
		words := strings.TrimSuffix(row[1], "…")
		if problems.Err() == nil || !slices.ContainsFunc(problems, func(p rulefile.Problem) bool { return !p.Warning && strings.Contains(p.Message, words) }) {
			t.Errorf("%s: %v, the manual says %q", row[0], problems, row[1])
		}
	}
}

func isRule(f File) bool { return strings.Contains(f.Text, "kind: Rule\n") }

func TestManual_LimitsAreThoseOfTheEngine(t *testing.T) {
	want := map[string]string{
		"a file":                                  kib(rulefile.MaxFile),
		"all files of a tenant":                   kib(MaxBundle),
		"files of a tenant":                       number(MaxFiles),
		"expressions of a tenant's rules":         number(rulefile.MaxExpressions),
		"an expression":                           kib(expr.MaxSource),
		"rows of a lookup, columns, a text in it": number(tables.MaxRows) + ", " + number(tables.MaxColumns) + " and " + kib(tables.MaxCell),
		"cost of an expression, of a rule, of all rules of an event": number(expr.CostLimit) + ", " + number(RuleCost) + " and " + number(EventCost) + " units",
		"a field that an expression reads":                           kib(expr.MaxText) + " of text, " + number(expr.MaxValues) + " values",
	}
	got := map[string]string{}
	for _, row := range manualTable(t, "| what | at most |") {
		got[row[0]] = row[1]
	}
	for what, most := range want {
		if got[what] != most {
			t.Errorf("%s: the manual says %q, the engine %q", what, got[what], most)
		}
	}
	text := manualText(t)
	for _, words := range []string{
		fmt.Sprintf("event types that it hears, at most %d;", MaxTriggers), fmt.Sprintf("events to derive, at most %d,", MaxEmit),
		fmt.Sprintf("about the event's subject, at most %d keys", MaxSet), fmt.Sprintf("`%s`", strings.Join(expr.EventFields()[:1], "")),
	} {
		if !strings.Contains(text, words) {
			t.Errorf("the manual does not say %q", words)
		}
	}
	for _, f := range expr.EventFields() {
		if !strings.Contains(text, "`"+f+"`") {
			t.Errorf("the manual does not name event.%s", f)
		}
	}
}

func kib(n int) string { return fmt.Sprintf("%d KiB", n>>10) }

// number writes thousands as the manual does: 10,000.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func TestManual_ListsTheTypesOfTheCatalogue(t *testing.T) {
	catalogue := embeddedSchemas(t)
	got := map[string]string{}
	for _, row := range manualTable(t, "| type | fields |") {
		got[row[0]] = strings.ReplaceAll(row[1], "`", "")
	}
	engine := regexp.MustCompile(`^(engine|tenant|rules|subject)\.|\.(succeeded|failed)$`)
	for typ, n := range catalogue.(embedded) {
		if engine.MatchString(typ) || unheard(typ) {
			continue
		}
		rec, err := typecheck.NewSchemas(catalogue).Find(t.Context(), n.schema.EventType())
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, f := range rec.Fields {
			name := f.Name
			if f.Nullable() {
				name += "?"
			}
			fields = append(fields, name)
		}
		want := strings.Join(fields, ", ")
		if got[typ] != want {
			t.Errorf("| `%s` | %s |", typ, want)
		}
		delete(got, typ)
	}
	for typ := range got {
		t.Errorf("the manual lists %s, which no schema has", typ)
	}
}
