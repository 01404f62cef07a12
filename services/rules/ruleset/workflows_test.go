package ruleset

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
)

func flowFile(name, spec string) File {
	return File{name + ".yaml", "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: " + name + "}\nspec:\n  " + strings.ReplaceAll(spec, "\n", "\n  ") + "\n"}
}

const policyText = "apiVersion: neuronx/v1\nkind: ContactPolicy\nmetadata: {name: contact}\nspec:\n  caps: [{channel: sms, most: 2, per: P1D}]\n"

const calm = "start: {on: [lead.created], key: data.lead_id}\ndo: [note: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '\"x\"'}}}]"

func starts(on, emit string) string {
	return "start: {on: [" + on + "], key: data.lead_id}\ndo:\n  - pause: {wait: {for: P1D}}\n  - e: {emit: {type: " + emit + ", data: {lead_id: instance.key}}}"
}

func TestSemanticsOf_IsTheOldestThatABundleNeeds(t *testing.T) {
	rule := File{"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [lead.created]\n  set: {a: '1'}\n"}
	calendar := File{"c.yaml", "apiVersion: neuronx/v1\nkind: Calendar\nmetadata: {name: c}\nspec:\n  zone: UTC\n  hours: {mon-fri: [\"09:00-17:00\"]}\n"}
	for name, c := range map[string]struct {
		files []File
		want  int64
		key   string
	}{
		"rules":                   {[]File{rule}, 4, "/2"},
		"a calendar":              {[]File{rule, calendar}, 5, "/3"},
		"a workflow":              {[]File{flowFile("w", calm)}, 6, "/3/workflows"},
		"a workflow, a calendar":  {[]File{calendar, flowFile("w", calm)}, 6, "/3/workflows"},
		"a policy":                {[]File{rule, {"p.yaml", policyText}}, 6, "/3/workflows"},
		"nothing":                 {nil, 4, "/2"},
		"a workflow in a comment": {[]File{{"r.yaml", "# kind: Workflow\n" + rule.Text}}, 4, "/2"},
	} {
		semantics := SemanticsOf(c.files)
		set, problems := Compile(c.files)
		if semantics != c.want || set == nil || set.Semantics != c.want || PublishedData(c.files, 1, "")["semantics"] != c.want {
			t.Errorf("%s: semantics %d, %v", name, semantics, problems)
			continue
		}
		if set.Key() != Hash(c.files)+c.key {
			t.Errorf("%s: the set is kept as %s", name, strings.TrimPrefix(set.Key(), Hash(c.files)))
		}
	}
}

func TestCompile_ReadsWorkflowsUnderTheirSemanticsAlone(t *testing.T) {
	files := []File{flowFile("b", calm), flowFile("a", calm), {"p.yaml", policyText}}
	set, problems := Compile(files)
	if set == nil {
		t.Fatal(problems)
	}
	if len(set.Workflows) != 2 || set.Workflows[0].Name != "a" || set.Policy == nil || len(set.Starts("lead.created")) != 2 || set.Workflow("b") == nil || set.Workflow("c") != nil {
		t.Errorf("%v %v", set.Workflows, set.Policy)
	}
	if set.Weight() < 4 {
		t.Errorf("it weighs %d", set.Weight())
	}
	for _, semantics := range []int64{1, 4, 5} {
		if set, problems := CompileFor(semantics, files, nil); set != nil || problems.Err() == nil {
			t.Errorf("under semantics %d it compiles", semantics)
		}
	}
}

func TestValidate_TellsWhatIsWrongWithWorkflows(t *testing.T) {
	message := "start: {on: [lead.created], key: data.lead_id}\ndo: [m: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '[\"x\"]'}}}]"
	for name, c := range map[string]struct {
		files []File
		want  string
	}{
		"nothing": {[]File{flowFile("w", calm), {"p.yaml", policyText}}, ""},
		"two that start each other": {[]File{flowFile("x", starts("lead.lost", "lead.contacted")), flowFile("y", starts("lead.contacted", "lead.lost"))},
			"x.yaml:1: error: loop: the workflow x can start itself again without end, by way of y"},
		"by way of a rule": {[]File{flowFile("x", starts("lead.lost", "lead.contacted")), {"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n  on: [lead.contacted]\n  emit: [{type: lead.lost, data: {lead_id: data.lead_id}}]\n"}},
			"x.yaml:1: error: loop"},
		"a calendar that is not there": {[]File{flowFile("w", strings.Replace(calm, "do: [", "do: [p: {wait: {for: PT1H, in: office}}, ", 1))}, "error: unknown_name"},
		"a pool that is not there":     {[]File{flowFile("w", strings.Replace(calm, "do: [", "do: [p: {assign: {pool: team, as: o}}, ", 1))}, "error: unknown_name"},
		"a field that is not there":    {[]File{flowFile("w", strings.Replace(calm, "data.lead_id", "data.leadid", 1))}, "data.leadid"},
		"a field that is missing":      {[]File{flowFile("w", message)}, "remove"},
		"a name that a rule has": {[]File{flowFile("w", calm), {"r.yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: w}\nspec:\n  on: [lead.created]\n  set: {a: '1'}\n"}},
			"w.yaml: error: duplicate_rule"},
		"two policies":    {[]File{{"p.yaml", policyText}, {"q.yaml", strings.Replace(policyText, "name: contact", "name: other", 1)}}, "a bundle has one"},
		"an unknown kind": {[]File{flowFile("w", calm), {"x.yaml", strings.Replace(policyText, "ContactPolicy", "Contactpolicy", 1)}}, "Calendar, Workflow or ContactPolicy"},
	} {
		problems, err := Validate(t.Context(), c.files, embeddedSchemas(t))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		seen := map[rulefile.Problem]bool{}
		for _, p := range problems {
			lines = append(lines, p.String())
			if seen[p] {
				t.Errorf("%s: told twice: %s", name, p)
			}
			seen[p] = true
		}
		text := strings.Join(lines, "\n")
		if c.want == "" && problems.Err() != nil || c.want != "" && (problems.Err() == nil || !strings.Contains(text, c.want)) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
