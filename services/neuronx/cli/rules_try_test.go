package cli

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/simulate"
)

const demoRules = "../demo/rules"

func TestRulesTest_TheDemosRulesDoWhatTheirTestsSay(t *testing.T) {
	code, out, errs := try(t, nil, "rules", "test", demoRules)
	if code != exitOK || strings.Count(out, "\nok ") != 3 || !strings.Contains(errs, "3 of 3 rules fired\n") || strings.Contains(errs, "condition") {
		t.Errorf("exit %d:\n%s%s", code, out, errs)
	}
}

// The commands on the pages of the library, as a reader types them.
func TestRulesTest_EveryFolderOfTheLibraryPassesWhole(t *testing.T) {
	folders, err := filepath.Glob("../../../examples/library/*")
	if err != nil || len(folders) < 9 {
		t.Fatal(folders, err)
	}
	for _, dir := range folders {
		if code, out, errs := try(t, nil, "rules", "validate", dir, "--offline"); code != exitOK {
			t.Errorf("validate %s: exit %d:\n%s%s", dir, code, out, errs)
		}
		code, out, errs := try(t, nil, "rules", "test", dir)
		if code != exitOK || strings.Contains(errs, "never ran") || strings.Contains(errs, "condition") || strings.Contains(errs, "0 of 0") {
			t.Errorf("test %s: exit %d:\n%s%s", dir, code, out, errs)
		}
	}
}

// folder has two rules, and a test that fails where wrong is set.
func folder(t *testing.T, score string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"score.yaml": "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: score}\nspec:\n  on: [lead.created]\n  when: data.channel != null\n  emit: [{type: lead.scored, data: {lead_id: data.lead_id, score: \"10\"}}]\n",
		"tag.yaml":   "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: tag}\nspec:\n  on: [lead.lost]\n  set: {lost: \"true\"}\n",
		"lead_test.yaml": "apiVersion: neuronx/v1\nkind: RuleTest\nmetadata: {name: lead}\nspec:\n  start: 2026-03-02T14:00:00Z\n  steps:\n" +
			"    - event: {type: lead.created, data: {lead_id: \"7\", channel: <ads>}}\n      expect: [{type: lead.scored, data: {score: " + score + "}}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRulesTest_AFailedTestIsExitOneAndSaysWhatCame(t *testing.T) {
	dir := folder(t, "11")
	code, out, errs := try(t, nil, "rules", "test", dir)
	for _, want := range []string{"FAIL", "lead_test.yaml: test lead failed\n  step 1, line 7: lead.created about lead/7\n    other values: lead.scored about lead/7, from rule score\n      score: expected 11, got 10\n"} {
		if code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q:\n%s", code, want, out)
		}
	}
	for _, want := range []string{"error: 1 of 1 test failed", "1 of 2 rules fired", "rule score (score.yaml): its condition was never false", "rule tag (tag.yaml): no test fires it"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q:\n%s", want, errs)
		}
	}
	code, out, _ = try(t, nil, "rules", "test", dir, "-o", "json")
	var r simulate.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFailed || len(r.Tests) != 1 || r.Tests[0].Passed || r.Tests[0].Mismatches[0].Differences[0].Fields[0] != (simulate.Field{Field: "score", Expected: "11", Got: "10"}) || len(r.Rules) != 2 {
		t.Errorf("exit %d, %v:\n%s", code, err, out)
	}
}

