package cli

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

// In a narrow terminal cells are cut, so what is not well is told whole below the table; JSON has it whole already.
func TestDoctor_TellsWholeWhatIsNotWell(t *testing.T) {
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	env := map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps), "COLUMNS": "60"}
	code, out, errs := try(t, env, "doctor")
	if code != exitFailed || !strings.Contains(out, " (fail)") || strings.Contains(out, " (ok)") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := try(t, env, "doctor", "-o", "json"); code != exitFailed || strings.Contains(out, " (fail)") || !strings.HasPrefix(out, "[") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
