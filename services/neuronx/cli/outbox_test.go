package cli

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

func TestOutboxMend_SaysWhatIsMissingAndMendsItOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	env, _ := admit(t, e)
	env[operate.EnvAdmin] = e.DB.AdminURL
	if _, err := e.Root.Exec(t.Context(), `DELETE FROM neuronx.outbox WHERE number IN (1, 2)`); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ line, want, not string }{
		{"outbox mend acme --deriver rules", "acme rules 1 missing acme rules 2 missing 2 numbers missing and 0 jumps behind 0, which the sequencer has; repeat with --execute", "mended"},
		{"outbox mend acme --deriver rules --execute", "acme rules 1 mended acme rules 2 mended", "repeat"},
		{"outbox mend acme --deriver rules --execute", "", "mended"},
		{"outbox mend acme --deriver rules", "", "repeat"},
	} {
		code, out, errs := try(t, env, strings.Fields(x.line)...)
		if text := strings.Join(strings.Fields(out+errs), " "); code != exitOK || !strings.Contains(text, x.want) || strings.Contains(text, x.not) {
			t.Errorf("%s: exit %d\n%s%s", x.line, code, out, errs)
		}
	}
	var n int
	if err := e.Root.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.outbox WHERE tenant_id = 'acme' AND deriver = 'rules'`).Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows, %v", n, err)
	}
}