func TestRulesTest_ExitCodes(t *testing.T) {
	good := folder(t, "10")
	lonely := t.TempDir()
	text, err := os.ReadFile(filepath.Join(good, "score.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lonely, "score.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := folder(t, "\"10\"")
	misread := folder(t, "10")
	if err := os.WriteFile(filepath.Join(misread, "bad.yaml"), []byte("kind: Rule\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args      []string
		code      int
		out, errs string
	}{
		"good":               {[]string{good}, exitOK, "ok", "1 of 2 rules fired"},
		"by files":           {[]string{filepath.Join(good, "score.yaml"), filepath.Join(good, "lead_test.yaml")}, exitOK, "ok", "1 of 1 rule fired"},
		"no tests":           {[]string{lonely}, exitFailed, "", "there are none: a test is a file x_test.yaml"},
		"a test alone":       {[]string{filepath.Join(good, "lead_test.yaml")}, exitFailed, "", "only tests are named"},
		"no folder":          {[]string{filepath.Join(good, "none")}, exitFailed, "", "read the rule files"},
		"data that can't be": {[]string{broken}, exitFailed, "lead_test.yaml:8: error: invalid_value: no lead.scored has such data: score", "1 problem in the tests"},
		"rules that are bad": {[]string{misread}, exitFailed, "bad.yaml", "in the rule files"},
		"no argument":        {nil, exitUsage, "", "needs a <file or folder>"},
		"another format":     {[]string{good, "-o", "yaml"}, exitUsage, "", "not an output format"},
		"no registry":        {[]string{good, "--registry"}, exitUsage, "", operate.EnvRegistry},
	} {
		code, out, errs := try(t, nil, append([]string{"rules", "test"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || c.out == "" && out != "" || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: exit %d, want %d:\n%s%s", name, code, c.code, out, errs)
		}
	}
}

func TestRulesTest_WritesJUnitThatCountsItself(t *testing.T) {
	for name, c := range map[string]struct {
		dir                     string
		code, failures, errored int
		text                    string
	}{
		"passed": {folder(t, "10"), exitOK, 0, 0, ""}, "failed": {folder(t, "11"), exitFailed, 1, 0, "score: expected 11, got 10"}, "unreadable": {folder(t, "\"<a>\""), exitFailed, 0, 1, "no lead.scored has such data"},
	} {
		code, out, errs := try(t, nil, "rules", "test", c.dir, "-o", "junit")
		var doc struct {
			XMLName  xml.Name `xml:"testsuites"`
			Tests    int      `xml:"tests,attr"`
			Failures int      `xml:"failures,attr"`
			Errors   int      `xml:"errors,attr"`
			Suites   []struct {
				Name     string `xml:"name,attr"`
				Tests    int    `xml:"tests,attr"`
				Failures int    `xml:"failures,attr"`
				Errors   int    `xml:"errors,attr"`
				Time     string `xml:"time,attr"`
				Cases    []struct {
					Name    string   `xml:"name,attr"`
					Class   string   `xml:"classname,attr"`
					Time    string   `xml:"time,attr"`
					Failure []string `xml:"failure"`
					Error   []string `xml:"error"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal([]byte(out), &doc); err != nil || !strings.HasPrefix(out, "<?xml ") || code != c.code || len(doc.Suites) != 1 {
			t.Errorf("%s: exit %d, %v\n%s%s", name, code, err, out, errs)
			continue
		}
		s := doc.Suites[0]
		if doc.Tests != 1 || doc.Failures != c.failures || doc.Errors != c.errored || s.Tests != len(s.Cases) || s.Failures != c.failures || s.Errors != c.errored || s.Name == "" {
			t.Errorf("%s: counts differ\n%s", name, out)
		}
		one := s.Cases[0]
		if _, err := strconv.ParseFloat(one.Time, 64); err != nil || one.Name == "" || one.Class != "lead_test.yaml" || len(one.Failure) != c.failures || len(one.Error) != c.errored {
			t.Errorf("%s: %+v", name, one)
		}
		if text := strings.Join(append(one.Failure, one.Error...), ""); !strings.Contains(text, c.text) {
			t.Errorf("%s: %q", name, text)
		}
	}
	if code, _, errs := try(t, nil, "rules", "validate", demoRules, "-o", "junit"); code != exitUsage || !strings.Contains(errs, "not an output format") {
		t.Errorf("a verb without tests writes JUnit: exit %d, %s", code, errs)
	}
}

func TestRulesPublish_SaysWhichTestsItLeavesOut(t *testing.T) {
	run := ruleBench(t)
	_, errs, code := run("rules", "publish", folder(t, "10"), "--tenant", "acme")
	if code != exitOK || !strings.Contains(errs, "1 test left out, as no part of what is published: lead_test.yaml; `neuronx rules test` runs them") || !strings.Contains(errs, "would publish 2 files") || strings.Contains(errs, "not read") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestRulesTest_SaysThatATestIsNotNamedAsOne(t *testing.T) {
	dir := folder(t, "10")
	if err := os.Rename(filepath.Join(dir, "lead_test.yaml"), filepath.Join(dir, "lead-test.yaml")); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := try(t, nil, "rules", "test", dir); code != exitFailed || !strings.Contains(errs, "of kind RuleTest, and not named so: lead-test.yaml; the name of a test ends in _test.yaml") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// Names such as true and 12 are no texts in YAML.
func TestRulesNew_WritesWhatValidatesAndPassesItsTest(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"hot-lead", "true", "12", "1e3", "null", strings.Repeat("a", 63)} {
		if code, out, errs := try(t, nil, "rules", "new", "rule", name); code != exitOK || out != fmt.Sprintf("rules/%s.yaml\nrules/%s_test.yaml\n", name, name) || !strings.Contains(errs, "neuronx rules test rules") {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
	}
	if code, out, errs := try(t, nil, "rules", "validate", "rules", "--offline"); code != exitOK || out != "" {
		t.Errorf("exit %d:\n%s%s", code, out, errs)
	}
	code, out, errs := try(t, nil, "rules", "test", "rules")
	if code != exitOK || strings.Count(out, "\nok ") != 6 || !strings.Contains(errs, "6 of 6 rules fired") || strings.Contains(errs, "never") {
		t.Errorf("exit %d:\n%s%s", code, out, errs)
	}
}

func TestRulesNew_WritesAWorkflowThatValidatesAndPassesItsTest(t *testing.T) {
	t.Chdir(t.TempDir())
	for i, name := range []string{"call-back", "true"} {
		dir := fmt.Sprint("r", i)
		if code, out, errs := try(t, nil, "rules", "new", "workflow", name, "--into", dir); code != exitOK || out != fmt.Sprintf("%s/%s.yaml\n%s/%s_test.yaml\n", dir, name, dir, name) {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
		if code, out, errs := try(t, nil, "rules", "validate", dir, "--offline"); code != exitOK || out != "" {
			t.Errorf("%s: exit %d:\n%s%s", name, code, out, errs)
		}
		code, out, errs := try(t, nil, "rules", "test", dir)
		if code != exitOK || strings.Count(out, "\nok ") != 1 || !strings.Contains(errs, "2 of 2 tasks ran") {
			t.Errorf("%s: exit %d:\n%s%s", name, code, out, errs)
		}
	}
}

func TestRulesNew_OverwritesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"mine.yaml", "other_test.yaml"} {
		if err := os.MkdirAll("r", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("r", name), []byte(strings.ReplaceAll("apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: named-%}\nspec: {on: [lead.created], set: {a: 'true'}}\n", "%", name[:4])), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadDir("r")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		code int
		errs string
	}{
		"mine": {exitFailed, "r/mine.yaml"}, "other": {exitFailed, "r/other_test.yaml"}, "named-mine": {exitFailed, "mine.yaml has a rule of this name"}, "Bad": {exitUsage, "is not 1 to 63"}, "../x": {exitUsage, "is not 1 to 63"},
	} {
		if code, out, errs := try(t, nil, "rules", "new", "rule", name, "--into", "r"); code != want.code || out != "" || !strings.Contains(errs, want.errs) {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
	}
	if code, _, errs := try(t, nil, "rules", "new", "rul", "x", "--into", "r"); code != exitUsage || !strings.Contains(errs, "did you mean rule?") {
		t.Errorf("exit %d: %s", code, errs)
	}
	after, err := os.ReadDir("r")
	if err != nil || len(after) != len(before) {
		t.Errorf("%v: %v, before %v", err, after, before)
	}
	if _, err := os.Stat("rules"); err == nil {
		t.Error("a folder was made for nothing")
	}
	if err := os.Mkdir("s", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join("s", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := try(t, nil, "rules", "new", "rule", "link", "--into", "s"); code != exitFailed || !strings.Contains(errs, "nothing is overwritten") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
