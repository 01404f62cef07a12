package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// rerunBench has a tenant whose rules missed events: one is on again, one is off, and one is not in force any more.
func rerunBench(t *testing.T) (run func(line string) (out string, code int)) {
	t.Helper()
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	root := db.Pool(t, "")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := root.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	files, err := json.Marshal([]ruleset.File{{Name: "a.yaml", Text: ruleText("welcome", "true")}, {Name: "b.yaml", Text: ruleText("qualify", "true")}, {Name: "c.yaml", Text: ruleText("calm", "true")}})
	if err != nil {
		t.Fatal(err)
	}
	exec(`INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at)
		VALUES ('acme', 9, 'e2', 1, 'old', 3, $1, 'x', now()), ('acme', 10, 'e9', 2, 'h', 4, $1, 'x', now()), ('old', 2, 'e2', 1, 'h', 3, $1, 'x', now())`, string(files))
	exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state) VALUES
		('neuronx.rules', 1, 'acme', 0, 40, 'live'), ('neuronx.rules', 1, 'old', 0, 40, 'live'), ('neuronx.rules', 1, 'bare', 0, 40, 'live')`)
	exec(`INSERT INTO neuronx.rule_health (tenant_id, rule, tripped) VALUES ('acme', 'qualify', 'failures')`)
	exec(`INSERT INTO neuronx.rule_missed_pages (tenant_id, rule, page, bits) SELECT tenant_id, rule, 0, bit_or(set_bit(0::bit(1024), sequence, 1))
		FROM (VALUES ('acme', 'welcome', 11), ('acme', 'welcome', 12), ('acme', 'welcome', 30), ('acme', 'qualify', 12), ('acme', 'retired', 12),
		('zeta', 'welcome', 11)) AS v(tenant_id, rule, sequence) GROUP BY 1, 2`)
	exec(`SELECT neuronx.ensure_tenant('acme')`)
	for sequence, at := range map[int]string{11: "2026-01-01T10:00:00Z", 12: "2026-01-01T11:00:00Z", 30: "2026-01-03T00:00:00Z"} {
		exec(`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload)
			VALUES ('acme', $1::bigint, 1, 'e', 'lead.scored', 's', 's', $2::text::timestamptz, '', '', 1, 'l', 0, 0, sha256(''), '')`, sequence, at)
	}
	return func(line string) (string, int) {
		code, out, errs := try(t, map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}, strings.Fields(line)...)
		return strings.Join(strings.Fields(out+errs), " "), code
	}
}

func TestRulesRerun_CountsWhatIsOnRecordByRuleWithItsAge(t *testing.T) {
	run := rerunBench(t)
	for _, x := range []struct {
		line string
		code int
		want []string
	}{
		{"rules rerun --tenant acme --since 1", exitOK, []string{
			"qualify 1 off 2026-01-01T11:00:00.000Z", "retired 1 not_in_force", "welcome 3 ready 2026-01-01T10:00:00.000Z - 2026-01-03T00:00:00.000Z 11 30",
			"rule qualify is off and would be left out: neuronx rules reset qualify --tenant acme", "rule retired is not in force and would be left out",
			"text of version 2, which is in force", "before sequence 10 is not on record", "what rule welcome would derive can't be told", "dry run: nothing was changed"}},
		{"rules rerun --tenant acme --since 12 --rule welcome", exitOK, []string{"welcome 2 ready 2026-01-01T11:00:00.000Z - 2026-01-03T00:00:00.000Z 12 30"}},
		{"rules rerun --tenant acme --since 2026-01-02T00:00:00Z", exitOK, []string{"welcome 1 ready 2026-01-03T00:00:00.000Z - 2026-01-03T00:00:00.000Z 30 30"}},
		{"rules rerun --tenant acme --since 2027-01-02T00:00:00Z", exitOK, []string{"none found with --since 2027-01-02T00:00:00Z"}},
		{"rules rerun --tenant acme --since 1 --rule calm", exitOK, []string{"none found with --rule calm"}},
		{"rules rerun --tenant acme --since 1 --rule welcom", exitFailed, []string{"there is no rule welcom", "did you mean welcome?"}},
		{"rules rerun --tenant acme --since yesterday", exitUsage, []string{"neither a time nor a sequence"}},
		{"rules rerun --tenant acme --since 0", exitUsage, []string{"sequences begin at 1"}},
		{"rules rerun --tenant acme --since=-5", exitUsage, []string{"sequences begin at 1"}},
		{"rules rerun --tenant acme", exitUsage, []string{"--since is required"}},
		{"rules rerun --since 1", exitUsage, []string{"--tenant is required"}},
		{"rules rerun --tenant old --since 1", exitOK, []string{"what rules of old miss is not on record", "publish the same files again", "none found"}},
		{"rules rerun --tenant acme --since 1 --rule qualify --execute", exitPartial, []string{"1 event of rule qualify still missed", "the rule is off"}},
	} {
		out, code := run(x.line)
		for _, want := range x.want {
			if code != x.code || !strings.Contains(out, want) {
				t.Errorf("%s: exit %d, want %d with %q:\n%s", x.line, code, x.code, want, out)
			}
		}
		if strings.Contains(out, "zeta") {
			t.Errorf("%s shows another tenant's: %s", x.line, out)
		}
	}
	out, code := run("rules rerun --tenant acme --since 1 -o json")
	begin := strings.Index(out, "[ {")
	var rows []ruleadmin.Missed
	if err := json.NewDecoder(strings.NewReader(out[max(begin, 0):])).Decode(&rows); err != nil || code != exitOK || len(rows) != 3 || rows[2].Missed != 3 || rows[2].First != "11" || rows[2].Foreseen != nil {
		t.Errorf("exit %d (%v): %+v", code, err, rows)
	}
}

func TestRulesReset_SaysWhatIsOnRecordAndHowToRunOverIt(t *testing.T) {
	run := rerunBench(t)
	if out, code := run("rules reset qualify --tenant acme"); code != exitOK || !strings.Contains(out, "it missed 1 event; once it is on, run it over them: neuronx rules rerun --tenant acme --since 12 --rule qualify") {
		t.Errorf("exit %d: %s", code, out)
	}
}
