package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
)

func validated(t *testing.T, catalogue typecheck.Catalogue, files ...File) rulefile.Problems {
	t.Helper()
	problems, err := Validate(t.Context(), files, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

func TestValidate_ChecksExpressionsAgainstTheTypesOfTheEventsHeard(t *testing.T) {
	rule := func(on, when, rest string) File {
		return File{"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [" + on + "]\n  when: " + when + "\n  " + rest + "\n"}
	}
	assign := "emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: \"'x'\"}}]"
	for name, c := range map[string]struct {
		file File
		want string // line:column, level, code and words; empty: no problem at all
	}{
		"a number as a text":           {rule("lead.scored", `data.score >= "50"`, assign), `r.yaml:6:20: error: type_mismatch: when: >= does not take an integer and a text; data.score is a number: write 50 without quotes`},
		"in quotes of YAML":            {rule("lead.scored", `'data.score >= "50"'`, assign), `r.yaml:6:21: error: type_mismatch`},
		"in a block":                   {rule("lead.scored", "|\n    true &&\n    data.score >= \"50\"", assign), `r.yaml:8:16: error: type_mismatch`},
		"money as a text":              {rule("opportunity.created", `data.value > "10000"`, "set: {a: '1'}"), `r.yaml:6:20: error: type_mismatch: when: > does not take a decimal and a text; data.value is a number: write 10000 without quotes`},
		"money equal to a text":        {rule("opportunity.created", `data.value == "9000"`, "set: {a: '1'}"), `write 9000 without quotes`},
		"money as money":               {rule("opportunity.created", `data.value != null && data.value > 10000`, "set: {a: data.value * 1.1}"), ``},
		"a misspelt field":             {rule("lead.scored", `data.scor > 5`, assign), `r.yaml:6:13: error: unknown_field: when: data.scor: lead.scored has no such field; did you mean data.score?`},
		"a misspelt field in brackets": {rule("lead.scored", `data["scor"] > 5`, assign), `did you mean data.score?`},
		"a misspelt field in has":      {rule("lead.scored", `has(data.scor)`, assign), `error: unknown_field: when: data.scor`},
		"a misspelt zone":              {rule("lead.scored", `event.time.getHours("America/NewYork") > 9`, assign), `r.yaml:6:29: error: invalid_expression: when: no time zone "America/NewYork"; did you mean "America/New_York"?`},
		"a misspelt key of state":      {rule("lead.scored", `has(state.sen) && state.sen == 1`, "set: {seen: '1'}"), `r.yaml:6:12: error: state_unset: when: state.sen: no rule of the bundle sets it; did you mean state.seen?`},
		"a key of state without has":   {rule("lead.scored", `state.seen == 1`, "set: {seen: '1'}"), `warning: nullable: when: state.seen may be absent`},
		"a key of state with has":      {rule("lead.scored", `'!has(state.seen)'`, "set: {seen: '1'}"), ``},
		"a null that is not tested":    {rule("lead.created", `data.phone.startsWith("+1")`, assign), `r.yaml:6:13: warning: nullable: when: data.phone may be null`},
		"a null that is tested":        {rule("lead.created", `data.phone != null && data.phone.startsWith("+1")`, assign), ``},
		"a null in what is derived":    {rule("lead.created", `data.phone != null`, "emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: data.owner_id}}]"), `warning: nullable: lead.assigned.owner_id must not be null and data.owner_id may be`},
		"a null as a subject":          {rule("lead.created", `true`, "emit: [{type: lead.lost, subject: data.email, data: {lead_id: data.lead_id}}]"), `r.yaml:7: warning: nullable: the subject of lead.lost must be a text and data.email may be null`},
		"a null tested, as a subject":  {rule("lead.created", `data.email != null`, "emit: [{type: lead.lost, subject: data.email, data: {lead_id: data.lead_id}}]"), ``},
		"a test before what derives":   {rule("lead.created", `data.owner_id != null`, "emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: data.owner_id}}]"), ``},
		"a text for a number":          {rule("lead.created", `true`, "emit: [{type: lead.scored, data: {lead_id: data.lead_id, score: data.lead_id}}]"), `error: not_assignable: lead.scored.score is int and can't take string`},
		"a condition that is a text":   {rule("lead.created", `data.lead_id`, assign), `error: not_assignable: when gives string and must give bool`},
		"a field of one of two types":  {rule("lead.created, lead.scored", `data.score > 5`, assign), `warning: nullable: when: data.score may be absent, and the rule fails on the event then: test it first, as in has(data.score) && … (on lead.created)`},
		"of one of two types, tested":  {rule("lead.created, lead.scored", `has(data.score) && data.score > 5`, assign), ``},
		"of one of two types, by type": {rule("lead.created, lead.scored", `event.type == "lead.scored" && data.score > 5`, assign), ``},
		"wrong on one of two types":    {rule("lead.created, lead.scored", `has(data.score) && data.score > "5"`, assign), `error: type_mismatch`},
		"a constant division by zero":  {rule("lead.scored", `true`, "set: {a: 1 / 0}"), `r.yaml:7:14: error: invalid_expression: set.a: division by zero: the expression fails whenever this is calculated`},
		"a division by zero":           {rule("lead.scored", `data.score / 0 > 1`, assign), `r.yaml:6:20: error: invalid_expression: when: division by zero`},
		"a remainder of zero":          {rule("lead.scored", `data.score % 0 == 1`, assign), `error: invalid_expression: when: division by zero`},
		"money divided by zero":        {rule("opportunity.won", `data.value != null`, "set: {a: data.value / 0}"), `error: invalid_expression: set.a: division by zero`},
		"zero where none divides":      {rule("lead.scored", `data.score > 0 && 0 / data.score == 0`, assign), ``},
		"an infinite number compared":  {rule("lead.scored", `double(data.score) < 1.0 / 0.0`, assign), ``},
		"a constant out of bounds":     {rule("lead.scored", `true`, `set: {a: "[1][5]"}`), `error: invalid_expression: set.a: it fails whatever the event holds: missing_key: index out of bounds`},
		"a constant that overflows":    {rule("lead.scored", `9223372036854775807 + 1 > 0`, assign), `error: invalid_expression: when: it fails whatever the event holds: arithmetic: overflow`},
		"a constant that is no number": {rule("lead.scored", `true`, `set: {a: "int('x')"}`), `error: invalid_expression: set.a: it fails whatever the event holds`},
		"a decimal into a decimal":     {rule("opportunity.won", `data.value != null`, "emit: [{type: opportunity.created, data: {opportunity_id: data.opportunity_id, value: data.value * 1.1}}]"), ``},
		"a text into a decimal":        {rule("opportunity.won", `data.value != null`, "emit: [{type: opportunity.created, data: {opportunity_id: data.opportunity_id, value: string(double(data.value) * 1.1)}}]"), `warning: not_assignable: opportunity.created.value is a decimal and is given a text`},
		"a decimal into a text":        {rule("opportunity.won", `data.value != null`, "emit: [{type: opportunity.created, data: {opportunity_id: data.opportunity_id, name: data.value}}]"), `opportunity.created.name is null or string and can't take`},
	} {
		problems := validated(t, embeddedSchemas(t), c.file)
		problems = slices.DeleteFunc(problems, func(p rulefile.Problem) bool { return p.Code == rulefile.CodeLoop })
		if c.want == "" && len(problems) > 0 || c.want != "" && !strings.Contains(fmt.Sprint(problems), c.want) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}

func TestValidate_KnowsListsRecordsEnumsAndTimes(t *testing.T) {
	schema, err := avro.Parse([]byte(`{"type": "record", "namespace": "x", "name": "Visited", "event_type": "site.visited", "fields": [
		{"name": "id", "type": "string"}, {"name": "plan", "type": {"type": "enum", "name": "Plan", "symbols": ["free", "paid"]}},
		{"name": "tags", "type": {"type": "array", "items": "string"}}, {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": null},
		{"name": "place", "type": {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}, {"name": "fee", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}},
		{"name": "either", "type": ["null", "string", "long"], "default": null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	catalogue := embedded{"site.visited": numbered{1, schema}}
	for when, want := range map[string]string{
		`data.plan == "payd"`: `did you mean "paid"?`, `data.plan in ["free", "paid"]`: "", `data.tags.exists(t, t > 5)`: "type_mismatch", `data.tags.exists(t, t == "a")`: "",
		`data.place.cty == "x"`: "did you mean data.place.city?", `data.place.fee > "5"`: "write 5 without quotes", `data.place.fee >= 5 && data["place"]["city"] != ""`: "",
		`event.origin == "Live"`: `did you mean "live"?`, `event.origin == "import"`: "", `event.origin in ["live", "imports"]`: `did you mean "import"?`,
		`event.type == "site.visted"`: `did you mean "site.visited"?`, `event.type == "site.visited"`: "",
		`data.at != null && event.time - data.at > duration("1h")`: "", `data.at > event.time`: "data.at may be null", `data.either == 5 || data.either == "x"`: "",
	} {
		problems := validated(t, catalogue, file("r", "  on: [site.visited]\n  when: >-\n    "+when+"\n  set: {a: '1'}\n"))
		if want == "" && len(problems) > 0 || want != "" && !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v, want %s", when, problems, want)
		}
	}
}

// What was published under older semantics is only ever compiled, never checked again: it must go on as it is.
func TestCompileFor_TakesWhatOlderSemanticsTook(t *testing.T) {
	f := file("r", "  on: [opportunity.created]\n  when: data.value > \"10000\" && event.time.getHours(\"America/NewYork\") > state.nothing\n  set: {a: data.value}\n")
	for semantics := int64(1); semantics <= 2; semantics++ {
		set, problems := CompileFor(semantics, []File{f}, nil)
		if set == nil || set.Semantics != semantics {
			t.Errorf("semantics %d: %v", semantics, problems)
		}
	}
	if set, problems := CompileFor(plainSemantics, []File{f}, nil); set != nil || !strings.Contains(fmt.Sprint(problems), "America/New_York") {
		t.Errorf("a zone that does not exist was accepted: %v", problems)
	}
	old, _ := CompileFor(2, []File{file("a", emits("lead.lost", "lead.updated"))}, nil)
	now, _ := CompileFor(3, []File{file("a", emits("lead.lost", "lead.updated"))}, nil)
	if old.Hash != now.Hash || old.Key() == now.Key() {
		t.Errorf("sets of two languages are taken for one another: %s and %s", old.Key(), now.Key())
	}
}

func TestValidate_TheDemoRulesHaveNoProblem(t *testing.T) {
	files, err := Load("../../neuronx/demo/rules")
	if err != nil {
		t.Fatal(err)
	}
	if problems := validated(t, embeddedSchemas(t), files...); len(problems) > 0 {
		t.Errorf("%v", problems)
	}
}
