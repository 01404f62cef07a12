package simulate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/ruleset"
)

const lead7 = `{type: lead.created, data: {lead_id: "7"}}`

func TestRead_RefusesWithLineAndReason(t *testing.T) {
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	for name, c := range map[string]struct {
		spec string
		line int
		want string
	}{
		"no start":              {"steps: [{event: " + lead7 + ", expect: []}]", 6, `spec needs the key "start"`},
		"no steps":              {start, 6, `spec needs the key "steps"`},
		"misspelt key":          {start + "stpes: []", 7, `spec has no key "stpes"`},
		"empty steps":           {start + "steps: []", 7, "steps is an empty list"},
		"steps is a map":        {start + "steps: {a: 1}", 7, "steps must be a list"},
		"a step is a text":      {start + "steps: [x]", 7, "each entry of steps must be a map"},
		"nothing to fail":       {start + "steps: [{event: " + lead7 + "}]", 7, "the test can't fail"},
		"an empty step":         {start + "steps: [{}, {state: {subject: a/1, values: {b: 1}}}]", 7, "the step does nothing"},
		"two actions":           {start + "steps: [{event: " + lead7 + ", advance: P1D, expect: []}]", 7, "this one has event and advance; write two steps"},
		"expect of nothing":     {start + "steps: [{expect: []}]", 7, "nothing happens in this step"},
		"a time without zone":   {"start: 2026-03-02T09:00:00\nsteps: [{event: " + lead7 + ", expect: []}]", 6, "a time with its zone"},
		"a day":                 {"start: 2026-03-02\nsteps: [{event: " + lead7 + ", expect: []}]", 6, "a time with its zone"},
		"an empty time":         {"start:\nsteps: [{event: " + lead7 + ", expect: []}]", 6, "start must be a time"},
		"a time too early":      {"start: 1900-03-02T09:00:00Z\nsteps: [{event: " + lead7 + ", expect: []}]", 6, "must lie between"},
		"the clock backwards":   {start + "steps:\n  - {advance: P1D}\n  - {advance_to: 2026-03-03T08:59:59-05:00, expect: []}", 9, "the clock stands at 2026-03-03T14:00:00Z already"},
		"the clock still":       {start + "steps: [{advance_to: 2026-03-02T09:00:00-05:00, expect: []}]", 7, "it only goes forward"},
		"no time passes":        {start + "steps: [{advance: PT0S, expect: []}]", 7, "no time passes"},
		"a month":               {start + "steps: [{advance: P1M, expect: []}]", 7, "use advance_to"},
		"Go's duration":         {start + "steps: [{advance: 2h, expect: []}]", 7, "does not begin with P"},
		"minus":                 {start + "steps: [{advance: -P1D, expect: []}]", 7, "has a sign"},
		"a T alone":             {start + "steps: [{advance: P1DT, expect: []}]", 7, "has nothing after its T"},
		"a nanosecond":          {start + "steps: [{advance: PT0.000000001S, expect: []}]", 7, "a part of a millisecond"},
		"too long":              {start + "steps: [{advance: P9999D, expect: []}]", 7, "more than 400 days"},
		"far too long":          {start + "steps: [{advance: P99999WT9999999H, expect: []}]", 7, "advance:"},
		"an unknown type":       {start + "steps: [{event: {type: lead.craeted, data: {}}, expect: []}]", 7, "no schema has the type lead.craeted; did you mean lead.created?"},
		"a type of the engine":  {start + "steps: [{event: {type: engine.rule.reset, data: {}}, expect: []}]", 7, "the engine makes it itself"},
		"a published set":       {start + "steps: [{event: {type: rules.published, data: {}}, expect: []}]", 7, "the engine makes it itself"},
		"a misspelt field":      {start + "steps:\n  - event:\n      type: lead.created\n      data:\n        lead_id: \"7\"\n        emial: x\n    expect: []", 12, "the data does not fit lead.created: emial"},
		"a missing field":       {start + "steps: [{event: {type: lead.created, data: {}}, expect: []}]", 7, "lead_id"},
		"a number for a text":   {start + "steps: [{event: {type: lead.created, data: {lead_id: 7}}, expect: []}]", 7, "lead_id must be"},
		"an endless number":     {start + "steps: [{event: {type: lead.scored, data: {lead_id: \"7\", score: .inf}}, expect: []}]", 7, "no such number"},
		"no data":               {start + "steps: [{event: {type: lead.created}, expect: []}]", 7, `needs the key "data"`},
		"an empty subject":      {start + "steps: [{event: {type: lead.created, subject: \"\", data: {lead_id: \"7\"}}, expect: []}]", 7, "the subject is empty"},
		"a hostile subject":     {start + "steps: [{event: {type: lead.created, subject: \"a\\u0007b\", data: {lead_id: \"7\"}}, expect: []}]", 7, "no event can be like that"},
		"an echo":               {start + "steps: [{event: {type: lead.created, origin: echo, data: {lead_id: \"7\"}}, expect: []}]", 7, "no origin"},
		"expect is a map":       {start + "steps: [{event: " + lead7 + ", expect: {type: lead.scored}}]", 7, "expect must be a list"},
		"an unknown expected":   {start + "steps: [{event: " + lead7 + ", expect: [{type: lead.scord}]}]", 7, "did you mean lead.scored?"},
		"a field that never is": {start + "steps: [{event: " + lead7 + ", expect: [{type: lead.scored, data: {scor: 1}}]}]", 7, "no lead.scored has such data: scor"},
		"a value that never is": {start + "steps: [{event: " + lead7 + ", expect: [{type: lead.scored, data: {score: \"50\"}}]}]", 7, "no lead.scored has such data: score"},
		"a null that never is":  {start + "steps: [{event: " + lead7 + ", expect: [{type: lead.scored, data: {score: null}}]}]", 7, "no lead.scored has such data: score"},
		"expected data empty":   {start + "steps: [{event: " + lead7 + ", expect: [{type: lead.scored, data: {}}]}]", 7, "data is an empty map"},
		"state without values":  {start + "steps: [{event: " + lead7 + ", state: {subject: lead/7}}]", 7, `state needs the key "values"`},
		"state of nothing":      {start + "steps: [{event: " + lead7 + ", state: {subject: lead/7, values: {}}}]", 7, "values is an empty map"},
		"an unknown result":     {start + "steps: [{outcome: {of: crm.note.add, result: done}, expect: []}]", 7, "there are succeeded, failed, and none"},
		"a command's ending":    {start + "steps: [{outcome: {of: crm.note.add.requested, result: failed}, expect: []}]", 7, "without its ending"},
		"no such command":       {start + "steps: [{outcome: {of: crm.note.ad, result: failed}, expect: []}]", 7, "no schema has the type crm.note.ad.requested"},
		"an unknown rule":       {"rules: [scor]\n" + start + "steps: [{event: " + lead7 + ", expect: []}]", 6, `no rule has the name "scor"; did you mean score?`},
		"no rules":              {"rules: []\n" + start + "steps: [{event: " + lead7 + ", expect: []}]", 6, "rules is an empty list"},
		"an alias":              {start + "steps: &a [{event: " + lead7 + ", expect: []}]", 7, "anchors and aliases are not read"},
		"ten thousand steps":    {start + "steps: [" + many(10_000, "{}, ") + "{}]", 7, "steps has 10001 entries, more than 1000"},
		"many givens":           {start + "given: [" + many(200, "{}, ") + "{}]\nsteps: [{expect: []}]", 7, "given has 201 entries"},
		"many expected":         {start + "steps: [{event: " + lead7 + ", expect: [" + many(200, "{}, ") + "{}]}]", 7, "expect has 201 entries"},
		"deep":                  {start + "steps: [{event: {type: lead.created, data: {lead_id: " + many(40, "[") + many(40, "]") + "}}}]", 7, "deep"},
	} {
		tests, problems, err := Read(t.Context(), []ruleset.File{testFile("one", c.spec)}, []string{"score"}, schemas(t))
		found := false
		for _, p := range problems {
			found = found || p.Line == c.line && strings.Contains(p.Message, c.want) && p.Code != "" && p.File == "one_test.yaml"
		}
		if err != nil || tests != nil || !found {
			t.Errorf("%s: %v, line %d %q not among:\n%v", name, err, c.line, c.want, problems.Err())
		}
	}
}

