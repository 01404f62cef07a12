//go:build realkafka

package sequencer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// realKafka is the broker that NEURONX_TEST_KAFKA_BROKERS names. This file is only built with the tag realkafka, and then fails
// rather than pass without a broker.
func realKafka(t *testing.T) kafka.Config {
	t.Helper()
	brokers := os.Getenv("NEURONX_TEST_KAFKA_BROKERS")
	if brokers == "" {
		t.Fatal("NEURONX_TEST_KAFKA_BROKERS is not set, and tests with the tag realkafka need it")
	}
	cfg := kafka.Config{Brokers: strings.Split(brokers, ","), ClientID: "sequencer-test"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := topology.Provision(ctx, cfg, topology.Options{Partitions: 6, ReplicationFactor: 1, Laptop: true}); err != nil {
		t.Fatalf("provision %s: %v", brokers, err)
	}
	return cfg
}

// subprocess is a sequencer in a process of its own, started again whenever it ends until the test is over.
type subprocess struct {
	t    *testing.T
	slot string
	env  []string
	dir  string

	mu    sync.Mutex
	cmd   *exec.Cmd
	over  bool
	runs  int
	exits []string
	done  sync.WaitGroup
}

func launch(t *testing.T, cfg kafka.Config, keys *event.Keyring, slot, dir string) *subprocess {
	t.Helper()
	k, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	s := &subprocess{t: t, slot: slot, dir: dir, env: append(os.Environ(), childSlot+"="+slot, childBrokers+"="+strings.Join(cfg.Brokers, ","), childKeys+"="+string(k))}
	s.done.Add(1)
	go s.supervise()
	t.Cleanup(s.end)
	return s
}

func (s *subprocess) supervise() {
	defer s.done.Done()
	for {
		s.mu.Lock()
		if s.over {
			s.mu.Unlock()
			return
		}
		out, err := os.OpenFile(filepath.Join(s.dir, "slot-"+s.slot+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			s.mu.Unlock()
			s.t.Error(err)
			return
		}
		s.cmd = exec.Command(os.Args[0])
		s.cmd.Env, s.cmd.Stderr, s.cmd.Stdout = s.env, out, out
		if err := s.cmd.Start(); err != nil {
			s.mu.Unlock()
			s.t.Error(err)
			return
		}
		s.runs++
		cmd := s.cmd
		s.mu.Unlock()
		err = cmd.Wait()
		s.mu.Lock()
		s.exits = append(s.exits, fmt.Sprint(err))
		s.mu.Unlock()
		out.Close()
	}
}

func (s *subprocess) signal(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

func (s *subprocess) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.signal(syscall.SIGCONT)
	s.signal(syscall.SIGTERM)
	s.done.Wait()
}

// wait lets d pass, which is what kill intervals of a chaos test are; it ends early with the test's context.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func TestRealKafka_KilledAndPausedSequencersAdmitEveryEventExactlyOnce(t *testing.T) {
	cfg := realKafka(t)
	keys := brokerKeys(t)
	dir := os.Getenv("NEURONX_TEST_LOG_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	const tenants, perTenant = 50, 1000
	run := fmt.Sprintf("r%x", rand.Uint32())
	name := func(i int) string { return fmt.Sprintf("%s-%02d", run, i) }
	slots := []*subprocess{launch(t, cfg, keys, "0", dir), launch(t, cfg, keys, "1", dir)}

	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	from, err := adm.EndOffsets(ctx, admin.ReadUncommitted, kafka.TopicEvents)
	if err != nil {
		t.Fatal(err)
	}

	p, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range tenants {
		if err := p.Produce(ctx, kafka.ToRecord(kafka.TopicIngress, created(keys, name(i)))); err != nil {
			t.Fatal(err)
		}
	}
	// Producers send in rounds over two minutes, each event now and then twice under the same id; acknowledged ones are noted.
	var acked sync.Map
	var sent, failed atomic.Int64
	producing := make(chan struct{})
	go func() {
		defer close(producing)
		rng := rand.New(rand.NewPCG(1, 1))
		var inFlight sync.WaitGroup
		for j := range perTenant {
			for i := range tenants {
				copies := 1
				if rng.IntN(20) == 0 {
					copies = 2
				}
				e := lead(name(i), fmt.Sprintf("%s/%d", name(i), j))
				for range copies {
					inFlight.Add(1)
					sent.Add(1)
					p.ProduceAsync(kafka.ToRecord(kafka.TopicIngress, e), func(_ *kafka.Record, err error) {
						defer inFlight.Done()
						if err != nil {
							failed.Add(1)
							return
						}
						acked.Store(e.TenantID+" "+e.ID, true)
					})
				}
			}
			wait(ctx, 100*time.Millisecond)
		}
		inFlight.Wait()
	}()

	// Chaos: kill -9 one or the other, and once freeze one beyond session and transaction time-outs.
	rng := rand.New(rand.NewPCG(2, 2))
	kills := 0
	for chaos := true; chaos; {
		select {
		case <-producing:
			chaos = false
		default:
			if kills == 8 {
				slots[1].signal(syscall.SIGSTOP)
				wait(ctx, 25*time.Second)
				slots[1].signal(syscall.SIGCONT)
			}
			slots[rng.IntN(2)].signal(syscall.SIGKILL)
			kills++
			wait(ctx, time.Duration(500+rng.IntN(5000))*time.Millisecond)
		}
	}
	t.Logf("sent %d records (%d failed), kill -9 %d times, processes started: %d and %d", sent.Load(), failed.Load(), kills, slots[0].runs, slots[1].runs)

	var got map[string][]event.Recorded
	begun := time.Now()
	for {
		got = readFrom(t, ctx, cfg, adm, from, run)
		if total(got) >= tenants*(perTenant+1) || ctx.Err() != nil {
			break
		}
		wait(ctx, time.Second)
	}
	t.Logf("log complete %v after the last produce", time.Since(begun).Round(time.Millisecond))
	checkLog(t, got)
	inLog := map[string]bool{}
	for tenant, es := range got {
		for _, e := range es {
			inLog[tenant+" "+e.ID] = true
		}
	}
	missing := 0
	acked.Range(func(k, _ any) bool {
		if !inLog[k.(string)] {
			missing++
		}
		return true
	})
	if missing > 0 || total(got) != tenants*(perTenant+1) {
		t.Fatalf("%d acknowledged events are missing; %d events in the log, want %d", missing, total(got), tenants*(perTenant+1))
	}
}

// readFrom reads the committed log of one run's tenants.
func readFrom(t *testing.T, ctx context.Context, cfg kafka.Config, adm *admin.Client, from map[kafka.TopicPartition]int64, run string) map[string][]event.Recorded {
	t.Helper()
	to, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]event.Recorded{}
	for tp, end := range to {
		err := read.Range(ctx, cfg, tp.Topic, tp.Partition, from[tp], end, func(r *kafka.Record) error {
			if !bytes.HasPrefix(r.Key, []byte(run)) {
				return nil
			}
			e, err := kafka.ParseRecorded(r)
			out[e.TenantID] = append(out[e.TenantID], e)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// logFromNow returns a function that reads what the log has got of a tenant since: the log of a broker that is used for hours is long.
func logFromNow(t *testing.T, cfg kafka.Config) func(ctx context.Context, tenant string) []event.Recorded {
	t.Helper()
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(adm.Close)
	from, err := adm.EndOffsets(t.Context(), admin.ReadUncommitted, kafka.TopicEvents)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, tenant string) []event.Recorded {
		t.Helper()
		return readFrom(t, ctx, cfg, adm, from, tenant)[tenant]
	}
}

func TestRealKafka_ASecondProcessUnderTheSameSlotFencesTheFirst(t *testing.T) {
	cfg := realKafka(t)
	keys := brokerKeys(t)
	twin := testConfig(cfg, keys, "twin")
	twin.SessionTimeout = 6 * time.Second
	of := logFromNow(t, cfg)
	first := start(t, twin)
	tenant := fmt.Sprintf("f%x", rand.Uint32())
	send(t, cfg, created(keys, tenant))
	kafkatest.WaitFor(t, "the first to work", func(ctx context.Context) bool { return len(of(ctx, tenant)) == 1 })
	start(t, twin)
	n := 0
	kafkatest.WaitFor(t, "the first to give up", func(context.Context) bool {
		send(t, cfg, lead(tenant, fmt.Sprint(n)))
		n++
		select {
		case <-first.done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(first.err, txn.ErrFenced) {
		t.Fatalf("the first ended with %v", first.err)
	}
	kafkatest.WaitFor(t, "the second to admit the rest", func(ctx context.Context) bool { return len(of(ctx, tenant)) == n+1 })
	checkLog(t, map[string][]event.Recorded{tenant: of(t.Context(), tenant)})
}

// TestRealKafka_Rate admits a backlog and then a trickle, and says how fast; it asserts only that all of it is admitted, because the
// machine is shared.
func TestRealKafka_Rate(t *testing.T) {
	cfg := realKafka(t)
	keys := brokerKeys(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	p, err := kafka.NewProducer(cfg, 20*time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	run := fmt.Sprintf("s%x", rand.Uint32())
	const tenants, each = 50, 6000
	for i := range tenants {
		if err := p.Produce(ctx, kafka.ToRecord(kafka.TopicIngress, created(keys, fmt.Sprintf("%s-%d", run, i)))); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	var all sync.WaitGroup
	for j := range each {
		for i := range tenants {
			all.Add(1)
			p.ProduceAsync(kafka.ToRecord(kafka.TopicIngress, lead(fmt.Sprintf("%s-%d", run, i), fmt.Sprint(j))), func(_ *kafka.Record, err error) {
				all.Done()
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	t.Logf("produced %d records of %d bytes, %.0f/s", tenants*each, len(lead("x", "100").Value), tenants*each/time.Since(begun).Seconds())

	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	c := testConfig(cfg, keys, "0")
	c.SessionTimeout = 6 * time.Second
	r := start(t, c)
	admittedSoFar := func() float64 { return gather(t, r, "neuronx_admission_records_total") }
	for admittedSoFar() == 0 && ctx.Err() == nil {
		wait(ctx, time.Millisecond)
	}
	begun = time.Now()
	first := admittedSoFar()
	for admittedSoFar() < tenants*(each+1) && ctx.Err() == nil {
		wait(ctx, 5*time.Millisecond)
	}
	took := time.Since(begun)
	t.Logf("admitted a backlog of %.0f in %v: %.0f/s", admittedSoFar()-first, took.Round(time.Millisecond), (admittedSoFar()-first)/took.Seconds())

	// Latency at about 200 events/s: from before produce until the record can be read committed.
	follow, stop := context.WithCancel(ctx)
	defer stop()
	arrived := make(chan time.Time, 2000)
	following := make(chan struct{})
	go func() {
		defer close(following)
		_ = read.Follow(follow, cfg, kafka.TopicEvents, false, func(r *kafka.Record) error {
			if bytes.HasPrefix(r.Key, []byte(run)) {
				arrived <- time.Now()
			}
			return nil
		})
	}()
	wait(ctx, 2*time.Second)
	var ms []float64
	quick, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Close()
	for j := range 1000 {
		at := time.Now()
		quick.ProduceAsync(kafka.ToRecord(kafka.TopicIngress, lead(run+"-1", fmt.Sprintf("q%d", j))), func(*kafka.Record, error) {})
		select {
		case done := <-arrived:
			ms = append(ms, float64(done.Sub(at).Microseconds())/1000)
		case <-ctx.Done():
			t.Fatal("not admitted")
		}
	}
	stop()
	<-following
	slices.Sort(ms)
	t.Logf("one event at a time: p50 %.1f ms, p99 %.1f ms", ms[len(ms)/2], ms[len(ms)*99/100])
}
