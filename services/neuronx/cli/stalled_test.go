package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestStalled_ListsRetriesAndNamesWhatItWouldSkip(t *testing.T) {
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	admin := db.Pool(t, "")
	for _, sql := range []string{
		`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state, reason) VALUES
			('neuronx.projector', 1, 'acme', 0, 6, 'stalled', 'index row size'), ('neuronx.projector.control', 2, 'acme', 0, 9, 'live', ''),
			('neuronx.gohighlevel', 1, 'acme', 0, 4, 'stalled', 'poison'), ('neuronx.archiver', 1, 'globex', 0, 2, 'stalled', 'gap')`,
		`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'main', 1), ('acme', 'control', 2)`,
		`INSERT INTO projection.untouched VALUES ('acme', 'main', 1, 'leads', 'key_too_long', 3, 5)`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}
	run := func(code int, line string, want ...string) {
		t.Helper()
		got, out, errs := try(t, env, strings.Fields(line)...)
		if got != code {
			t.Errorf("%s: exit %d, want %d\n%s%s", line, got, code, out, errs)
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(strings.Fields(out+errs), " "), w) {
				t.Errorf("%s: no %q in\n%s%s", line, w, out, errs)
			}
		}
	}
	run(0, "projections list", "STATE APPLIED REASON", "acme control 2 true live 9", "acme main 1 true stalled 6 index row size leads key_too_long 3")
	run(0, "stalled list", "projector main acme 1 7 index row size", "gohighlevel main acme 1 5 poison", "archiver main globex 1 3 gap")
	run(3, "status", "neuronx.projector 1 acme 7 index row size", "neuronx.gohighlevel 1 acme 5 poison", "neuronx.archiver 1 globex 3 gap") // Kafka is away
	run(3, "status -o json", `"tenant_id": "globex", "sequence": 3,`)
	run(0, "stalled skip --consumer gohighlevel --tenant acme --reason r --sequence 5", "WOULD SKIP") // the number that status shows
	run(0, "stalled skip --consumer gohighlevel --tenant acme --reason r", "WOULD SKIP", "acme 1 5")
	run(4, "stalled skip --consumer gohighlevel --tenant acme --reason r --sequence 4 --execute", "at sequence 5, not 4")
	run(1, "stalled skip --consumer rules --tenant acme --reason r", "acme is not stalled in rules")
	run(1, "stalled retry --consumer rules --all --execute", "no tenant is stalled in rules")
	run(4, "stalled skip --consumer archiver --tenant globex --reason r --sequence 3 --execute", "hole in the archive")
	run(1, "stalled retry --consumer projector --feed control --tenant acme --execute", "not stalled")
	run(0, "stalled retry --consumer archiver --all", "WOULD RETRY")
	run(3, "stalled retry --consumer archiver --all --execute --timeout 1s", "RETRIED AT RESULT", "globex 1 3 waiting", "1 of 1 have not gone on yet") // nothing runs
	// serve takes up what is let go on, as the service does.
	serve := func(then string) (done chan error) {
		done = make(chan error, 1)
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				tag, err := admin.Exec(t.Context(), `UPDATE neuronx.progress SET `+then+` WHERE consumer = 'neuronx.projector' AND state = 'catching-up'`)
				if err != nil || tag.RowsAffected() > 0 {
					done <- err
					return
				}
			}
		}()
		return done
	}
	served := serve(`state = 'stalled', sequence = 8, reason = 'worse'`)
	run(3, "projections retry acme --execute", "projector main acme 1 7 stalled again sequence 9: worse", "1 of 1 are stalled again")
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	served = serve(`state = 'live', sequence = 30`)
	run(0, "projections retry acme --execute", "projector main acme 1 9 resumed worse")
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	run(0, "stalled list", "gohighlevel main acme 1 5 poison")
	if _, out, _ := try(t, env, "stalled", "list", "-o", "json"); strings.Contains(out, "globex") || strings.Contains(out, "projector") {
		t.Errorf("still stalled after the retry: %s", out)
	}
}
