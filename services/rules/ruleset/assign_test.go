package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/tables"
)

const assignSpec = `  on: [lead.created]
  key: data.lead_id
  assign: {pool: team, as: owner, except: 'has(state.owner) ? [state.owner] : []', or: '"manager"'}
  emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: vars.owner}}]
  set: {owner: vars.owner}
`

const windowsSpec = `  on: [activity.recorded]
  windows:
    calls: {on: [activity.recorded], when: data.kind == "call", over: P7D, distinct: data.channel}
    all: {on: [activity.recorded, lead.updated], over: PT90M}
  when: windows.calls.count > 3 && windows.calls.distinct > 1 && windows.all.rate < 2.5
  set: {calls: windows.calls.count}
`

func people(spec string) []File {
	return []File{file("a", spec), ofKind(tables.KindLookup, "team", teamSpec+poolSpec), ofKind(tables.KindCalendar, "office", officeSpec)}
}

func TestValidate_NamesWhatIsWrongWithAssignAndWindows(t *testing.T) {
	catalogue := embeddedSchemas(t)
	assign := func(from, to string) []File { return people(strings.Replace(assignSpec, from, to, 1)) }
	count := func(from, to string) []File { return people(strings.Replace(windowsSpec, from, to, 1)) }
	many := func(n int) (s string) {
		for i := range n {
			s += fmt.Sprintf("    w%d: {on: [lead.updated], over: P1D}\n", i)
		}
		return s
	}
	for name, c := range map[string]struct {
		files []File
		want  string // empty: no problem
	}{
		"an assign":                 {people(assignSpec), ``},
		"an assign and no more":     {assign(", except: 'has(state.owner) ? [state.owner] : []', or: '\"manager\"'", ""), ``},
		"an assign without a key":   {assign("  key: data.lead_id\n", ""), `a.yaml:7: warning: claim: assign: without a key the member gets the event's subject, such as lead/42, and release of the pool team looks for data.lead_id`},
		"a key that is the subject": {assign("key: data.lead_id", "key: event.subject"), `a.yaml:8: warning: claim: assign: without a key the member gets the event's subject`},
		"a pool that finds subjects": {[]File{file("a", strings.Replace(assignSpec, "  key: data.lead_id\n", "", 1)), ofKind(tables.KindLookup, "team", teamSpec+`  pool:
    release: {on: [lead.lost], key: '"lead/" + data.lead_id'}
`)}, ``},
		"a pool that time releases":      {[]File{file("a", strings.Replace(assignSpec, "  key: data.lead_id\n", "", 1)), ofKind(tables.KindLookup, "team", teamSpec+"  pool: {release: {after: P30D}}\n")}, ``},
		"windows":                        {people(windowsSpec), ``},
		"assign as a text":               {assign("{pool: team, as: owner, except: 'has(state.owner) ? [state.owner] : []', or: '\"manager\"'}", "team"), `a.yaml:8: error: wrong_kind: assign must be a map with the keys pool, as, except, or`},
		"an assign without a pool":       {assign("pool: team, ", ""), `a.yaml:8: error: missing_key: assign needs the key "pool"`},
		"an assign without a variable":   {assign("as: owner, ", ""), `missing_key: assign needs the key "as"`},
		"a misspelt key of assign":       {assign("except:", "excepts:"), `a.yaml:8: error: unknown_key: assign has no key "excepts"; known are pool, as, except, or`},
		"a misspelt pool":                {assign("pool: team", "pool: taem"), `a.yaml:8: error: unknown_name: assign.pool: the bundle has no pool taem; did you mean team?`},
		"a pool that is a plain lookup":  {[]File{file("a", assignSpec), ofKind(tables.KindLookup, "team", teamSpec)}, `unknown_name: assign.pool: the bundle has no pool team; it has no pool; add one to a file of the kind Lookup`},
		"a pool with capitals":           {assign("pool: team", "pool: Team"), `invalid_name: assign.pool is "Team"`},
		"a variable with capitals":       {assign("as: owner", "as: Owner"), `invalid_name: assign.as is "Owner"`},
		"a misspelt variable":            {assign("owner_id: vars.owner", "owner_id: vars.ownr"), `a.yaml:9:76: error: unknown_field: data.owner_id: vars.ownr: vars has no such field; did you mean vars.owner?`},
		"the member in the condition":    {assign("  key:", "  when: vars.owner != \"x\"\n  key:"), `undeclared reference to 'vars'`},
		"vars without assign":            {people("  on: [lead.created]\n  set: {a: vars.owner}\n"), `undeclared reference to 'vars'`},
		"a key that is a number":         {assign("key: data.lead_id", "key: size(data.lead_id)"), `a.yaml:7: error: not_assignable: key gives int and must give string`},
		"a key that may be null":         {assign("key: data.lead_id", "key: data.email"), `a.yaml:7: warning: nullable: key must be a text and data.email may be null`},
		"a key without assign":           {people(windowsSpec + "  key: data.lead_id\n"), `no_effect: key says to what assign gives a member, and the rule has no assign; leave it out`},
		"an except that is a text":       {assign("'has(state.owner) ? [state.owner] : []'", "'\"ann\"'"), `a.yaml:8: error: not_assignable: assign.except gives string and must give a list of members`},
		"an or that is a number":         {assign("'\"manager\"'", "'7'"), `a.yaml:8: error: not_assignable: assign.or gives int and must give string`},
		"an or without quotes":           {assign("'\"manager\"'", "manager"), `undeclared reference to 'manager'`},
		"an assign that nobody hears of": {people("  on: [lead.created]\n  assign: {pool: team, as: owner}\n"), `no_effect: the rule does nothing; add emit or set`},
		"a misspelt key of the rule":     {assign("assign:", "assigned:"), `unknown_key: spec has no key "assigned"; known are on, origins, when, emit, set, key, assign, windows`},

		"windows as a list":                  {count("windows:\n    calls: {on", "windows:\n    - {on"), `invalid_yaml`},
		"no window":                          {people("  on: [lead.created]\n  windows: {}\n  set: {a: '1'}\n"), `a.yaml:7: error: empty: windows is an empty map; leave it out or name a window`},
		"a window without a length":          {count(", over: P7D", ""), `a.yaml:8: error: missing_key: windows.calls needs the key "over"`},
		"a window of nothing":                {count("all: {on: [activity.recorded, lead.updated], over: PT90M}", "all: {over: PT90M}"), `a.yaml:9: error: missing_key: windows.all needs the key "on"`},
		"a misspelt key of a window":         {count("distinct:", "disctinct:"), `unknown_key: windows.calls has no key "disctinct"; known are on, over, when, distinct`},
		"a length in words":                  {count("P7D", "7 days"), `a.yaml:8: error: duration: windows.calls.over: `},
		"a length in months":                 {count("P7D", "P1M"), `windows.calls.over is P1M, and months are not equally long; write days, as in P30D`},
		"a length of a second":               {count("P7D", "PT1S"), `windows.calls.over is PT1S and must be PT1M to P400D`},
		"a length of two years":              {count("P7D", "P800D"), `windows.calls.over is P800D and must be PT1M to P400D`},
		"a window with capitals":             {count("calls:", "Calls:"), `invalid_name: the name "Calls" of a window`},
		"a misspelt type":                    {count("lead.updated", "lead.updatd"), `a.yaml:9: error: unknown_type: windows.all.on: no schema has the type lead.updatd; did you mean lead.updated?`},
		"a type of the engine":               {count("lead.updated", "engine.rule.failed"), `reserved_trigger: no rule may listen to engine.rule.failed`},
		"a type that tells of timers":        {count("lead.updated", "timer.fired"), `reserved_trigger: windows.all.on: no rule may listen to timer.fired`},
		"a type twice":                       {count("lead.updated", "activity.recorded"), `duplicate_key: activity.recorded stands twice`},
		"a misspelt field":                   {count("data.kind ==", "data.knd =="), `a.yaml:8:48: error: unknown_field: windows.calls.when: data.knd: activity.recorded has no such field; did you mean data.kind?`},
		"a condition that is a text":         {count(`when: data.kind == "call"`, "when: data.kind"), `not_assignable: windows.calls.when gives string and must give bool`},
		"state in a window":                  {count(`when: data.kind == "call"`, "when: state.calls > 1"), `undeclared reference to 'state'`},
		"a window in a window":               {count(`when: data.kind == "call"`, "when: windows.all.count > 1"), `undeclared reference to 'windows'`},
		"a misspelt window":                  {count("windows.calls.count > 3", "windows.cals.count > 3"), `a.yaml:10:16: error: unknown_field: when: windows.cals: windows has no such field; did you mean windows.calls?`},
		"a misspelt count":                   {count("windows.calls.count > 3", "windows.calls.cuont > 3"), `windows.calls has no such field; did you mean windows.calls.count?`},
		"distinct of a window that has none": {count("windows.all.rate < 2.5", "windows.all.distinct < 2"), `windows.all has no such field`},
		"a count as a text":                  {count("windows.calls.count > 3", `windows.calls.count > "3"`), `type_mismatch`},
		"windows without one":                {people("  on: [lead.created]\n  when: windows.calls.count > 1\n  set: {a: '1'}\n"), `undeclared reference to 'windows'`},
		"five windows of a rule":             {people("  on: [lead.created]\n  windows:\n" + many(5) + "  set: {a: '1'}\n"), `a.yaml:8: error: too_large: windows has 5 entries, more than 4`},
		"seventeen windows of a bundle":      {append(people("  on: [lead.created]\n  windows:\n"+many(4)+"  set: {a: '1'}\n"), file("b", "  on: [lead.created]\n  windows:\n"+many(4)+"  set: {b: '1'}\n"), file("c", "  on: [lead.created]\n  windows:\n"+many(4)+"  set: {c: '1'}\n"), file("d", "  on: [lead.created]\n  windows:\n"+many(4)+"  set: {d: '1'}\n"), file("e", "  on: [lead.created]\n  windows:\n"+many(1)+"  set: {e: '1'}\n")), `the bundle: error: too_large: the rules have 17 windows, more than 16`},
	} {
		problems := validated(t, catalogue, c.files...)
		if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) == 0 || !strings.Contains(fmt.Sprint(problems), c.want)) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
		if strings.Contains(c.want, "error: ") && problems.Err() == nil {
			t.Errorf("%s: it could be published", name)
		}
	}
}

