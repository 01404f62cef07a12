//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/soak"
	"github.com/neuronx/engine/pkg/kafka"
)

// faults are what may go wrong in a soak. One broker at most is down at a time, and one of the two ingests.
func (s *soaked) faults() []soak.Fault {
	ingests := []*cluster.Process{s.c.Processes["ingest-0"], s.c.Processes["ingest-1"]}
	extra := s.c.Service(s.t, "ingest-extra", "ingest", "ingest", "--roles", "sequencer", "--slot", "extra")
	return []soak.Fault{
		{Kind: "leader kill -9", Takes: []string{"brokers"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			topic := []string{kafka.TopicIngress, kafka.TopicEvents}[rng.IntN(2)]
			return s.brokers.Kill(ctx, topic, s.watch.Busiest(), time.Duration(1+rng.IntN(4))*time.Second, struck)
		}},
		{Kind: "coordinator kill -9", Takes: []string{"brokers"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			topic, partition, err := s.coordinator(ctx, rng)
			if err != nil {
				return err
			}
			return s.brokers.Kill(ctx, topic, partition, time.Duration(1+rng.IntN(4))*time.Second, struck)
		}},
		{Kind: "coordinator move", Takes: []string{"brokers"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			topic, partition, err := s.coordinator(ctx, rng)
			if err != nil {
				return err
			}
			return s.brokers.Move(ctx, topic, partition, rng, struck)
		}},
		{Kind: "ingest kill -9", Takes: []string{"ingest"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			p := ingests[rng.IntN(len(ingests))]
			pid, at := p.PID(), time.Now()
			if err := p.Kill9(); err != nil {
				return err
			}
			struck(at, fmt.Sprintf("%s, process %d", p.Name, pid)) // looks while it is down
			return s.startAgain(ctx, p)
		}},
		{Kind: "sequencer stopped", Takes: []string{"ingest"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			return s.stop(ctx, ingests[rng.IntN(len(ingests))], struck)
		}},
		{Kind: "rebalance churn", Takes: []string{"extra"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			return s.churn(ctx, extra, rng, struck)
		}},
		{Kind: "connections reset", Takes: []string{"connections"}, Do: func(ctx context.Context, rng *rand.Rand, struck soak.Hit) error {
			return soak.Cut(ctx, s.ports(rng), struck)
		}},
	}
}

// coordinator is where the sequencers' group, or the transactions of one of them, are coordinated.
func (s *soaked) coordinator(ctx context.Context, rng *rand.Rand) (topic string, partition int32, err error) {
	var tp kafka.TopicPartition
	if rng.IntN(2) == 0 {
		tp, err = s.admin.TxnStatePartition(ctx, fmt.Sprintf("neuronx.sequencer.%d", rng.IntN(len(s.c.HTTPURLs))))
	} else {
		tp, err = s.admin.OffsetsPartition(ctx, kafka.GroupSequencer)
	}
	return tp.Topic, tp.Partition, err
}

// stop stops a process beyond its session and the time-out of its transaction, and lets it go on.
func (s *soaked) stop(ctx context.Context, p *cluster.Process, struck soak.Hit) error {
	if !p.Signal(syscall.SIGSTOP) {
		return fmt.Errorf("%s does not run", p.Name)
	}
	stopped := time.Now()
	err := cluster.Eventually(ctx, 2*time.Second, func(context.Context) error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if _, state, _ := strings.Cut(string(text), ") "); err == nil && !strings.HasPrefix(state, "T") {
			err = fmt.Errorf("%s is not stopped", p.Name)
		}
		return err
	})
	if err == nil {
		struck(stopped, fmt.Sprintf("%s for %s", p.Name, pausedFor))
	}
	rest(ctx, time.Until(stopped.Add(pausedFor)))
	if !p.Signal(syscall.SIGCONT) {
		return fmt.Errorf("%s is gone", p.Name)
	}
	// Fenced, it may have ended: then it is started as a supervisor would.
	rest(ctx, 2*time.Second)
	return s.startAgain(ctx, p)
}

// churn lets one more sequencer take its share of the partitions and leave again, politely or not.
func (s *soaked) churn(ctx context.Context, p *cluster.Process, rng *rand.Rand, struck soak.Hit) error {
	if err := p.Start(); err != nil {
		return err
	}
	proof := ""
	err := cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		if !p.Running() {
			return fmt.Errorf("%s ended:\n%s", p.Name, p.Tail(5))
		}
		g, err := s.admin.DescribeGroup(ctx, kafka.GroupSequencer)
		if err != nil {
			return err
		}
		for _, m := range g.Members {
			if strings.Contains(m.ID, "extra") && len(m.Partitions) > 0 { // a static member's id begins with its instance
				proof = fmt.Sprintf("%s took %d partitions", m.ID, len(m.Partitions))
				return nil
			}
		}
		return fmt.Errorf("the extra sequencer owns nothing; the group is %s with %d members", g.State, len(g.Members))
	})
	if err == nil {
		struck(time.Now(), proof)
	}
	rest(ctx, time.Duration(1+rng.IntN(5))*time.Second)
	end := p.Term
	if rng.IntN(2) == 0 {
		end = p.Kill9
	}
	if e := end(); e != nil {
		return e
	}
	return err
}

// startAgain starts a process that has ended and waits until it is ready.
func (s *soaked) startAgain(ctx context.Context, p *cluster.Process) error {
	if !p.Running() {
		if err := p.Start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return p.Ready(ctx)
}

// ports are those of the brokers and of neuronx-ingest, in a random order.
func (s *soaked) ports(rng *rand.Rand) []string {
	all := append([]string(nil), s.c.Kafka.Brokers...)
	for _, d := range s.c.HTTPURLs {
		if u, err := url.Parse(d); err == nil {
			all = append(all, u.Host)
		}
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i := range all {
		_, all[i], _ = net.SplitHostPort(all[i])
	}
	return all
}
