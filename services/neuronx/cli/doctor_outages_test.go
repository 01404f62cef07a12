package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestDoctor_AsksWhetherPostgresHasRoomAlsoAsARoleThatMayWriteNothing(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	for _, role := range []string{postgres.RoleOps, postgres.RoleReader} {
		c := &cli{getenv: func(name string) (string, bool) { return db.URL(role), name == envPostgres }, settings: map[string]*string{}, now: time.Now}
		if f := c.checkWrites(t.Context()); f.Result != checkOK || !strings.HasPrefix(f.Detail, "it is a primary, and its disk has room, in ") {
			t.Errorf("as %s: %+v", role, f)
		}
		c.close()
	}
}
