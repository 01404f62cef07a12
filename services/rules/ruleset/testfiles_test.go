package ruleset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	aRule = "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: %}\nspec: {on: [lead.created], set: {seen: 'true'}}\n"
	aTest = "apiVersion: neuronx/v1\nkind: RuleTest\nmetadata: {name: %}\nspec: {}\n"
)

func TestIsTest_TakesBothTheNameAndTheKind(t *testing.T) {
	for name, c := range map[string]struct {
		file File
		want bool
	}{
		"a test":                        {File{"a_test.yaml", aTest}, true},
		"yml":                           {File{"a_test.yml", aTest}, true},
		"quoted":                        {File{"a_test.yaml", `{"apiVersion": "neuronx/v1", "kind": "RuleTest"}`}, true},
		"broken further down":           {File{"a_test.yaml", aTest + "  x: [\n"}, true},
		"a rule that was named so":      {File{"a_test.yaml", aRule}, false},
		"a test under a rule's name":    {File{"a.yaml", aTest}, false},
		"a misspelt kind":               {File{"a_test.yaml", strings.Replace(aTest, "RuleTest", "RuelTest", 1)}, false},
		"the kind of something in it":   {File{"a_test.yaml", "spec:\n  kind: RuleTest\n"}, false},
		"a rule that is broken":         {File{"a_test.yaml", aRule + "  x: [\n"}, false},
		"a rule that speaks of a test":  {File{"a_test.yaml", "# kind: RuleTest\n" + aRule}, false},
		"no kind":                       {File{"a_test.yaml", "apiVersion: neuronx/v1\n"}, false},
		"empty":                         {File{"a_test.yaml", ""}, false},
		"a broken one that says it all": {File{"a_test.yaml", "kind: RuleTest # of rules\n\tx"}, true},
	} {
		if got := IsTest(c.file); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLoad_LeavesTestsOutAndNeverGivesNothing(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) string {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "%", "x")), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, test := write("rules/one.yaml", aRule), write("rules/one_test.yaml", aTest)
	write("rules/old_test.yaml", aRule)
	write("rules/more/one_test.yaml", aTest)
	write("tests/one_test.yaml", aTest)
	names := func(files []File, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range files {
			out = append(out, f.Name)
		}
		return out
	}
	rules := filepath.Join(dir, "rules")
	if got := names(Load(rules)); !slices.Equal(got, []string{"old_test.yaml", "one.yaml"}) {
		t.Errorf("of the folder: %q", got)
	}
	if got := names(Load(one, test)); !slices.Equal(got, []string{"one.yaml"}) {
		t.Errorf("of the files: %q", got)
	}
	if got := names(LoadTests(rules, filepath.Join(dir, "tests"))); !slices.Equal(got, []string{"one_test.yaml", "one_test.yaml"}) {
		t.Errorf("tests: %q", got)
	}
	if left := LeftOut(rules); len(left) > 0 {
		t.Errorf("left out: %q", left)
	}
	for _, path := range []string{test, filepath.Join(dir, "tests")} { // publishing nothing would take all rules away
		if files, err := Load(path); err == nil || len(files) > 0 || !strings.Contains(err.Error(), "only tests") {
			t.Errorf("%s: %v %v", path, files, err)
		}
	}
	if got := names(LoadFS(fstest.MapFS{"a.yaml": {Data: []byte(aRule)}, "a_test.yaml": {Data: []byte(aTest)}}, ".")); !slices.Equal(got, []string{"a.yaml"}) {
		t.Errorf("of a file system: %q", got)
	}
}