func TestRead_RefusesFilesThatAreNoTests(t *testing.T) {
	good := testFile("one", start+"steps: [{event: "+lead7+", expect: []}]")
	for name, f := range map[string]ruleset.File{
		"too large": {Name: "a_test.yaml", Text: good.Text + strings.Repeat("#", 64<<10)}, "empty": {Name: "a_test.yaml"}, "another kind": {Name: "a_test.yaml", Text: strings.Replace(good.Text, "RuleTest", "Rule", 1)},
		"another version": {Name: "a_test.yaml", Text: strings.Replace(good.Text, "v1", "v2", 1)}, "two documents": {Name: "a_test.yaml", Text: good.Text + "---\n" + good.Text},
		"a name of its own kind": {Name: "a_test.yaml", Text: strings.Replace(good.Text, "name: one", "name: One two", 1)}, "no name": {Name: "a_test.yaml", Text: strings.Replace(good.Text, "  name: one", "  nmae: one", 1)},
		"a tab": {Name: "a_test.yaml", Text: strings.Replace(good.Text, "  name", "\tname", 1)}, "bytes": {Name: "a_test.yaml", Text: "\xff\xfe"},
	} {
		if tests, problems, err := Read(t.Context(), []ruleset.File{f}, nil, schemas(t)); err != nil || tests != nil || problems.Err() == nil {
			t.Errorf("%s: %v %v", name, err, problems)
		}
	}
	if _, problems, _ := Read(t.Context(), []ruleset.File{good, {Name: "b_test.yaml", Text: good.Text}}, nil, schemas(t)); problems.Err() == nil || !strings.Contains(problems[0].Message, "one_test.yaml has a test of the name one") {
		t.Errorf("two tests of a name: %v", problems)
	}
}

