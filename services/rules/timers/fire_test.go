package timers_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/timers"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 12

// rig is a process that owns everything.
type rig struct {
	t       *testing.T
	db      *postgrestest.DB
	pool    *pgxpool.Pool
	box     *outbox.Outbox
	now     time.Time // of the process
	tenants map[string]time.Time
	*timers.Timers
}

func newRig(t *testing.T) *rig {
	t.Helper()
	catalogue, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	db := postgrestest.New(t, outbox.Migrations(), rules.Migrations())
	r := &rig{t: t, db: db, pool: db.Pool(t, postgres.RoleRules), now: time.Now(), tenants: map[string]time.Time{}}
	r.box = outbox.New(timers.Deriver, event.NewKeyring())
	r.Timers = timers.New(timers.Config{Pool: r.pool, Box: r.box, Schemas: catalogue, Log: slog.New(slog.DiscardHandler), Clock: timers.NewClock(func() time.Time { return r.now }),
		Open: func(context.Context) (all []int32) {
			for p := range int32(partitions) {
				all = append(all, p)
			}
			return all
		},
		Through: func(_ context.Context, of []string) (map[string]time.Time, error) {
			out := map[string]time.Time{}
			for _, tenant := range of {
				if until, may := r.tenants[tenant]; may {
					out[tenant] = until
				}
			}
			return out, nil
		}})
	return r
}

