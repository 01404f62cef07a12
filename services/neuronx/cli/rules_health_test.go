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
)

func TestRulesHealth_ShowsTheReasonAndTheEventOfTheLastFailure(t *testing.T) {
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	if _, err := db.Pool(t, "").Exec(t.Context(), `
		INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'control', 1);
		INSERT INTO projection.tenants (tenant_id, generation, id, status, sequence) VALUES ('acme', 1, 'acme', 'active', 1);
		INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at, by_data, last_data, last_code, last_detail, last_sequence, last_event_id) VALUES
		('acme', 'ratio', 0, '', 0, 7, 'arithmetic', 'arithmetic', E'set.ratio: division by zero\u202e', 41, 'lead-41'), ('acme', 'off', 0, 'storm', 9, 0, '', '', '', 0, '')`); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), "COLUMNS": "80"}
	code, out, errs := try(t, env, "rules", "health", "--tenant", "acme")
	for _, want := range []string{"BY DATA", "41", "arithmetic: set.ratio: "} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, %q is not shown:\n%s%s", code, want, out, errs)
		}
	}
	if code, out, _ := try(t, env, "rules", "health", "-o", "wide"); code != 0 || !strings.Contains(out, `arithmetic: set.ratio: division by zero\u202e`) || !strings.Contains(out, "lead-41") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	code, out, _ = try(t, env, "rules", "health", "-o", "json")
	var rows []ruleadmin.Health
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 || len(rows) != 2 {
		t.Fatalf("exit %d (%v):\n%s", code, err, out)
	}
	if r := rows[1]; r.LastCode != "arithmetic" || r.Sequence != "41" || r.EventID != "lead-41" || r.ByData != 7 {
		t.Errorf("%+v", r)
	}
	if r := rows[0]; r.LastCode != "" || r.Sequence != "" || r.Tripped != "storm" {
		t.Errorf("a rule without a failure on record: %+v", r)
	}
}