// FuzzRead: whatever a file holds, it is a test that runs to its end, or a list of problems.
func FuzzRead(f *testing.F) {
	for _, spec := range []string{
		start + "steps: [{event: " + lead7 + ", expect: [{type: lead.scored, data: {score: 1}}]}]",
		start + "given: [" + lead7 + "]\nsteps:\n  - {outcome: {of: crm.note.add, result: failed, data: {code: x}}, expect: []}\n  - {advance: P1D}\n  - {advance_to: 2027-01-01T00:00:00Z, state: {subject: lead/7, values: {touches: [1, {a: 0x10}]}}}",
		start + "steps: [{event: {type: lead.scored, data: {lead_id: \"7\", score: 1e999999999}}, state: {subject: a, values: {a: 1e999999999}}}]",
	} {
		f.Add(testFile("one", spec).Text)
	}
	reg := schemas(f)
	bundle := []ruleset.File{score, qualify}
	f.Fuzz(func(t *testing.T, text string) {
		tests, problems, err := Read(t.Context(), []ruleset.File{{Name: "a_test.yaml", Text: text}}, []string{"score", "qualify"}, reg)
		if err != nil || (tests == nil) != (problems.Err() != nil) {
			t.Fatal(err, problems)
		}
		report, err := Run(t.Context(), tests, bundle, reg)
		if err != nil {
			t.Fatal(err)
		}
		_ = lines(report)
	})
}

func TestParseDuration_CountsElapsedTime(t *testing.T) {
	for text, want := range map[string]string{"PT15M": "15m0s", "P1D": "24h0m0s", "P1W": "168h0m0s", "P1DT2H3M4S": "26h3m4s", "PT36H": "36h0m0s", "P400D": "9600h0m0s", "PT1.5S": "1.5s"} {
		if d, err := parseDuration(text); err != nil || fmt.Sprint(d) != want {
			t.Errorf("%s: %v %v", text, d, err)
		}
	}
}
