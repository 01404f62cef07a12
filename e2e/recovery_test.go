//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/services/neuronx/reseed"
)

const (
	recoveryTenants = 6
	recoveryCRMs    = 4
)

// TestRecovery loses first Kafka, then a part of Postgres, and follows docs/operations.md.
func TestRecovery(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	r := begin(t, cluster.Options{Ingests: 1, Broker: broker}, seedOf(t), recoveryTenants, recoveryCRMs)
	plan := load.Plan{Rate: 300, Batch: 5, Clients: 4}
	// The archiver dies first, so that everybody else is ahead of the archive when Kafka is lost.
	r.under(plan, func(ctx context.Context) {
		rest(ctx, 5*time.Second)
		cluster.Must(t, r.c.Processes["archiver"].Kill9())
		rest(ctx, 2*time.Second)
	})
	rest(ctx, time.Second)
	cluster.Must(t, r.c.KillAll())
	before, err := checker.ReadHistory(r.history())
	cluster.Must(t, err)
	cluster.Must(t, r.c.LoseKafka(ctx))

	standStill(ctx, t, r.c)
	report := reseedLog(ctx, t, r.c)
	began := time.Now()
	startAll(ctx, t, r.c)
	r.waitIdle(ctx)
	t.Logf("all at rest %s after the start: %d events were written again, %d consumers' rows were ahead, %d events derived again, %d effects set aside",
		time.Since(began).Truncate(time.Millisecond), written(report), len(report.Lost), report.Again, report.Aside)
	if len(report.Lost) == 0 || written(report) == 0 {
		t.Errorf("%d rows ahead and %d events: too little to prove anything", len(report.Lost), written(report))
	}
	before = r.sendAgain(ctx, before, report)
	r.seed++
	r.under(plan, func(ctx context.Context) { rest(ctx, 2*time.Second) })
	r.waitIdle(ctx)
	history := before
	more, err := checker.ReadHistory(r.history())
	cluster.Must(t, err)
	history = append(history, more...)
	r.proves(ctx, history)
	if out, code := runReseed(ctx, r.c, "--execute"); code != 4 {
		t.Errorf("a reseed under running services: exit %d\n%s", code, out)
	}

	// Postgres goes back to a copy, while Kafka and the CRM have gone on.
	cluster.Must(t, r.c.StopAll())
	cluster.Must(t, r.c.Backup(ctx))
	startAll(ctx, t, r.c)
	sent, err := r.c.Calls(ctx)
	cluster.Must(t, err)
	r.seed++
	r.under(plan, func(ctx context.Context) { rest(ctx, 3*time.Second) })
	r.waitIdle(ctx)
	more, err = checker.ReadHistory(r.history())
	cluster.Must(t, err)
	history = append(history, more...)
	calls, err := r.c.Calls(ctx)
	cluster.Must(t, err)
	cluster.Must(t, r.c.StopAll())
	cluster.Must(t, r.c.Restore(ctx))
	began = time.Now()
	startAll(ctx, t, r.c)
	r.waitIdle(ctx)
	r.set(ctx, len(calls)-len(sent))
	t.Logf("at rest %s after the start", time.Since(began).Truncate(time.Millisecond))
	again, err := r.c.Calls(ctx)
	cluster.Must(t, err)
	if len(calls) == len(sent) || len(again) != len(calls) {
		t.Errorf("%d calls before the backup, %d before the restore, %d after it", len(sent), len(calls), len(again))
	}
	r.proves(ctx, history)
}

// set requires that the adapter took its ledger for a restored one, and that no effect is left open that the log has the outcome of.
func (r *round) set(ctx context.Context, calls int) {
	r.t.Helper()
	var freezes, unknown, lost int
	cluster.Must(r.t, r.c.Admin.QueryRow(ctx, `SELECT (SELECT count(*) FROM neuronx.effect_freezes),
		(SELECT count(*) FROM neuronx.effects WHERE code = 'ledger_restored'),
		(SELECT count(*) FROM neuronx.effects WHERE code = 'command_lost')`).Scan(&freezes, &unknown, &lost))
	r.t.Logf("the ledger was taken for a restored one in %d scopes after %d calls that it lacks; %d effects wait for a person, %d had been set aside",
		freezes, calls, unknown, lost)
	if freezes == 0 {
		r.t.Error("the adapter did not notice that its ledger is older than the log")
	}
	if unknown > 0 {
		r.t.Errorf("%d effects have an outcome in the log and are unknown", unknown)
	}
}

func startAll(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	cluster.Must(t, c.StartAll(ctx))
}

