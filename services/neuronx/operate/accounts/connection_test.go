package accounts

import (
	"errors"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestCheckConnection_RefusesTheLocationOfAnotherTenant(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}[name]
	}}
	defer env.Close()
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES
		('acme', 'gohighlevel', 'loc1', 'secret://acme-ghl@1', 'record', 2), ('gone', 'gohighlevel', 'loc2', 'secret://gone-ghl@1', 'off', 2)`); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		tenant, location, base, mode string
		refused                      bool
	}{
		"another tenant's":               {"beta", "loc1", "", "send", true},
		"to record only":                 {"beta", "loc1", "", "record", true},
		"nothing is sent":                {"beta", "loc1", "", "off", false},
		"its own, again":                 {"acme", "loc1", "", "send", false},
		"of a tenant that was taken off": {"beta", "loc2", "", "send", false},
		"nobody's":                       {"beta", "loc3", "", "send", false},
		"of another CRM":                 {"beta", "loc1", "https://crm.example.com", "send", false},
	} {
		err := checkLocation(t.Context(), env, x.tenant, Connection{Adapter: "gohighlevel", Location: x.location, Mode: x.mode, BaseURL: x.base})
		var e *operate.Error
		if x.refused != (errors.As(err, &e) && e.Kind == operate.KindUnsafe && strings.Contains(e.What, "acme")) || !x.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
