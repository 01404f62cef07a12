package doctor

import (
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestDoctor_WarnsOfRulesThatAreOff(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	ops := db.Pool(t, postgres.RoleOps)
	if got := checkTripped(t.Context(), ops); len(got) != 1 || got[0].Result != OK {
		t.Errorf("nobody's rules are off: %+v", got)
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at, by_data, last_data) VALUES
		('acme', 'route', 5, 'failures', 8, 0, ''), ('zeta', 'call', 0, '', 0, 7, 'type')`); err != nil {
		t.Fatal(err)
	}
	got := checkTripped(t.Context(), ops)
	if len(got) != 2 || got[0].Result != Warn || got[0].Detail != "route of acme: off: failures" || got[0].Next != "neuronx rules reset route --tenant acme" ||
		got[1].Detail != "call of zeta: failed on 7 events by their values, last with type" {
		t.Errorf("%+v", got)
	}
}
