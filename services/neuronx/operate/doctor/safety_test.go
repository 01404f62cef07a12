package doctor

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestDurable_NamesEverySettingThatMakesACommitAnEmptyPromise(t *testing.T) {
	good := map[string]string{"fsync": "on", "synchronous_commit": "remote_apply", "full_page_writes": "on"}
	if got := durable(good, false); len(got) != 1 || got[0].Result != OK {
		t.Fatal(got)
	}
	for setting := range good {
		have := map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", setting: "off"}
		have[setting] = "off"
		if got := durable(have, false); len(got) != 1 || got[0].Result != Failed || !strings.Contains(got[0].Next, "SET "+setting) {
			t.Errorf("%s: %+v", setting, got)
		}
		if got := durable(have, true); got[0].Result != Warn {
			t.Errorf("%s on a laptop: %+v", setting, got)
		}
	}
}

func TestBrokerVersions_WarnsOfBrokersThatMayElectALoser(t *testing.T) {
	for _, tc := range []struct {
		have map[int32]string
		want string
	}{
		{map[int32]string{1: "v4.3", 2: "v4.3"}, OK},
		{map[int32]string{1: "v4.3", 2: "v4.2"}, Warn},
		{map[int32]string{1: "v4.0"}, Warn},
		{map[int32]string{1: "v3.9"}, Warn},
		{map[int32]string{1: "unknown custom version"}, OK},
	} {
		if got := brokerVersions("k:9092", tc.have); got.Result != tc.want {
			t.Errorf("%v: %+v", tc.have, got)
		}
	}
}

func TestCheckWalls_SeesAWallThatWasTakenDown(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	ops := db.Pool(t, postgres.RoleOps)
	if got := checkWalls(t.Context(), ops); len(got) != 1 || got[0].Result != OK {
		t.Fatalf("a provisioned database: %+v", got)
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `ALTER TABLE neuronx.progress NO FORCE ROW LEVEL SECURITY`); err != nil {
		t.Fatal(err)
	}
	got := checkWalls(t.Context(), ops)
	if len(got) != 1 || got[0].Result != Failed || !strings.Contains(got[0].Detail, "neuronx.progress") {
		t.Fatalf("%+v", got)
	}
}
