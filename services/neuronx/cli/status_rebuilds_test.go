package cli

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestStatus_TellsWhichReadModelsAreBuiltAgainAndWhy(t *testing.T) {
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Pool(t, "").Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	says := func(line string, want ...string) {
		t.Helper()
		_, out, errs := try(t, env, strings.Fields(line)...)
		for _, w := range want {
			if !strings.Contains(strings.Join(strings.Fields(out+errs), " "), w) {
				t.Errorf("%s: no %q in\n%s%s", line, w, out, errs)
			}
		}
	}
	says("status", "rebuilds: none")
	exec(`INSERT INTO neuronx.definitions (consumer, definition) VALUES ('neuronx.projector', 'old'), ('neuronx.projector', 'new'), ('neuronx.projector.control', 'same')`)
	exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state, definition, origin) VALUES
		('neuronx.projector', 1, 'right', 0, 6, 'live', 'new', ''), ('neuronx.projector.control', 1, 'right', 0, 6, 'live', 'same', ''),
		('neuronx.projector', 1, 'empty', 0, 0, 'live', NULL, ''),
		('neuronx.projector', 1, 'older', 0, 6, 'live', 'old', ''), ('neuronx.projector', 1, 'fed', 0, 6, 'live', 'mixed', ''),
		('neuronx.projector', 1, 'early', 0, 6, 'live', NULL, ''),
		('neuronx.projector', 1, 'moving', 0, 6, 'live', 'mixed', ''), ('neuronx.projector', 2, 'moving', 0, 3, 'catching-up', 'new', 'definition new over 1'),
		('neuronx.projector', 4, 'moved', 0, 6, 'live', 'old', ''), ('neuronx.projector', 5, 'moved', 0, 0, 'catching-up', NULL, 'definition new over 4')`)
	exec(`INSERT INTO projection.active (tenant_id, feed, generation) SELECT tenant_id, CASE consumer WHEN 'neuronx.projector' THEN 'main' ELSE 'control' END, min(generation)
		FROM neuronx.progress GROUP BY consumer, tenant_id`)
	says("status", "rebuilds: 2 tenants of neuronx.projector: being built again for definition new;",
		"1 tenant of neuronx.projector: built by definition old, not by the newest;", "1 tenant of neuronx.projector: built by more than one definition, not by the newest;",
		"1 tenant of neuronx.projector: built by a definition that is not known, not by the newest;")
	says("status -o json", `"why": "definition new", "tenants": 2, "building": true`)
	says("projections list", "LEFT OUT DEFINITION MADE FOR", "moving main 2 false catching-up 3 - - new definition new over 1", "moved main 5 false catching-up 0 - - - definition new over 4",
		"older main 1 true live 6 - - old (not the newest) -", "fed main 1 true live 6 - - mixed -", "early main 1 true live 6 - - not known -", "right control 1 true live 6 - - same -")
}
