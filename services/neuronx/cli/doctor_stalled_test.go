package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestDoctor_FailsOnStalledTenantsAndNamesTheEvent(t *testing.T) {
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	root := db.Pool(t, "")
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}
	// stalled returns the lines of the check.
	stalled := func() (lines []string, code int) {
		t.Helper()
		code, out, _ := try(t, env, "doctor")
		for _, line := range strings.Split(out, "\n") {
			if strings.HasPrefix(line, "stalled tenants ") {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
		}
		return lines, code
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := root.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state, reason) VALUES ('neuronx.rules', 1, 'fine', 0, 9, 'live', '')`)
	if lines, _ := stalled(); len(lines) != 1 || !strings.Contains(lines[0], " ok none") {
		t.Errorf("nobody is stalled: %q", lines)
	}
	exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state, reason) VALUES
		('neuronx.projector.control', 2, 'acme', 0, 518, 'stalled', E'poison\n\tof two lines'), ('neuronx.rules', 1, 'globex', 0, 4, 'stalled', $1)`, strings.Repeat("long ", 400))
	lines, code := stalled()
	if code != exitFailed || len(lines) != 2 {
		t.Fatalf("exit %d: %q", code, lines)
	}
	for i, want := range []string{
		"fail acme is stalled in projector (feed control, generation 2) at event 519: poison; of two lines neuronx stalled list --tenant acme",
		"fail globex is stalled in rules (feed main, generation 1) at event 5: long",
	} {
		if !strings.Contains(lines[i], want) || len(lines[i]) > 600 {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
	for i := range 3 * 10 {
		exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state, reason) VALUES ('neuronx.rules', 1, $1, 0, 1, 'stalled', 'x')`, fmt.Sprintf("t%d", i))
	}
	lines, _ = stalled()
	if len(lines) != 10+1 {
		t.Fatalf("%d lines of a bounded list", len(lines))
	}
	if want := fmt.Sprintf("%d more", 2*10+2); !strings.Contains(lines[10], want) || !strings.HasSuffix(lines[10], "neuronx stalled list") {
		t.Errorf("%q does not say %q", lines[10], want)
	}
}
