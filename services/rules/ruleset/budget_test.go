package ruleset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
)

func costFile(name, spec string) File {
	return File{name + ".yaml", "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: " + name + "}\nspec:\n  on: [lead.created]\n  " + strings.ReplaceAll(spec, "\n", "\n  ") + "\n"}
}

func TestValidate_TellsWhatCannotFitTheBudgetsOfAnEvent(t *testing.T) {
	catalogue, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	eighteen := "[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]"
	loop := eighteen + ".exists(a, " + eighteen + ".exists(b, " + eighteen + ".exists(c, a+b+c < 0)))"
	always := eighteen + ".map(a, " + eighteen + ".map(b, " + eighteen + ".map(c, a+b+c))).size()"
	var cheap, dear []File
	for i := range 500 {
		emits := "emit:\n" + strings.Repeat("  - {type: lead.scored, data: {lead_id: data.lead_id, score: '1'}}\n", 5)
		cheap = append(cheap, costFile(fmt.Sprint("cheap-", i), "when: data.email != null\nset: {a: '1'}"))
		dear = append(dear, costFile(fmt.Sprint("dear-", i), strings.TrimSpace(emits)))
	}
	for name, c := range map[string]struct {
		files    []File
		errors   int
		warnings int
	}{
		"ordinary rules, as many as a bundle may have":       {cheap, 0, 1}, // the warning is that they set the same key
		"a loop that may end early":                          {[]File{costFile("r", "set: {a: '"+loop+"'}")}, 0, 1},
		"loops that may cost too much together":              {[]File{costFile("r", "set: {a: '"+always+"', b: '"+always+"', c: '"+always+"'}")}, 0, 2},
		"rules that derive too much together, by their sum":  {dear, 1, 0},
		"rules that derive too much only when all hold, too": {conditional(dear), 0, 1},
	} {
		problems, err := Validate(t.Context(), c.files, catalogue)
		if err != nil {
			t.Fatal(err)
		}
		got := map[bool]int{}
		for _, p := range problems {
			if p.Code == rulefile.CodeCostly || p.Code == rulefile.CodeStateShared && got[true] == 0 {
				got[p.Warning]++
			} else if !p.Warning {
				t.Errorf("%s: %s", name, p)
			}
		}
		if got[false] != c.errors || got[true] < c.warnings {
			t.Errorf("%s: %d errors, %d warnings, want %d and %d: %.400s", name, got[false], got[true], c.errors, c.warnings, fmt.Sprint(problems))
		}
	}
}

func conditional(files []File) []File {
	var out []File
	for _, f := range files {
		out = append(out, File{f.Name, strings.Replace(f.Text, "  emit:", "  when: data.email != null\n  emit:", 1)})
	}
	return out
}

func TestCompile_ABundleHasABoundedNumberOfExpressions(t *testing.T) {
	var files []File
	for i := range 120 {
		var fields strings.Builder
		for j := range 100 {
			fmt.Fprintf(&fields, "a%d: 1, ", j)
		}
		files = append(files, costFile(fmt.Sprint("r", i), "emit:\n  - {type: lead.scored, data: {"+fields.String()+"b: 1}}"))
	}
	_, problems := Compile(files)
	told := 0
	for _, p := range problems {
		if p.Code == rulefile.CodeTooLarge {
			told++
		}
	}
	if told != 1 {
		t.Errorf("12,120 expressions: told %d times: %.300s", told, fmt.Sprint(problems))
	}
	if set, problems := Compile(files[:99]); problems.Err() != nil || set.Expressions() != 99*101 {
		t.Errorf("9,999 expressions were refused: %.300s", problems)
	}
}

// A file may hold dozens of expressions: the warning names the rule and the one that is dear.
func TestValidate_ACostlyExpressionIsNamed(t *testing.T) {
	loop := `data.company.split(",").all(a, data.company.split(",").all(b, a + b != "zz"))`
	catalogue, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Validate(t.Context(), []File{costFile("dear", "set: {a: '1', b: '"+loop+"'}")}, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(problems); !strings.Contains(got, "an expression of rule dear may cost more than") || !strings.Contains(got, `shorter loops in "data.company.split`) {
		t.Errorf("told as %s", got)
	}
}
