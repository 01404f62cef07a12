package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// archiveOf makes a tenant's archive of events 1 to n, and the archiver's row.
const archiveOf = `WITH leaf AS (SELECT neuronx.ensure_tenant($1)), row AS (
		INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ('neuronx.archiver', 1, $1, 0, $2))
	SELECT * FROM leaf`

const archiveEvents = `INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id,
	schema_id, log_id, log_partition, log_offset, hash, payload, data)
	SELECT $1, n, n, 'e' || n, 'lead.created', 'lead/1', '/t', now(), '', '', 1, 'l', 0, n, sha256(convert_to('p' || n, 'UTF8')), convert_to('p' || n, 'UTF8'), '{}' FROM generate_series(1, $2::bigint) n`

func TestCheckArchive_NamesHolesAndSaysWhatItLookedAt(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	root := db.Pool(t, "")
	for tenant, n := range map[string]int64{"acme": 2500, "beta": 40, "empty": 0} {
		for _, sql := range []string{archiveOf, archiveEvents} {
			if _, err := root.Exec(t.Context(), sql, tenant, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func() string {
		t.Helper()
		found, err := lookAtArchive(t.Context(), db.Pool(t, postgres.RoleOps), time.Minute, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, f := range judgeArchive(found) {
			text = append(text, f.Result+": "+f.Detail)
		}
		return strings.Join(text, "\n")
	}
	if got := look(); got != "ok: no hole: counted all 2540 events of 3 tenants; "+bytesLookedAt {
		t.Fatal(got)
	}
	damage := func(sql, want string) {
		t.Helper()
		if _, err := root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if got := look(); !strings.Contains(got, want) || !strings.HasPrefix(got, "fail") {
			t.Errorf("after %s:\n%s\nwant %s", sql, got, want)
		}
	}
	damage(`UPDATE neuronx.progress SET sequence = 42 WHERE tenant_id = 'beta'`, "the archive of beta lacks 41 to 42,")
	damage(`DELETE FROM neuronx.tenant_events WHERE tenant_id = 'beta' AND sequence = 1`, "the archive of beta lacks 1, 41 to 42,")
	damage(`DELETE FROM neuronx.tenant_events WHERE tenant_id = 'acme' AND sequence BETWEEN 1400 AND 1600`, "the archive of acme lacks 1400 to 1500, 1501 to 1600,")
	damage(`DELETE FROM neuronx.tenant_events WHERE tenant_id = 'acme' AND sequence IN (2400, 2402, 2404, 2406)`, "and more")
	damage(`UPDATE neuronx.progress SET sequence = 30 WHERE tenant_id = 'beta'`, "the archive of beta holds sequences 31 to 40, which the archiver's row does not know of")
	damage(`UPDATE neuronx.tenant_events SET payload = 'other' WHERE tenant_id = 'beta' AND sequence = 39`, "1 of the newest events in the archive of beta")
	damage(`UPDATE neuronx.progress SET sequence = 3 WHERE tenant_id = 'empty'`, "the archive of empty lacks 1 to 3,")
}

func TestCheckArchive_ThatRunsOutOfTimeSaysHowFarItCame(t *testing.T) {
	got := judgeArchive([]*tenantArchive{{tenant: "acme", row: 900, high: 900, low: 401}, {tenant: "beta", row: 5, high: 5, low: 1}})
	if len(got) != 1 || got[0].Result != OK || got[0].Detail != "no hole in the newest 505 of 905 events, which were counted in 5s: of acme from sequence 401 on; "+bytesLookedAt {
		t.Errorf("%+v", got)
	}
	db := postgrestest.New(t, provision.Migrations()...)
	for _, sql := range []string{archiveOf, archiveEvents} {
		if _, err := db.Pool(t, "").Exec(context.Background(), sql, "acme", int64(10)); err != nil {
			t.Fatal(err)
		}
	}
	found, err := lookAtArchive(t.Context(), db.Pool(t, postgres.RoleOps), 0, 1000)
	if err != nil || len(found) != 1 || found[0].low != 11 {
		t.Errorf("%+v, %v", found, err)
	}
}

// However many events the chunks leave to the last look, the first event is looked for, too.
func TestCheckArchive_LooksDownToTheFirstEvent(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	root := db.Pool(t, "")
	for _, n := range []int64{9, 10, 11, 21} {
		tenant := fmt.Sprint("t", n)
		for _, sql := range []string{archiveOf, archiveEvents} {
			if _, err := root.Exec(t.Context(), sql, tenant, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, damage := range []bool{false, true} {
		found, err := lookAtArchive(t.Context(), db.Pool(t, postgres.RoleOps), time.Minute, 10)
		if err != nil || len(found) != 4 {
			t.Fatal(len(found), err)
		}
		for _, a := range found {
			if want := map[bool]string{false: "[]", true: "[{1 1}]"}[damage]; a.low != 1 || fmt.Sprint(a.missing) != want {
				t.Errorf("%s: looked down to %d, missing %v, want %s", a.tenant, a.low, a.missing, want)
			}
		}
		if _, err := root.Exec(t.Context(), `DELETE FROM neuronx.tenant_events WHERE sequence = 1`); err != nil {
			t.Fatal(err)
		}
	}
}
