//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/projector/fold"
)

// meanings are what each group makes of a reset.
var meanings = map[string]string{
	kafka.GroupProjector: "rebuild", kafka.GroupArchiver: "audit", kafka.GroupRules: "compare", kafka.GroupGoHighLevel: "redeliver",
	kafka.GroupSequencer: "refused: undone",
}

const (
	resetTenants = 6
	resetCRMs    = 2
	resetLimit   = time.Minute
	backLimit    = 10 * time.Second // the offset is the service's again, without traffic
)

func TestResets(t *testing.T) {
	cluster.Turn(t, cluster.First)
	ctx := context.Background()
	r := begin(t, cluster.Options{}, 1, resetTenants, resetCRMs)
	r.under(load.Plan{Rate: 300, Batch: 10, Clients: 4}, func(ctx context.Context) { rest(ctx, 6*time.Second) })
	r.refused(ctx)
	r.merge(ctx)
	r.waitIdle(ctx)
	was := r.record(ctx)
	var merged int
	if err := r.c.Admin.QueryRow(ctx, `SELECT count(*) FROM read.leads WHERE merged_into = 'stays'`).Scan(&merged); err != nil || merged != 1 {
		t.Fatalf("%d leads are shown as merged into another, want 1, %v", merged, err)
	}
	if was.calls == 0 || len(was.deadLetters) == 0 {
		t.Fatalf("%d calls and %d dead letters: too little to prove anything", was.calls, len(was.deadLetters))
	}

	r.empty(ctx, r.tenants[0].ID, r.tenants[len(r.tenants)-1].ID)
	groups := []string{kafka.GroupProjector, kafka.GroupArchiver, kafka.GroupRules, kafka.GroupGoHighLevel, kafka.GroupSequencer}
	for _, group := range groups {
		r.reset(ctx, group, "earliest", cluster.ByKafka(group, "--to-earliest"))
		was.compare(ctx, r)
	}
	for _, group := range groups {
		var unread []string
		r.reset(ctx, group, "latest", func(ctx context.Context) (err error) {
			if unread, err = r.unread(ctx, group); err != nil {
				return err
			}
			return cluster.ByKafka(group, "--to-latest")(ctx)
		})
		if err := r.logged(ctx, unread); err != nil {
			t.Errorf("%s was reset to the end: %v", group, err)
		}
		was.compare(ctx, r)
	}
	r.ownCommand(ctx)
	was.compare(ctx, r)
	r.requests(ctx)
}

// refused sends two events under one id, so that there are dead letters, whose groups are reset, too.
func (r *round) refused(ctx context.Context) {
	r.t.Helper()
	for i, tenant := range r.tenants {
		for _, company := range []string{"one", "another"} {
			cmd := r.c.Command(ctx, "publish", "lead.created", "--no-wait", "--id", "same", "--subject", "lead/same", "--data", fmt.Sprintf(`{"lead_id":"same","company":%q}`, company))
			cmd.Env = append(cmd.Env, "NEURONX_API_KEY="+tenant.Key)
			if out, err := cmd.CombinedOutput(); err != nil {
				r.t.Fatalf("publish event %d: %v\n%s", i, err, out)
			}
		}
	}
}

// merge makes a lead another one in the tenants whose read models are emptied, and takes that back in one of them: what comes about a lead between the
// two is in the row of the other, in every rebuild.
func (r *round) merge(ctx context.Context) {
	r.t.Helper()
	for _, tenant := range []load.Tenant{r.tenants[0], r.tenants[len(r.tenants)-1]} {
		run := func(args ...string) error {
			cmd := r.c.Command(ctx, args...)
			cmd.Env = append(cmd.Env, "NEURONX_API_KEY="+tenant.Key)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
			}
			return nil
		}
		say := func(lead, email string) {
			noError(r.t, run("publish", "lead.updated", "--no-wait", "--subject", "lead/"+lead, "--data", fmt.Sprintf(`{"lead_id":%q,"email":%q}`, lead, email)))
		}
		both := func(verb, done string) { // once it is known that there are such leads
			noError(r.t, cluster.Eventually(ctx, time.Minute, func(context.Context) error {
				err := run("subjects", verb, "lead/goes", "lead/stays", "--tenant", tenant.ID, "--reason", "a test", "--execute")
				if err != nil && strings.Contains(err.Error(), done) { // by an attempt whose end was not waited for
					return nil
				}
				return err
			}))
		}
		say("goes", "goes@example.com")
		say("stays", "stays@example.com")
		both("merge", "they are one already")
		say("goes", "merged@example.com")
		if tenant.ID == r.tenants[0].ID {
			both("unmerge", "was not merged")
			say("goes", "own@example.com")
		}
	}
}

