package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestConnectCRM_NamesWhoElseHasTheLocation(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES
		('acme', 'gohighlevel', 'loc1', 'secret://acme-ghl@1', 'send', 2), ('beta', 'gohighlevel', 'loc2', 'secret://beta-ghl@1', 'send', 2)`); err != nil {
		t.Fatal(err)
	}
	var why bytes.Buffer
	c := &cli{getenv: func(name string) (string, bool) { return db.URL(postgres.RoleOps), name == envPostgres }, settings: map[string]*string{}, err: &why, format: formatTable}
	defer c.close()
	for tenant, warned := range map[string]bool{"acme": false, "beta": true, "new": true} {
		why.Reset()
		if err := c.warnOfSharing(t.Context(), tenant, "gohighlevel", "loc1"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(why.String(), "location of acme too"); got != warned {
			t.Errorf("%s at loc1: %q", tenant, why.String())
		}
	}
}
