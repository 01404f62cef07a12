package workflowstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

func waiting(id string) workflows.Row {
	return workflows.Row{ID: id, Workflow: "nurture", Key: "42", Subject: "lead/42", Contact: "42", Bundle: 3, Status: advance.Waiting, Started: begin, Sequence: 5,
		State: []byte(`{}`), Waits: []advance.Wanted{{Type: "lead.lost", Value: "42"}}}
}

// writeAll puts a row into every table.
func writeAll(s *workflowstore.Tenant) {
	s.PutInstance(waiting("i-1"))
	s.PutKeys("nurture", "42", advance.Keys{Starts: 1, LastStarted: begin})
	s.PutContact("42", []byte(`{}`))
	s.PutNamed(workflows.KindPace, "sms", []byte(`{}`))
	s.PutClaim("sales", "42", pool.Claim{Member: "ann"})
	s.PutAlias("lead/41", &alias.Edge{Into: "lead/42", Sequence: 5})
	s.Arm(workflows.Timer{Timer: advance.Timer{ID: "t-1", Token: 1, Task: "wait", Due: begin.Add(time.Hour), Armed: 5}, Instance: "i-1", Workflow: "nurture"})
}

// batchOf runs a batch of one tenant at an event.
func batchOf(t *testing.T, p *pgxpool.Pool, tenant string, sequence int64, now time.Time, fn func(s *workflowstore.Tenant)) {
	t.Helper()
	inTx(t, p, func(tx pgx.Tx) error {
		b := workflowstore.New(tx, partitions)
		r := &event.Recorded{Sequence: sequence, Position: event.PositionAt(now.UnixMilli())}
		r.ID = fmt.Sprintf("event-%d", sequence)
		b.Tenant(tenant).At(r)
		fn(b.Tenant(tenant))
		return b.Save(t.Context(), tx)
	})
}

func counts(t *testing.T, p *pgxpool.Pool, tenant string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, table := range workflowstore.Tables {
		var n int
		if err := p.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.`+table+` WHERE tenant_id = $1`, tenant).Scan(&n); err != nil {
			t.Fatal(err)
		}
		out[table] = n
	}
	return out
}

func TestBatch_WritesEveryTableOfItsTenantAndOfNoOther(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	batchOf(t, p, "acme", 5, begin, writeAll)
	for table, n := range counts(t, p, "acme") {
		if n != 1 {
			t.Errorf("%s has %d rows", table, n)
		}
	}
	// The same ids, keys and names of another tenant are others.
	inTx(t, p, func(tx pgx.Tx) error {
		s := workflowstore.New(tx, partitions).Tenant("other")
		if err := s.Preload(t.Context(), workflows.Reads{Instances: []string{"i-1"}, Waits: []advance.Wanted{{Type: "lead.lost", Value: "42"}}, Contacts: []string{"42"},
			Keys: []workflows.Pair{{Name: "nurture", Key: "42"}}, Claims: []workflows.Pair{{Name: "sales", Key: "42"}}}); err != nil {
			return err
		}
		row, err := s.Instance(t.Context(), "i-1")
		if row != nil || err != nil {
			t.Errorf("the instance of another tenant is read: %v, %v", row, err)
		}
		found, err := s.Waiting(t.Context(), []advance.Wanted{{Type: "lead.lost", Value: "42"}})
		if len(found) > 0 || err != nil {
			t.Errorf("an event finds the instance of another tenant: %v, %v", found, err)
		}
		contact, _ := s.Contact(t.Context(), "42")
		keys, _ := s.Keys(t.Context(), "nurture", "42")
		claims, _ := s.Claims(t.Context(), "sales", begin)
		n, _ := s.Count(t.Context())
		if contact != nil || keys.Starts > 0 || len(claims) > 0 || n > 0 {
			t.Errorf("read of another tenant: contact %s, keys %v, claims %v, %d instances", contact, keys, claims, n)
		}
		return nil
	})
}

func TestTables_AreReadByOperatorsAndWrittenByTheRulesAlone(t *testing.T) {
	db := database(t)
	batchOf(t, db.Pool(t, postgres.RoleRules), "acme", 5, begin, writeAll)
	for _, table := range workflowstore.Tables {
		for _, role := range postgres.Roles() {
			var n int
			err := db.Pool(t, role).QueryRow(t.Context(), `SELECT count(*) FROM neuronx.`+table).Scan(&n)
			sees := role == postgres.RoleRules || role == postgres.RoleOps
			if (err == nil) != sees || sees && n != 1 {
				t.Errorf("%s reads %d rows of %s: %v", role, n, table, err)
			}
			if _, err = db.Pool(t, role).Exec(t.Context(), `DELETE FROM neuronx.`+table+` WHERE false`); (err == nil) != (role == postgres.RoleRules) {
				t.Errorf("%s may delete from %s: %v", role, table, err)
			}
		}
		var forced bool
		if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = ('neuronx.' || $1)::regclass`, table).Scan(&forced); err != nil || !forced {
			t.Errorf("row security of %s is not forced: %v", table, err)
		}
	}
}

