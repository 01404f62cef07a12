package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func TestRulesReset_RefusesARuleThatIsNotThere(t *testing.T) {
	t.Chdir(t.TempDir())
	db := postgrestest.New(t, provision.Migrations()...)
	bundle := func(names ...string) string {
		var files []ruleset.File
		for _, name := range names {
			files = append(files, ruleset.File{Name: name + ".yaml", Text: ruleText(name, "true")})
		}
		text, err := json.Marshal(files)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	root := db.Pool(t, "")
	if _, err := root.Exec(t.Context(), `INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at) VALUES
		('acme', 1, 'e1', 1, 'h', 3, $1, 'x', now()), ('acme', 2, 'e2', 2, 'h', 3, $2, 'x', now())`, bundle("retired"), bundle("welcome", "qualify")); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Exec(t.Context(), `
		INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, state) VALUES ('neuronx.rules', 1, 'acme', 0, 2, 'live'), ('neuronx.rules', 1, 'bare', 0, 2, 'live');
		INSERT INTO neuronx.rule_health (tenant_id, rule, tripped) VALUES ('acme', 'qualify', 'failures'), ('acme', 'removed', 'storm')`); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}
	for _, x := range []struct {
		line string
		code int
		want string
	}{
		{"rules reset welcom --tenant acme", exitFailed, "error: there is no rule welcom next: did you mean welcome? `neuronx rules show --tenant acme` lists all"},
		{"rules reset welcom --tenant acme --execute", exitFailed, "did you mean welcome?"},
		{"rules reset retired --tenant acme", exitFailed, "there is no rule retired"}, // of an earlier version only
		{"rules reset zzzzzzz --tenant acme", exitFailed, "there is no rule zzzzzzz next: `neuronx rules show --tenant acme` lists all"},
		{"rules reset welcome --tenant bare", exitFailed, "there is no rule welcome next: bare has no rules; `neuronx rules publish"},
		{"rules reset welcome --tenant acme", exitOK, "rule welcome of acme has not tripped"},
		{"rules reset qualify --tenant acme", exitOK, "would turn rule qualify of acme on again"},
		{"rules reset removed --tenant acme", exitOK, "would turn rule removed of acme on again"}, // tripped, and not in force any more
	} {
		code, out, errs := try(t, env, strings.Fields(x.line)...)
		if got := strings.Join(strings.Fields(out+errs), " "); code != x.code || !strings.Contains(got, x.want) {
			t.Errorf("%s: exit %d, want %d with %q:\n%s", x.line, code, x.code, x.want, got)
		}
	}
}
