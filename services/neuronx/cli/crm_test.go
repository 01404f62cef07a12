package cli

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
	"github.com/neuronx/engine/services/standin"
)

func TestCRM_ATokenIsTriedSealedReplacedAndDeleted(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	crm, err := standin.New(standin.Config{Tokens: map[string]string{"pit-canary-1": "locA", "pit-canary-3": "locB"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(crm.Handler())
	t.Cleanup(func() { srv.Close(); _ = crm.Close() })
	for name, token := range map[string]string{"one.token": "pit-canary-1\n", "bad.token": "pit-canary-0", "other.token": "pit-canary-3", "empty.token": " \n", "open.token": "pit-canary-1"} {
		if err := os.WriteFile(name, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod("open.token", 0o644); err != nil {
		t.Fatal(err)
	}
	e := operatetest.New(t)
	env, published := admit(t, e)
	env[operate.EnvCRM], env[operate.EnvKeyset] = srv.URL, filepath.Join(dir, "keyset.json")
	run := func(want int, line string, says ...string) {
		t.Helper()
		code, out, errs := try(t, env, append(strings.Fields(line), "--timeout", patient)...)
		if code != want {
			t.Fatalf("%s: exit %d, want %d\n%s%s", line, code, want, out, errs)
		}
		for _, s := range says {
			if !strings.Contains(out+errs, s) {
				t.Errorf("%s does not say %q\n%s%s", line, s, out, errs)
			}
		}
		if strings.Contains(out+errs, "canary") {
			t.Errorf("%s shows a token\n%s%s", line, out, errs)
		}
	}
	count := func(want int, what, sql string) {
		t.Helper()
		var n int
		if err := e.Root.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != want {
			t.Errorf("%d %s, want %d: %v", n, what, want, err)
		}
	}
	const tokens, connect = `SELECT count(*) FROM neuronx.crm_tokens`, "crm connect acme --location locA --execute --pit-file "

	run(exitUsage, connect+"one.token --token secret://x@1", "one of --pit-file, --oauth and --token")
	run(exitUsage, "crm connect acme --token secret://x@1 --execute", "--location is required")
	run(exitUsage, "crm connect acme --oauth --location locA --execute", "takes neither --location")
	run(exitUsage, "crm connect acme --oauth --execute", "NEURONX_PUBLIC_URL")
	env[operate.EnvPublic] = "https://crm.example.com/"
	count(0, "tickets", `SELECT count(*) FROM neuronx.crm_tickets`)
	run(exitOK, "crm connect acme --oauth", "would make an address")
	run(exitOK, "crm connect acme --oauth --mode send --execute", "https://crm.example.com/v1/oauth/gohighlevel/start?ticket=", "within 15 minutes")
	count(1, "tickets of acme in mode send", `SELECT count(*) FROM neuronx.crm_tickets WHERE tenant_id = 'acme' AND mode = 'send' AND adapter = 'gohighlevel' AND used_at IS NULL`)
	run(exitFailed, connect+"one.token", "read the master keyset", "restore it from its backup")
	run(exitOK, "crm keyset create keyset.json --execute")
	run(exitUnsafe, "crm keyset create keyset.json --execute", "there already")
	run(exitUsage, "crm keyset add none.json --execute", "there is no file")
	run(exitUsage, "crm keyset add one.token --execute", "no Tink keyset")
	run(exitUsage, "crm keyset promote keyset.json --execute", "seals already")
	first, err := os.ReadFile("keyset.json")
	if err != nil {
		t.Fatal(err)
	}
	run(exitOK, "crm keyset add keyset.json", "would replace keyset.json: Add a key")
	run(exitOK, "crm keyset add keyset.json --execute", "then run `neuronx crm keyset promote`")
	run(exitOK, "crm keyset promote keyset.json --execute", "restart the adapters")
	second, err := os.ReadFile("keyset.json")
	if err != nil || len(second) <= len(first) {
		t.Errorf("%d bytes after %d: %v", len(second), len(first), err)
	}
	if info, err := os.Stat("keyset.json"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before := len(published())
	for file, says := range map[string]string{"bad.token": "refuses the token", "other.token": "refuses the token", "empty.token": "is empty", "open.token": "chmod 600", "none.token": "there is no file"} {
		code, out, errs := try(t, env, append(strings.Fields(connect+file), "--timeout", patient)...)
		if code == exitOK || !strings.Contains(errs, says) || strings.Contains(errs, "canary") {
			t.Errorf("%s: exit %d\n%s%s", file, code, out, errs)
		}
	}
	count(0, "tokens after refusals", tokens)
	if n := len(published()) - before; n != 0 {
		t.Errorf("%d events of refused connections", n)
	}
	run(exitOK, "crm check --location locA --pit-file one.token", "locA")
	run(exitOK, connect+"one.token", `the token opens location locA`, "tenant acme is connected to locA in mode record")
	if said := published(); !strings.Contains(said[len(said)-1], `"token":"secret://locA@grant"`) {
		t.Errorf("the connection is %s", said[len(said)-1])
	}
	count(1, "tokens", tokens)
	// As the adapter folds it.
	if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES ('acme', 'gohighlevel', 'locA', 'secret://locA@grant', 'record', 7)
		ON CONFLICT (tenant_id, adapter) DO UPDATE SET location = 'locA', token = 'secret://locA@grant', mode = 'record'`); err != nil {
		t.Fatal(err)
	}
	run(exitUnsafe, "crm connect beta --location locA --execute --pit-file one.token", "tenant acme is connected to location locA")
	run(exitUsage, "crm rotate acme --execute --pit-file one.token", "in force already")
	run(exitFailed, "crm rotate acme --execute --pit-file bad.token", "refuses the token")
	run(exitOK, "crm rotate acme --execute --skip-check --pit-file bad.token --reason test", "is replaced")
	if said := published(); !strings.Contains(said[len(said)-1], `tenant.crm_grant_changed tenant/acme`) || !strings.Contains(said[len(said)-1], `"version":2`) {
		t.Errorf("the rotation is %s", said[len(said)-1])
	}
	count(2, "tokens after a rotation", tokens)
	if _, err := e.Root.Exec(t.Context(), `UPDATE neuronx.crm_grants SET given_at = now() - interval '81 days'`); err != nil {
		t.Fatal(err)
	}
	run(exitOK, "crm status --tenant acme", "locA", "active", "81 days old; replace it before day 90")
	run(exitOK, "crm disconnect acme --execute", "is disconnected")
	count(0, "tokens after the end", tokens)
	run(exitOK, "crm status --tenant acme", "revoked", "connect this account again")
	if _, err := e.Root.Exec(t.Context(), `DELETE FROM neuronx.crm_connections`); err != nil { // as the adapter folds it, without what it keeps
		t.Fatal(err)
	}
	before = len(published())
	run(exitOK, "crm disconnect acme --execute", "is not connected")
	run(exitUsage, "crm rotate acme --execute --skip-check --pit-file one.token", "is not connected to gohighlevel")
	if n := len(published()) - before; n != 0 {
		t.Errorf("%d events of verbs that did nothing", n)
	}
}
