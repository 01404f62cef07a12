//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
)

// bug is one of package seeds, planted in one program.
type bug struct {
	name, program string
	breaks        []string // the invariants that the checker must find broken
	again         bool     // a reset of the rules is part of what provokes it
	stalls        bool     // the engine does not come to rest with it: do not wait for long
	provoke       func(context.Context, *round) error
}

// bugs are those that a checker must find, each with the faults that bring it out. A progress row that is written without comparing is not
// among them: read models come out the same when an event is applied twice, so pkg/consumer's own tests find that one.
var bugs = []bug{
	{name: "archiver_commits_first", program: "neuronx-archiver", breaks: []string{"I3", "I10"}, provoke: killArchiver},
	{name: "projector_skips_decode_error", program: "neuronx-projector", breaks: []string{"I4"}, provoke: forgetSchemas},
	{name: "projector_ignores_definition", program: "neuronx-projector", breaks: []string{"I4"}, provoke: olderTables},
	{name: "sequencer_merges_before_commit", program: "neuronx-ingest", breaks: []string{"I1"}, stalls: true, provoke: abortTransactions},
	{name: "random_derived_ids", program: "neuronx-rules", breaks: []string{"I6"}, again: true, provoke: nothing},
}

const (
	bugRate    = 300 // events a second
	bugTenants = 12
)

func TestSeededBugs(t *testing.T) {
	cluster.Turn(t, cluster.First)
	plan := load.Plan{Rate: bugRate, Batch: 10, Clients: 8}
	t.Run("clean", func(t *testing.T) {
		r := begin(t, cluster.Options{}, 1, bugTenants, 0)
		r.under(plan, func(ctx context.Context) {
			for _, b := range bugs {
				if err := b.provoke(ctx, r); err != nil {
					t.Errorf("what provokes %s: %v", b.name, err)
				}
			}
		})
		for _, v := range r.check(context.Background(), true) {
			t.Error(v)
		}
	})
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			r := begin(t, cluster.Options{Seed: cluster.Seed{Bug: b.name, Program: b.program}}, 1, bugTenants, 0)
			r.patience = time.Minute
			if b.stalls {
				r.patience = 15 * time.Second
			}
			r.under(plan, func(ctx context.Context) {
				if err := b.provoke(ctx, r); err != nil {
					t.Error(err)
				}
			})
			found := r.check(context.Background(), b.again)
			for _, v := range found {
				t.Log(v)
			}
			for _, want := range b.breaks {
				if !slices.ContainsFunc(found, func(v checker.Violation) bool { return v.Invariant == want }) {
					t.Errorf("the checker did not find %s broken", want)
				}
			}
		})
	}
}

func nothing(ctx context.Context, _ *round) error {
	rest(ctx, 5*time.Second)
	return nil
}

// killArchiver kills the archiver in the middle of its work: what it has committed must be in the archive.
func killArchiver(ctx context.Context, r *round) error {
	rest(ctx, 4*time.Second)
	if err := r.kill(ctx, "archiver"); err != nil {
		return err
	}
	rest(ctx, time.Second)
	return nil
}

// forgetSchemas starts the projector without the schemas that it knew, while the registry is away.
func forgetSchemas(ctx context.Context, r *round) error {
	rest(ctx, 2*time.Second)
	registry, projector := r.c.Processes["registry"], r.c.Processes["projector"]
	if err := registry.Kill9(); err != nil {
		return err
	}
	if err := projector.Term(); err != nil { // a killed one would get its partitions only when the registry is back
		return err
	}
	if err := projector.Start(); err != nil {
		return err
	}
	if err := r.c.Joined(ctx, kafka.GroupProjector, 1); err != nil {
		return err
	}
	rest(ctx, 3*time.Second)
	return registry.Start()
}

var errFew = errors.New("too few to tell")

// olderTables leaves a projector that starts what a build without the contact data of leads left: rows without them, and its definition.
func olderTables(ctx context.Context, r *round) error {
	err := cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		var n int
		if err := r.c.Admin.QueryRow(ctx, `SELECT count(*) FROM projection.leads WHERE created_at IS NOT NULL`).Scan(&n); err != nil || n < bugTenants {
			return fmt.Errorf("%d leads, %w", n, cmp.Or(err, errFew))
		}
		return nil
	})
	if err != nil {
		return err
	}
	projector := r.c.Processes["projector"]
	if err := projector.Term(); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, r.c.Admin, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`SET LOCAL ROLE neuronx_owner`,
			`ALTER TABLE projection.leads NO FORCE ROW LEVEL SECURITY`,
			`ALTER TABLE neuronx.progress NO FORCE ROW LEVEL SECURITY`,
			`UPDATE projection.leads SET created_at = NULL, email = NULL, source = NULL`,
			`UPDATE neuronx.progress SET definition = 'of a build without them' WHERE consumer = 'neuronx.projector'`,
			`ALTER TABLE projection.leads FORCE ROW LEVEL SECURITY`,
			`ALTER TABLE neuronx.progress FORCE ROW LEVEL SECURITY`,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := projector.Start(); err != nil {
		return err
	}
	return r.c.Joined(ctx, kafka.GroupProjector, 1)
}

// abortTransactions stops one sequencer after the other beyond the time-out of the transaction that it may be in, while clients
// repeat what is not answered.
func abortTransactions(ctx context.Context, r *round) error {
	rest(ctx, 2*time.Second)
	for _, name := range []string{"ingest-0", "ingest-1"} {
		p := r.c.Processes[name]
		if !p.Signal(syscall.SIGSTOP) {
			return fmt.Errorf("%s does not run", name)
		}
		rest(ctx, kafka.TxnTimeout+4*time.Second)
		if !p.Signal(syscall.SIGCONT) {
			return fmt.Errorf("%s is gone", name)
		}
		rest(ctx, 4*time.Second)
	}
	return nil
}