// memory is what no reset may change.
type memory struct {
	heads       map[string]int64
	archive     [32]byte // hash of the archive up to the heads
	calls       int      // requests that the CRM got
	deadLetters []string
}

func (r *round) record(ctx context.Context) memory {
	r.t.Helper()
	d, err := r.c.Dump(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range checker.Check(d) {
		r.t.Error(v)
	}
	m := memory{heads: map[string]int64{}, calls: len(d.Calls)}
	for i := range d.Log {
		m.heads[d.Log[i].TenantID] = d.Log[i].Sequence
	}
	m.archive, m.deadLetters = m.of(d)
	return m
}

// of hashes the archive up to the heads, and names the dead letters.
func (m memory) of(d checker.Dump) (archive [32]byte, letters []string) {
	var lines []string
	for _, a := range d.Archive {
		if a.Sequence <= m.heads[a.Tenant] {
			lines = append(lines, fmt.Sprintf("%s %020d %s %x", a.Tenant, a.Sequence, a.EventID, a.Payload))
		}
	}
	slices.Sort(lines)
	for _, l := range d.DeadLetters {
		letters = append(letters, l.Tenant+"/"+l.ID+"/"+l.Code)
	}
	slices.Sort(letters)
	return sha256.Sum256([]byte(strings.Join(lines, "\n"))), letters
}

// compare waits for rest and requires that all that was is as it was, and that all that the checker knows holds: the tables equal
// the fold of the log, and the archive stored(log).
func (m memory) compare(ctx context.Context, r *round) {
	r.t.Helper()
	r.waitIdle(ctx)
	d, err := r.c.Dump(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	d.Damaged = r.damaged
	for _, v := range checker.Check(d) {
		r.t.Error(v)
	}
	archive, letters := m.of(d)
	if archive != m.archive {
		r.t.Error("the archive of what was there before is not what it was")
	}
	if !slices.Equal(letters, m.deadLetters) {
		r.t.Errorf("dead letters %v, were %v", letters, m.deadLetters)
	}
	if len(d.Calls) != m.calls {
		r.t.Errorf("the CRM got %d requests, it had %d", len(d.Calls), m.calls)
	}
}

// empty takes the rows of tenants out of every read model, as the owner of the tables can: row security is forced on it, too, so it
// has to lift that first.
func (r *round) empty(ctx context.Context, tenants ...string) {
	r.t.Helper()
	specs, err := fold.Declared()
	if err != nil {
		r.t.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, r.c.Admin, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL ROLE neuronx_owner`); err != nil {
			return err
		}
		for _, s := range specs {
			table := pgx.Identifier{"projection", s.Table}.Sanitize()
			for _, force := range []string{"NO FORCE", "FORCE"} {
				if _, err := tx.Exec(ctx, `ALTER TABLE `+table+` `+force+` ROW LEVEL SECURITY`); err != nil {
					return err
				}
				if force == "FORCE" {
					continue
				}
				tag, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = ANY($1)`, tenants)
				if err != nil {
					return err
				}
				r.damaged += tag.RowsAffected()
				r.t.Logf("%d rows of %d tenants emptied from %s", tag.RowsAffected(), len(tenants), s.Table)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// reset resets a group while its service is down and checks what the tenants' streams say of it.
func (r *round) reset(ctx context.Context, group, target string, do func(context.Context) error) {
	r.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*resetLimit)
	defer cancel()
	reset, err := r.c.ResetGroup(ctx, group, do)
	if err != nil {
		r.t.Fatalf("reset %s to %s: %v", group, target, err)
	}
	back, err := reset.Back(ctx, backLimit)
	if err != nil {
		r.t.Errorf("%s, reset to %s: %v", group, target, err)
	}
	replays, err := reset.Done(ctx, resetLimit)
	if err != nil {
		r.t.Errorf("%s, reset to %s: %v", group, target, err)
	}
	examined, partitions := int64(0), map[int]bool{}
	for _, p := range replays {
		if !partitions[p.Partition] {
			examined += p.Examined
		}
		partitions[p.Partition] = true
		if forward := p.ToOffset > p.FromOffset; p.Meaning != meanings[group] || forward != (target == "latest") {
			r.t.Errorf("%s, reset to %s, is reported as %q from %d to %d", group, target, p.Meaning, p.FromOffset, p.ToOffset)
		}
		if want := map[bool]string{true: meanings[group], false: "done"}[group == kafka.GroupSequencer]; p.Outcome != want || p.Differences != 0 && group != kafka.GroupProjector { // compare adds up those of the projector
			r.t.Errorf("%s, reset to %s, ended as %s with %d differences: %s", group, target, p.Outcome, p.Differences, p.Detail)
		}
	}
	if target == "earliest" && examined == 0 && group != kafka.GroupSequencer {
		r.t.Errorf("%s, reset to %s, looked at nothing", group, target)
	}
	r.t.Logf("%s to %s: offsets back %s after the start, %d events examined in %d partitions, %s in all",
		group, target, back.Truncate(time.Millisecond), examined, len(partitions), time.Since(began).Truncate(time.Millisecond))
}

// unread brings every tenant events that the group, whose service is down, has not read, so that a reset to the end would jump over
// them. The sequencer reads ingress, the others the log. It returns their ids.
func (r *round) unread(ctx context.Context, group string) (ids []string, err error) {
	name := strings.TrimPrefix(group, "neuronx.")
	for _, tenant := range r.tenants {
		for i := range 5 {
			lead := fmt.Sprintf("%s-%d", name, i)
			e, err := r.c.Control.Publish(ctx, tenant.ID, "lead.created", "lead/"+lead, "", map[string]any{"lead_id": lead, "source": "e2e"})
			if err != nil {
				return nil, err
			}
			ids = append(ids, e.ID)
		}
	}
	if group == kafka.GroupSequencer {
		return ids, nil
	}
	return ids, r.logged(ctx, ids)
}

// logged waits until events are in the log.
func (r *round) logged(ctx context.Context, ids []string) error {
	return cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		log, err := r.c.Log(ctx)
		if err != nil {
			return err
		}
		have := map[string]bool{}
		for i := range log {
			have[log[i].ID] = true
		}
		for _, id := range ids {
			if !have[id] {
				return fmt.Errorf("the log lacks %s", id)
			}
		}
		return nil
	})
}

