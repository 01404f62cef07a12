package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
)

func TestRulesValidate_TellsEachProblemWholeOnANarrowTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte(ruleText("a", "data.scor > 5")), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := try(t, map[string]string{"COLUMNS": "80"}, "rules", "validate", file)
	if code != exitFailed || !strings.Contains(out, "a.yaml:6:13: error: unknown_field: when: data.scor: lead.scored has no such field; did you mean data.score?\n") {
		t.Errorf("exit %d:\n%s%s", code, out, errs)
	}
	_, out, _ = try(t, nil, "rules", "validate", file, "-o", "json")
	var problems rulefile.Problems
	if err := json.Unmarshal([]byte(out), &problems); err != nil || len(problems) != 1 || problems[0].Line != 6 {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestGroups_NameTheVerbsThatTheyHave(t *testing.T) {
	between := regexp.MustCompile(`; [^:;,]*: `) // words between two lists
	for _, cmd := range Root().Commands() {
		_, list, ok := strings.Cut(cmd.Short, ": ")
		if !ok || !cmd.HasSubCommands() {
			continue
		}
		var names []string
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		said := strings.Split(between.ReplaceAllString(list, ", "), ", ")
		if !slices.Contains(names, said[0]) || cmd.Name() == "tenant" { // some say in words what their verbs do
			continue
		}
		slices.Sort(said)
		slices.Sort(names)
		if !slices.Equal(said, names) {
			t.Errorf("neuronx %s says that it has %q, and has %q", cmd.Name(), said, names)
		}
	}
}

func TestNothingConfigured_SaysHowAnotherFolderIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"rules", "list"}, {"status"}} {
		if code, _, errs := try(t, nil, args...); code == exitOK || !strings.Contains(errs, "--env-file <its folder>/.neuronx/dev.env") || !strings.Contains(errs, "set and export NEURONX_") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

func TestConnectCRM_SaysWhichTokenTheStandInTakes(t *testing.T) {
	if code, out, _ := try(t, nil, "crm", "connect", "--help"); code != exitOK || !strings.Contains(out, "takes the token standin-<location>") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