// The event is folded again: if the turns of a pool had been kept, somebody would be passed over.
func TestRollback_TakesNamedStatesBack(t *testing.T) {
	s := workflowstore.New(nil, partitions).Tenant("acme")
	s.Begin()
	s.PutNamed(workflows.KindPool, "sales", []byte(`{"ann":1}`))
	s.Begin()
	s.PutNamed(workflows.KindPool, "sales", []byte(`{"ann":2}`))
	s.Rollback()
	if got, err := s.Named(t.Context(), workflows.KindPool, "sales"); err != nil || string(got) != `{"ann":1}` {
		t.Errorf("after a rollback the turns are %s, %v; want those of the event before", got, err)
	}
}

func TestSave_WritesNothingThatARollbackKeeps(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	tx, err := p.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := workflowstore.New(tx, partitions)
	writeAll(b.Tenant("acme"))
	if err := b.Save(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for table, n := range counts(t, p, "acme") {
		if n != 0 {
			t.Errorf("%s has %d rows after a rollback", table, n)
		}
	}
}

// timerRow is what a test sees of a timer.
type timerRow struct {
	State, Cause string
	Attempt      int64
	Partition    int32
	Held         time.Time
}

func timerOf(t *testing.T, p *pgxpool.Pool, id string) (r timerRow, there bool) {
	t.Helper()
	rows, err := p.Query(t.Context(), `SELECT state, cause, attempt, partition, held_until FROM neuronx.timers WHERE id = $1`, id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[timerRow])
	if err != nil || len(list) == 0 {
		if err != nil {
			t.Fatal(err)
		}
		return r, false
	}
	return list[0], true
}

// clock is that of Postgres.
func clock(t *testing.T, p *pgxpool.Pool) (now time.Time) {
	t.Helper()
	if err := p.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now
}

func TestTimers_ThatFiredEarlyAreHeldLongerEachTimeAndAnHourAtMost(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	batchOf(t, p, "acme", 5, begin, writeAll)
	armed, _ := timerOf(t, p, "t-1")
	if want := kafka.PartitionFor([]byte("acme"), partitions); armed.State != "armed" || armed.Cause != "event-5" || armed.Partition != want {
		t.Fatalf("armed as %+v, want partition %d", armed, want)
	}
	for i, step := range []struct {
		now  time.Time
		held time.Duration
	}{
		{begin.Add(50 * time.Minute), 10 * time.Minute}, // until its due
		{begin.Add(time.Hour), 10 * time.Second},        // it is due by the log now: the hold of a second attempt alone
		{begin.Add(time.Hour), 20 * time.Second},
		{begin.Add(-24 * time.Hour), time.Hour}, // a day before its due, but the clock may be right in an hour
	} {
		before := clock(t, p)
		if _, err := p.Exec(t.Context(), `UPDATE neuronx.timers SET state = 'firing', fired_at = now()`); err != nil {
			t.Fatal(err)
		}
		batchOf(t, p, "acme", int64(6+i), step.now, func(s *workflowstore.Tenant) { s.Early("t-1") })
		got, there := timerOf(t, p, "t-1")
		if !there || got.State != "armed" || got.Attempt != int64(i+1) || got.Held.Sub(before) < step.held || got.Held.Sub(clock(t, p)) > step.held {
			t.Errorf("early firing %d at %s: %+v, want it held for %s since %s", i+1, step.now, got, step.held, before)
		}
	}
	batchOf(t, p, "acme", 20, begin, func(s *workflowstore.Tenant) {
		s.Early("t-1")
		s.Disarm("t-1")
		s.Early("t-1")
		s.Disarm("never-armed")
	})
	if got, there := timerOf(t, p, "t-1"); there {
		t.Errorf("a disarmed timer stays: %+v", got)
	}
}

func TestPrune_DeletesWhatEndedThirtyDaysAgoAndKeepsItsKeys(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	now := time.Now()
	ends := map[string]time.Time{"old": now.Add(-31 * 24 * time.Hour), "young": now.Add(-29 * 24 * time.Hour)}
	for id, end := range ends {
		batchOf(t, p, "acme", 5, end, func(s *workflowstore.Tenant) {
			r := waiting(id)
			r.Status, r.Waits = advance.Completed, nil
			s.PutInstance(r)
			s.PutKeys("nurture", id, advance.Keys{Starts: 1, LastStarted: begin, LastEnded: end})
		})
	}
	batchOf(t, p, "acme", 6, now, func(s *workflowstore.Tenant) { s.PutInstance(waiting("lives")) })
	n, err := workflowstore.Prune(t.Context(), p)
	if err != nil || n != 1 {
		t.Fatalf("%d instances pruned, %v", n, err)
	}
	rows, err := p.Query(t.Context(), `SELECT id FROM neuronx.workflow_instances ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if got := strings.Join(left, " "); err != nil || got != "lives young" || counts(t, p, "acme")["workflow_keys"] != 2 {
		t.Errorf("left are %q and %v, %v", got, counts(t, p, "acme"), err)
	}
	// A second end of the same instance, such as an erasure, does not begin its thirty days again.
	batchOf(t, p, "acme", 7, now, func(s *workflowstore.Tenant) {
		r := waiting("young")
		r.Status, r.Waits = advance.Completed, nil
		s.PutInstance(r)
	})
	var ended time.Time
	if err := p.QueryRow(t.Context(), `SELECT ended FROM neuronx.workflow_instances WHERE id = 'young'`).Scan(&ended); err != nil || ended.Sub(ends["young"]).Abs() > time.Second {
		t.Errorf("it ended at %s, %v", ended, err)
	}
}
