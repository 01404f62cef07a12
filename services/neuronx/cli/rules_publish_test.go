package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func ruleText(name, when string) string {
	return "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: " + name + "}\nspec:\n  on: [lead.scored]\n  when: " + when + "\n  set: {" + strings.ReplaceAll(name, "-", "_") + ": 'true'}\n"
}

// ruleBench has a tenant with three rules in force, of which one is off. The versions lie on both sides of sequence 10, whose text sorts before 9.
func ruleBench(t *testing.T) (run func(args ...string) (out, errs string, code int)) {
	t.Helper()
	db := postgrestest.New(t, provision.Migrations()...)
	before := []ruleset.File{{Name: "a.yaml", Text: ruleText("kept", "true")}, {Name: "b.yaml", Text: ruleText("mended", "true")}, {Name: "c.yaml", Text: ruleText("forgotten", "true")}}
	files, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at)
		VALUES ('acme', 9, 'e1', 1, 'old', 3, '[]', 'ann', now() - interval '1 day'), ('acme', 10, 'e2', 2, $1, 3, $2, E'bob\u202e', now())`, ruleset.Hash(before), string(files)); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'control', 1), ('zeta', 'control', 1)`,
		`INSERT INTO projection.tenants (tenant_id, generation, id, status, sequence) VALUES ('acme', 1, 'acme', 'active', 1), ('zeta', 1, 'zeta', 'active', 1)`,
	} {
		if _, err := db.Pool(t, "").Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at) VALUES
		('acme', 'mended', 5, 'failures', 8), ('acme', 'forgotten', 5, 'storm', 8)`); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (string, string, int) {
		code, out, errs := try(t, map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}, args...)
		return out, errs, code
	}
}

func TestRulesPublish_ShowsWhatChangesAndWhatStaysOff(t *testing.T) {
	run := ruleBench(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"renamed.yaml": ruleText("kept", "true"), "b.yaml": ruleText("mended", "data.score > 5"), "d.yaml": ruleText("new-one", "true")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := run("rules", "publish", dir, "--tenant", "acme")
	var changes []string
	for _, line := range strings.Split(out, "\n")[1:] {
		changes = append(changes, strings.Join(strings.Fields(line), " "))
	}
	if got := strings.TrimSpace(strings.Join(changes, "; ")); code != 0 || got != "REMOVED forgotten c.yaml; changed mended b.yaml; added new-one d.yaml;" {
		t.Errorf("exit %d: %s\n%s", code, got, errs)
	}
	for _, want := range []string{"1 rule unchanged", "rule mended is off (failures) and stays off: neuronx rules reset mended --tenant acme", "dry run", "as version 3"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not said:\n%s", want, errs)
		}
	}
	if strings.Contains(errs, "forgotten is off") {
		t.Errorf("a rule that goes is said to stay off:\n%s", errs)
	}
	out, _, code = run("rules", "publish", dir, "--tenant", "acme", "-o", "json")
	var p ruleadmin.Publication
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 || !p.DryRun || len(p.Changes) != 4 || len(p.Tripped) != 1 || p.Version != 3 {
		t.Errorf("exit %d (%v): %s", code, err, out)
	}
	if _, errs, code = run("rules", "publish", dir, "--tenant", "zeta"); code != 0 || !strings.Contains(errs, "as version 1 (hash ") || !strings.Contains(errs, "; the tenant has no rules yet") {
		t.Errorf("the first rules: exit %d: %s", code, errs)
	}
}

func TestRulesShow_PrintsTheTextsInForceWithTheirVersion(t *testing.T) {
	run := ruleBench(t)
	out, errs, code := run("rules", "show", "--tenant", "acme")
	for _, want := range []string{"# version 2 of acme, semantics 3, since sequence 10", `published by bob\u202e`, "# a.yaml\n", "# this rule is off: neuronx rules reset mended --tenant acme", ruleText("forgotten", "true")} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is not shown:\n%s%s", code, want, out, errs)
		}
	}
	if out, _, code := run("rules", "show", "kept", "--tenant", "acme"); code != 0 || strings.Count(out, "---") != 1 || !strings.Contains(out, ruleText("kept", "true")) {
		t.Errorf("one rule: exit %d\n%s", code, out)
	}
	for _, c := range []struct{ want, rule, tenant, version string }{{"did you mean mended?", "mendde", "acme", "0"}, {"never published rules", "", "zeta", "0"}, {"never published a version 7", "", "acme", "7"}} {
		args := []string{"rules", "show", "--tenant", c.tenant, "--version", c.version}
		if c.rule != "" {
			args = append(args, c.rule)
		}
		if _, errs, code := run(args...); code != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, want %q:\n%s", args, code, c.want, errs)
		}
	}
}

func TestRulesReset_SaysHowManyEventsTheRuleMissed(t *testing.T) {
	run := ruleBench(t)
	_, errs, code := run("rules", "reset", "mended", "--tenant", "acme")
	if code != 0 || !strings.Contains(errs, "it missed at most 0 events of lead.scored after sequence 8") || !strings.Contains(errs, "dry run") {
		t.Errorf("exit %d:\n%s", code, errs)
	}
}
