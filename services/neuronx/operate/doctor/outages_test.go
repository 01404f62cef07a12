package doctor

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestDoctor_AsksWhetherPostgresHasRoomAlsoAsARoleThatMayWriteNothing(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	for _, role := range []string{postgres.RoleOps, postgres.RoleReader} {
		x := session(map[string]string{operate.EnvPostgres: db.URL(role)})
		if f := x.checkWrites(t.Context()); f.Result != OK || !strings.HasPrefix(f.Detail, "it is a primary, and its disk has room, in ") {
			t.Errorf("as %s: %+v", role, f)
		}
		x.env.Close()
	}
}
