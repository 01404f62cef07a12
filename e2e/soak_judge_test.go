//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/soak"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// judge waits until all is at rest and lets the checker decide, with what every client saw.
func (s *soaked) judge(ctx context.Context, took time.Duration) {
	t, r := s.t, &s.report
	r.Landed, r.Kinds = soak.Summarize(r.Faults)
	defer s.write()
	noErrorLater(t, s.settled(ctx))
	noErrorLater(t, s.during(ctx))
	acknowledged := int64(0)
	r.Clients = map[string]clientReport{}
	for name, x := range s.stats {
		r.Clients[name] = clientReport{x.OK.Load(), x.Fail.Load(), x.Unknown.Load(), x.Retries.Load(), time.Duration(x.Slowest.Load()).Seconds()}
		acknowledged += x.OK.Load()
		if x.OK.Load() == 0 {
			t.Errorf("nothing of %s was acknowledged", name)
		}
	}
	found := s.check(ctx)
	counted, err := s.c.Counted(ctx)
	noErrorLater(t, err)
	noErrorLater(t, s.watch.Ask(func(w *checker.Witness) {
		r.Ledger = w.Ended(counted)
		found = append(found, w.Found()...)
	}))
	for _, v := range found {
		t.Error(v)
		r.Violations = append(r.Violations, v.String())
	}
	r.Rate = float64(acknowledged) / took.Seconds()
	t.Logf("%d events acknowledged in %s: %.0f/s over %d tenants; %d of %d faults landed; %d events of the log checked; %+v\n%s",
		acknowledged, took, r.Rate, len(s.tenants), r.Landed, len(r.Faults), r.Checked, r.Ledger, soak.Table(r.Kinds))
	asked := 0
	for _, f := range r.Faults {
		if f.Asked {
			asked++
		}
		if f.Landed && f.RecoveryS == 0 {
			t.Errorf("%s at %s (%s): not recovered within %s", f.Kind, f.At.Format(time.TimeOnly), f.Proof, recoverLimit)
		}
	}
	if asked*10 < len(r.Faults)*9 {
		t.Errorf("the checker could be asked during %d of %d faults", asked, len(r.Faults))
	}
	if r.Rate < float64(s.rate) {
		t.Errorf("%.0f events/s are too few to prove anything, %d are wanted", r.Rate, s.rate)
	}
	if r.Landed*10 < len(r.Faults)*9 || len(r.Faults) < int(took/faultEvery)*9/10 {
		t.Errorf("%d of %d faults landed, %d were due", r.Landed, len(r.Faults), int(took/faultEvery))
	}
}

// write keeps the report.
func (s *soaked) write() {
	text, err := json.MarshalIndent(s.report, "", "  ")
	noErrorLater(s.t, err)
	noErrorLater(s.t, os.WriteFile(filepath.Join(s.dir, "report.json"), append(text, '\n'), 0o644))
	s.t.Logf("kept in %s", s.dir)
}

// check lets the checker decide, a partition's tenants at a time: all of half an hour does not fit into memory.
func (s *soaked) check(ctx context.Context) []checker.Violation {
	debug.SetGCPercent(40) // beside all that the cluster needs
	files, err := filepath.Glob(filepath.Join(s.dir, "history-*.jsonl"))
	noError(s.t, err)
	ops := map[int32][]checker.Op{}
	for _, f := range files {
		all, err := checker.ReadHistory(f)
		noError(s.t, err)
		for _, op := range all {
			p := kafka.PartitionFor([]byte(op.Tenant), cluster.Partitions)
			ops[p] = append(ops[p], op)
		}
	}
	var found []checker.Violation
	for p := range int32(cluster.Partitions) {
		d, err := s.c.Dump(ctx, p)
		noError(s.t, err)
		d.Ops = ops[p]
		s.report.Checked += len(d.Log)
		found = append(found, checker.Check(d)...)
	}
	return found
}

// settled waits until every consumer has all that the log holds, which the watch has read along.
func (s *soaked) settled(ctx context.Context) error {
	return cluster.Eventually(ctx, 10*time.Minute, func(ctx context.Context) error {
		ends, err := s.admin.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicIngress)
		if err != nil {
			return err
		}
		at, err := s.committed(ctx, kafka.GroupSequencer, kafka.TopicIngress)
		if err != nil {
			return err
		}
		for tp, end := range ends {
			if at[tp.Partition] < end {
				return fmt.Errorf("the sequencer stands at %d of %d of partition %d", at[tp.Partition], end, tp.Partition)
			}
		}
		if err := s.watch.Judged(ctx, at, judgeLimit); err != nil {
			return err
		}
		var heads map[string]int64
		if err := s.watch.Ask(func(w *checker.Witness) { heads = w.Heads() }); err != nil {
			return err
		}
		return s.c.AtRest(ctx, heads)
	})
}

// keepLogs keeps the processes' logs beside the histories.
func (s *soaked) keepLogs() {
	logs, _ := filepath.Glob(filepath.Join(s.c.Dir, "*.log"))
	for _, f := range logs {
		if text, err := os.ReadFile(f); err == nil {
			_ = os.WriteFile(filepath.Join(s.dir, filepath.Base(f)), text, 0o644)
		}
	}
}