// standStill starts every service on the empty Kafka: each must say what is wrong and what helps, and do nothing.
func standStill(ctx context.Context, t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, n := range c.Services() {
		cluster.Must(t, c.Processes[n].Start())
	}
	for _, n := range c.Services() {
		p := c.Processes[n]
		if err := cluster.Eventually(ctx, time.Minute, func(context.Context) error {
			if p.Running() {
				return fmt.Errorf("%s runs on an empty log:\n%s", n, p.Tail(5))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if tail := p.Tail(3); !strings.Contains(tail, "recreated") || !strings.Contains(tail, "neuronx log reseed --from-archive") {
			t.Errorf("%s does not name the problem:\n%s", n, tail)
		}
	}
	log, err := c.Log(ctx)
	if err != nil || len(log) > 0 {
		t.Errorf("something was written to the empty log: %d events, %v", len(log), err)
	}
}

// runReseed runs the documented command.
func runReseed(ctx context.Context, c *cluster.Cluster, args ...string) (string, int) {
	cmd := c.Command(ctx, append([]string{"log", "reseed", "--from-archive", "-o", "json"}, args...)...)
	admin, err := c.AdminEnv(ctx)
	if err != nil {
		return err.Error(), -1
	}
	cmd.Env = append(cmd.Env, admin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return out.String() + errs.String(), code
	}
	return out.String(), 0
}

// mustReseed runs the documented command and returns its report.
func mustReseed(ctx context.Context, t *testing.T, c *cluster.Cluster, args ...string) (report reseed.Report) {
	t.Helper()
	out, code := runReseed(ctx, c, args...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 {
		t.Fatalf("reseed %v: exit %d, %v\n%s", args, code, err, out)
	}
	return report
}

// reseedLog looks first, is killed in the middle of the act, goes on, and finds nothing to do after it.
func reseedLog(ctx context.Context, t *testing.T, c *cluster.Cluster) reseed.Report {
	t.Helper()
	dry := mustReseed(ctx, t, c)
	if log, err := c.Log(ctx); err != nil || len(log) > 0 {
		t.Fatalf("a dry run wrote %d events, %v", len(log), err)
	}
	killed := c.Command(ctx, "log", "reseed", "--from-archive", "--execute")
	admin, err := c.AdminEnv(ctx)
	cluster.Must(t, err)
	killed.Env = append(killed.Env, admin)
	progress, err := killed.StderrPipe()
	cluster.Must(t, err)
	cluster.Must(t, killed.Start())
	bufio.NewScanner(progress).Scan() // the first partition is written
	_ = killed.Process.Kill()
	_ = killed.Wait()
	done := mustReseed(ctx, t, c, "--execute")
	if len(done.Lost) != len(dry.Lost) || written(dry) != written(done) {
		t.Errorf("the dry run promised %d events and %d rows ahead, it became %d and %d", written(dry), len(dry.Lost), written(done), len(done.Lost))
	}
	if again := mustReseed(ctx, t, c, "--execute"); !again.Done {
		t.Errorf("a second reseed found something to do: %+v", again)
	}
	return done
}

func written(r reseed.Report) (n int64) {
	for _, p := range r.Partitions {
		n += p.Events
	}
	return n
}

// sendAgain finds what clients were told is accepted and is gone: each must be of a tenant that the report named. A producer that
// retries gets such an event admitted under its id. What is not sent again is taken out of the account.
func (r *round) sendAgain(ctx context.Context, ops []checker.Op, report reseed.Report) []checker.Op {
	r.t.Helper()
	log, err := r.c.Log(ctx)
	cluster.Must(r.t, err)
	there := map[[2]string]bool{}
	for i := range log {
		there[[2]string{log[i].TenantID, log[i].ID}] = true
	}
	named, keys := map[string]int64{}, map[string]string{}
	for _, l := range report.Lost {
		named[l.Tenant] = max(named[l.Tenant], l.Applied-l.Archived)
	}
	for _, t := range r.tenants {
		keys[t.ID] = t.Key
	}
	missing, retried := map[string]int64{}, 0
	for i := range ops {
		op := &ops[i]
		if there[[2]string{op.Tenant, op.ID}] || op.Outcome != checker.OK {
			continue
		}
		missing[op.Tenant]++
		if op.Type != "lead.created" || retried >= 20 {
			op.Outcome = checker.Unknown
			continue
		}
		retried++
		body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/e2e/%s","type":"lead.created","subject":%q,"data":{"lead_id":%q}}`,
			op.ID, op.Client, op.Subject, strings.TrimPrefix(op.Subject, "lead/"))
		cluster.Must(r.t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { return postEvent(ctx, r.c.HTTPURLs[0], keys[op.Tenant], body) }))
	}
	for tenant, n := range missing {
		if n > named[tenant] {
			r.t.Errorf("%d acknowledged events of %s are gone, the report named %d", n, tenant, named[tenant])
		}
	}
	if retried == 0 {
		r.t.Error("nothing that was lost was sent again")
	}
	return ops
}

// proves lets the checker decide over everything, old and new.
func (r *round) proves(ctx context.Context, ops []checker.Op) {
	r.t.Helper()
	d, err := r.c.Dump(ctx)
	cluster.Must(r.t, err)
	d.Ops = ops
	d.Stored, err = r.c.StoredAs(ctx)
	cluster.Must(r.t, err)
	for _, v := range checker.Check(d) {
		r.t.Error(v)
	}
	logs := map[string]int{}
	for i := range d.Log {
		logs[d.Log[i].LogID]++
	}
	r.t.Logf("checked %d events of %d logs, %d effects, %d calls, %d operations", len(d.Log), len(logs), len(d.Effects), len(d.Calls), len(ops))
}