func TestSemanticsOf_IsOlderForABundleWhoseRulesDoNotAssignOrCount(t *testing.T) {
	plain := File{"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [lead.created]\n  set: {a: '\"assign: windows:\"'}\n"}
	for name, c := range map[string]struct {
		files []File
		want  int64
	}{
		"an assign":                       {people(assignSpec), 7},
		"windows":                         {people(windowsSpec), 7},
		"a pool that only workflows use":  {people("  on: [lead.created]\n  set: {a: '1'}\n")[1:], 5},
		"a workflow":                      {[]File{plain, flowFile("w", calm)}, 6},
		"a workflow before its pool":      {append([]File{flowFile("a", calm)}, people("")[1:]...), 6},
		"a workflow, a rule that assigns": {append(people(assignSpec), flowFile("w", calm)), 7},
		"the words":                       {[]File{plain}, 4},
		"state that is called assign":     {[]File{file("a", "  on: [lead.created]\n  set: {assign: '1', windows: '2'}\n")}, 4},
	} {
		if got := SemanticsOf(c.files); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if a, b := SetKey("h", 7), SetKey("h", 6); a == b {
		t.Error("a set of the semantics before is taken for one of these")
	}
	for _, semantics := range []int64{4, 5, 6} {
		if set, problems := CompileFor(semantics, people(assignSpec), nil); set != nil || problems.Err() == nil {
			t.Errorf("under semantics %d a rule assigns", semantics)
		}
	}
}

func TestCompile_ListsTheWindowsThatCountAType(t *testing.T) {
	set, problems := Compile(append(people(windowsSpec), file("b", "  on: [lead.created]\n  windows: {x: {on: [lead.updated], over: P1D}}\n  set: {b: windows.x.count}\n")))
	if set == nil {
		t.Fatal(problems)
	}
	keys := func(typ string) (out []string) {
		for _, c := range set.Counting(typ) {
			out = append(out, c.Key())
		}
		return out
	}
	if got := keys("lead.updated"); !slices.Equal(got, []string{"a/all", "b/x"}) {
		t.Errorf("%v", got)
	}
	if got := keys("activity.recorded"); !slices.Equal(got, []string{"a/all", "a/calls"}) {
		t.Errorf("%v", got)
	}
	if set.Window("b/x") == nil || set.Window("b/y") != nil || set.Assigns() || set.Expressions() != 5 {
		t.Errorf("%d expressions", set.Expressions())
	}
}