// ownCommand resets by `neuronx replay offsets`, which refuses the sequencer.
func (r *round) ownCommand(ctx context.Context) {
	r.t.Helper()
	offsets := func(group string, more ...string) (string, int) {
		out, stderr, code := r.c.CLI(ctx, append([]string{"replay", "offsets", "--group", group, "--all-topics", "--to-earliest"}, more...)...)
		return out + stderr, code
	}
	r.reset(ctx, kafka.GroupProjector, "earliest", func(context.Context) error {
		if out, code := offsets(kafka.GroupProjector); code != 0 || !strings.Contains(out, kafka.TopicEvents) {
			return fmt.Errorf("the dry run: exit %d\n%s", code, out)
		}
		out, code := offsets(kafka.GroupProjector, "--execute")
		if code != 0 {
			return fmt.Errorf("exit %d\n%s", code, out)
		}
		return nil
	})
	if out, code := offsets(kafka.GroupProjector, "--execute"); code != 4 {
		r.t.Errorf("a group that is in use was reset: exit %d\n%s", code, out)
	}
	if out, code := offsets(kafka.GroupSequencer, "--execute"); code != 4 {
		r.t.Errorf("the sequencer was reset: exit %d\n%s", code, out)
	}
}

// requests looks at what the services noted of all resets, those of the dead letters' offsets included, which no stream tells of.
func (r *round) requests(ctx context.Context) {
	r.t.Helper()
	var all, letters, bad int
	var repaired int64
	// That an offset is back is noted within a tick of its being so.
	err := cluster.Eventually(ctx, backLimit, func(ctx context.Context) error {
		err := r.c.Admin.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE topic = $1),
				count(*) FILTER (WHERE state <> 'done' OR differences <> 0 AND consumer <> $2 OR not_counted <> '' OR NOT put_back),
				coalesce(sum(differences) FILTER (WHERE consumer = $2), 0)
			FROM neuronx.resets`, kafka.TopicDeadLetter, kafka.GroupProjector).Scan(&all, &letters, &bad, &repaired)
		if err == nil && repaired != r.damaged {
			err = fmt.Errorf("the projector's resets repaired %d rows, %d were taken away", repaired, r.damaged)
		}
		if err == nil && bad > 0 {
			err = fmt.Errorf("%d of %d resets are not done, not put back or with differences", bad, all)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if all == 0 || letters == 0 {
		r.t.Errorf("%d resets were noted, %d of dead letters", all, letters)
	}
}