// arm arms timers of a tenant that may fire; each is due so long after a minute ago.
func (r *rig) arm(tenant string, after ...time.Duration) {
	r.t.Helper()
	r.tenants[tenant] = r.now.Add(24 * time.Hour)
	err := pgx.BeginFunc(r.t.Context(), r.pool, func(tx pgx.Tx) error {
		b := workflowstore.New(tx, partitions)
		s := b.Tenant(tenant)
		cause := &event.Recorded{Sequence: 7, Position: event.PositionAt(r.now.UnixMilli())}
		cause.ID = "cause"
		s.At(cause)
		s.PutInstance(workflows.Row{ID: "i-1", Workflow: "nurture", Key: "42", Subject: "lead/42", Bundle: 3, Status: advance.Waiting, Started: r.now, Sequence: 7,
			State: []byte(`{"v":1,"instance":{"correlation":"corr-1","origin":"import"}}`)})
		for i, d := range after {
			s.Arm(workflows.Timer{Timer: advance.Timer{ID: fmt.Sprintf("t-%03d", i), Token: 1, Task: "wait", Due: r.now.Add(-time.Minute + d), Armed: 7}, Instance: "i-1", Workflow: "nurture"})
		}
		return b.Save(r.t.Context(), tx)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) pass() {
	r.t.Helper()
	if err := r.Pass(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func TestPass_FiresTimersOfAnInstanceThatHoldsANUL(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 0)
	r.arm("other", 0)
	if _, err := r.pool.Exec(t.Context(), `UPDATE neuronx.workflow_instances SET state = $1 WHERE tenant_id = 'acme'`,
		`{"v":1,"instance":{"key":"\"correlation\":\"key\"","origin":"import","correlation":"c\"1","vars":{"nul":"a\u0000","correlation":"var","origin":"var"}}}`); err != nil {
		t.Fatal(err)
	}
	r.pass()
	for tenant, correlation := range map[string]string{"acme": `c"1`, "other": "corr-1"} {
		if len(r.waiting(tenant)) != 1 {
			t.Errorf("%s fired %v", tenant, r.waiting(tenant))
		}
		var record []byte
		if err := r.pool.QueryRow(t.Context(), `SELECT record FROM neuronx.outbox WHERE tenant_id = $1`, tenant).Scan(&record); err != nil || !bytes.Contains(record, []byte(correlation)) || !bytes.Contains(record, []byte("import")) {
			t.Errorf("%s: %q, %v", tenant, record, err)
		}
	}
}

// waiting lists the event ids in the outbox of a tenant by number.
func (r *rig) waiting(tenant string) []string {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(), `SELECT event_id FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = 'timers' ORDER BY number`, tenant)
	if err != nil {
		r.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

// state is "state attempt" of a timer, and for how long it is held.
func (r *rig) state(tenant, id string) (state string, held time.Duration) {
	r.t.Helper()
	var until, now time.Time
	err := r.pool.QueryRow(r.t.Context(), `SELECT state || ' ' || attempt, held_until, now() FROM neuronx.timers WHERE tenant_id = $1 AND id = $2`, tenant, id).Scan(&state, &until, &now)
	if err != nil {
		r.t.Fatal(err)
	}
	return state, until.Sub(now)
}

func samePartition(a, b string) bool {
	return kafka.PartitionFor([]byte(a), partitions) == kafka.PartitionFor([]byte(b), partitions)
}

func ids(tenant string, attempt int64, timer ...string) []string {
	var out []string
	for _, id := range timer {
		out = append(out, timers.EventID(tenant, id, attempt))
	}
	return out
}

func TestPass_FiresWhatIsDueOnceInTheOrderOfDue(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 10*time.Second, time.Hour, 5*time.Second)
	r.pass()
	r.pass()
	if got, want := r.waiting("acme"), ids("acme", 0, "t-002", "t-000"); !slices.Equal(got, want) {
		t.Errorf("in the outbox are %v, want %v", got, want)
	}
	for id, want := range map[string]string{"t-000": "firing 0", "t-001": "armed 0", "t-002": "firing 0"} {
		if got, _ := r.state("acme", id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// A row that says firing while no outbox has its event is a timer that fires no more.
func TestPass_MarksATimerOnlyTogetherWithItsFiring(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 0)
	r.db.Without(t, postgres.RoleRules, "neuronx.outbox", func() error {
		_ = r.Pass(t.Context()) // whether it reports one tenant, or tries it again later, is not this test's
		_, err := r.pool.Exec(t.Context(), `DELETE FROM neuronx.outbox`)
		return err
	})
	if got, _ := r.state("acme", "t-000"); got != "armed 0" {
		t.Errorf("no outbox has its firing, and the timer is %s", got)
	}
	r.now = r.now.Add(time.Hour)
	r.pass()
	if got, want := r.waiting("acme"), ids("acme", 0, "t-000"); !slices.Equal(got, want) {
		t.Errorf("in the outbox are %v, want %v", got, want)
	}
}

func TestPass_AsksBothClocks(t *testing.T) {
	r := newRig(t)
	r.arm("acme", time.Hour)
	r.now = r.now.Add(3 * time.Hour) // this machine runs ahead
	r.pass()
	if got := r.waiting("acme"); len(got) > 0 {
		t.Errorf("fired although it is not due by the clock of Postgres: %v", got)
	}
	r.now = r.now.Add(-6 * time.Hour) // or behind
	r.arm("acme", -time.Hour)
	r.now = r.now.Add(-6 * time.Hour)
	r.pass()
	if got := r.waiting("acme"); len(got) > 0 {
		t.Errorf("fired although it is not due by the clock of this process: %v", got)
	}
}

func TestPass_LetsNoHerdStandBeforeOthers(t *testing.T) {
	r := newRig(t)
	herd := make([]time.Duration, timers.MostPerTenant+150)
	r.arm("herd", herd...)
	var lone string // in the same partition
	for i := 0; ; i++ {
		if lone = fmt.Sprintf("lone-%d", i); samePartition(lone, "herd") {
			break
		}
	}
	r.arm(lone, 30*time.Second) // due after all of the herd
	r.arm("suspended", 0)
	delete(r.tenants, "suspended")
	r.pass()
	if got := len(r.waiting("herd")); got != timers.MostPerTenant {
		t.Errorf("%d of the herd are on their way, want %d", got, timers.MostPerTenant)
	}
	if got := len(r.waiting(lone)); got != 1 {
		t.Errorf("the timer of the other tenant waits behind the herd")
	}
	if got := r.waiting("suspended"); len(got) > 0 {
		t.Errorf("a tenant that may not fire fires %v", got)
	}
	r.exec(`DELETE FROM neuronx.timers WHERE tenant_id = 'herd' AND state = 'firing'`) // they were read back
	r.pass()
	if got := len(r.waiting("herd")); got != len(herd) {
		t.Errorf("%d of the herd were fired in two passes, want all %d", got, len(herd))
	}
}

// All that fits into a look is of a tenant that may not fire, and is due first.
func TestPass_LetsNoSuspendedTenantStandBeforeOthers(t *testing.T) {
	r := newRig(t)
	r.arm("suspended", make([]time.Duration, timers.MostPerPartition+1)...)
	delete(r.tenants, "suspended")
	var lone string
	for i := 0; ; i++ {
		if lone = fmt.Sprintf("lone-%d", i); samePartition(lone, "suspended") {
			break
		}
	}
	r.arm(lone, 30*time.Second)
	r.pass()
	if got := len(r.waiting(lone)); got != 1 {
		t.Errorf("%d firings of the tenant behind the suspended one", got)
	}
}

func TestPass_FiresOnlyWhatTheRulesHaveReached(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 0, 30*time.Second)
	r.tenants["acme"] = r.now.Add(-45 * time.Second) // the rules are behind: a cancellation may come
	r.pass()
	if got, want := r.waiting("acme"), ids("acme", 0, "t-000"); !slices.Equal(got, want) {
		t.Errorf("in the outbox are %v, want %v", got, want)
	}
}

func TestSweep_FiresAgainWhatIsInNeitherTheOutboxNorTheLog(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 0, 0)
	r.pass()
	r.exec(`UPDATE neuronx.timers SET fired_at = now() - interval '6 minutes'`)
	r.exec(`DELETE FROM neuronx.outbox WHERE event_id = $1`, timers.EventID("acme", "t-001", 0))
	sweep := func() {
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.tenants["acme"] = r.now.Add(-2 * time.Minute) // the firing may stand in the log, and be read yet
	sweep()
	if got, _ := r.state("acme", "t-001"); got != "firing 0" {
		t.Fatalf("it is %s while the rules are behind", got)
	}
	r.tenants["acme"] = r.now.Add(time.Hour)
	sweep()
	if got, _ := r.state("acme", "t-000"); got != "firing 0" {
		t.Errorf("one that waits in the outbox is %s", got)
	}
	if got, _ := r.state("acme", "t-001"); got != "armed 1" {
		t.Errorf("the lost one is %s", got)
	}
	r.now = r.now.Add(time.Second)
	r.pass()
	if got, want := r.waiting("acme"), append(ids("acme", 0, "t-000"), ids("acme", 1, "t-001")...); !slices.Equal(got, want) {
		t.Errorf("in the outbox are %v, want %v: a second firing must not be taken for the first", got, want)
	}
	if first := timers.EventID("acme", "t-001", 0); slices.Contains(r.waiting("acme"), first) {
		t.Errorf("the second firing has the id of the first, %s: the log would swallow it", first)
	}
}

func TestRefused_HoldsLongerEachTimeAndOnlyTheAttemptThatWasRefused(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 0)
	r.pass()
	code := "unknown_schema"
	refuse := func(attempt int64) {
		t.Helper()
		e := &event.Event{TenantID: "acme", Type: timers.Type, Subject: "timer/t-000", ID: timers.EventID("acme", "t-000", attempt)}
		if err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error { _, err := r.Refused(t.Context(), tx, e, code); return err }); err != nil {
			t.Fatal(err)
		}
	}
	refuse(0)
	if got, held := r.state("acme", "t-000"); got != "armed 1" || held > 5*time.Second {
		t.Errorf("after one refusal it is %s, held %s", got, held)
	}
	r.exec(`UPDATE neuronx.timers SET state = 'firing', fired_at = now(), attempt = 12`)
	code = "\xff" // no text, which a metric's label has to be
	refuse(0)     // read again
	if got, _ := r.state("acme", "t-000"); got != "firing 12" {
		t.Errorf("an old refusal that is read again makes it %s", got)
	}
	refuse(12)
	if got, held := r.state("acme", "t-000"); got != "armed 13" || held > time.Hour || held < 30*time.Minute {
		t.Errorf("after many refusals it is %s, held %s", got, held)
	}
}

func TestEarly_PausesTheProcess(t *testing.T) {
	r := newRig(t)
	r.arm("acme", 0)
	r.Early(1)
	r.pass()
	if got := r.waiting("acme"); len(got) > 0 {
		t.Errorf("fired in the pause: %v", got)
	}
	r.now = r.now.Add(2 * time.Minute)
	r.pass()
	if got := r.waiting("acme"); len(got) != 1 {
		t.Error("fires nothing after the pause")
	}
}
