//go:build threebrokers

package sequencer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// The tests of this file have planted bugs (e2e/seeds) under which they must fail. They need three brokers, in the order of their
// ids, in NEURONX_TEST_KAFKA_BROKERS, and their processes in NEURONX_TEST_KAFKA_PIDS.

// threeBrokers is a cluster in which a broker can be frozen.
type threeBrokers struct {
	cfg  kafka.Config
	pids []int
}

func realThree(t *testing.T) *threeBrokers {
	t.Helper()
	c := &threeBrokers{cfg: kafka.Config{Brokers: strings.Split(os.Getenv("NEURONX_TEST_KAFKA_BROKERS"), ","), ClientID: "sequencer-test"}}
	for _, s := range strings.Split(os.Getenv("NEURONX_TEST_KAFKA_PIDS"), ",") {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("NEURONX_TEST_KAFKA_PIDS must name the processes of three brokers: %v", err)
		}
		c.pids = append(c.pids, pid)
	}
	if len(c.pids) != 3 || len(c.cfg.Brokers) != 3 {
		t.Fatal("NEURONX_TEST_KAFKA_BROKERS and NEURONX_TEST_KAFKA_PIDS must name three brokers")
	}
	kafkatest.Wipe(t, c.cfg, topology.Options{Partitions: kafkatest.Partitions, ReplicationFactor: 3})
	return c
}

func (c *threeBrokers) signal(t testing.TB, id int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(c.pids[id-1], sig); err != nil {
		t.Errorf("%v to broker %d: %v", sig, id, err)
	}
}

// slotConfig is a sequencer's, over a link of its own.
func (c *threeBrokers) slotConfig(keys *event.Keyring, slot string, l *kafkatest.Link) Config {
	cfg := c.cfg
	cfg.Dialer = l.Dial
	out := testConfig(cfg, keys, slot)
	out.SessionTimeout = 6 * time.Second // the least that a real broker takes
	return out
}

func only(log map[string][]event.Recorded, prefix string) map[string][]event.Recorded {
	out := map[string][]event.Recorded{}
	for tenant, es := range log {
		if strings.HasPrefix(tenant, prefix) {
			out[tenant] = es
		}
	}
	return out
}

// TestThreeBrokers_ARestoreWhoseMarkersAreLateRepeatsNoSequence: the topics of transactions and offsets are on brokers 1 and
// 2, the log and the state on 1, 2 and 3. Broker 3 is frozen between the writes of a transaction and its end: the commit is confirmed
// and the offset is there, but the markers in log and state wait for broker 3, and the last stable offsets stay below the
// transaction, though leaders answer. Then another process takes the partitions over.
func TestThreeBrokers_ARestoreWhoseMarkersAreLateRepeatsNoSequence(t *testing.T) {
	c := realThree(t)
	keys := brokerKeys(t)
	tenant := fmt.Sprintf("m%x", rand.Uint32())
	home := kafka.PartitionFor([]byte(tenant), kafkatest.Partitions)
	state := kafka.TopicPartition{Topic: kafka.TopicState, Partition: home}

	first := start(t, c.slotConfig(keys, "0", kafkatest.NewLink(nil)))
	send(t, c.cfg, created(keys, tenant), lead(tenant, "0"))
	kafkatest.WaitFor(t, "the tenant", func(context.Context) bool { return len(logged(t, c.cfg)[tenant]) == 2 })
	first.halt()
	kafkatest.Place(t, c.cfg, []int32{1, 2}, "__transaction_state", "__consumer_offsets")
	kafkatest.Place(t, c.cfg, []int32{1, 2, 3}, kafka.TopicIngress, kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicState)

	const rounds, want = 8, 3
	landed := 0
	for round := 1; round <= rounds && landed < want; round++ {
		third := c.cfg.Brokers[2]
		next, eye := kafkatest.NewLink(nil), kafkatest.NewLink(nil)
		var armed, frozen atomic.Bool
		var old *kafkatest.Link
		old = kafkatest.NewLink(func(r kafkatest.Request) (none kafkatest.Trouble) {
			if r != kafkatest.ReqEndTxn || !armed.CompareAndSwap(true, false) {
				return none
			}
			return kafkatest.Trouble{Do: func() {
				c.signal(t, 3, syscall.SIGSTOP)
				for _, l := range []*kafkatest.Link{old, next, eye} {
					l.Block(third)
				}
				frozen.Store(true)
			}}
		})
		eyeConfig := c.cfg
		eyeConfig.Dialer, eyeConfig.Brokers = eye.Dial, c.cfg.Brokers[:2]
		adm, err := admin.New(eyeConfig)
		if err != nil {
			t.Fatal(err)
		}
		lags := func(ctx context.Context) bool {
			stable, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicState)
			if err != nil {
				return false
			}
			end, err := adm.EndOffsets(ctx, admin.ReadUncommitted, kafka.TopicState)
			return err == nil && stable[state] < end[state]
		}

		a := start(t, c.slotConfig(keys, "0", old))
		kafkatest.WaitFor(t, "the first to own all", func(context.Context) bool { return restoredParts(t, a) == kafkatest.Partitions })
		before := gather(t, a, "neuronx_sequencer_transactions_total")
		armed.Store(true)
		send(t, c.cfg, lead(tenant, fmt.Sprintf("late-%d", round)))
		kafkatest.WaitFor(t, "the commit to be confirmed", func(context.Context) bool {
			return frozen.Load() && gather(t, a, "neuronx_sequencer_transactions_total") > before
		})
		began := time.Now()
		a.halt()
		b := start(t, c.slotConfig(keys, "1", next))
		late := false
		wait := time.Now().Add(4 * time.Second)
		for time.Now().Before(wait) && restoredParts(t, b) < kafkatest.Partitions {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			late = lags(ctx) && gather(t, b, "neuronx_sequencer_partitions") == kafkatest.Partitions || late
			cancel()
			poll(t.Context())
		}
		t.Logf("round %d: %v after the freeze the second has restored %v partitions, markers late meanwhile: %v", round, time.Since(began).Round(time.Millisecond), restoredParts(t, b), late)
		for _, l := range []*kafkatest.Link{next, eye} {
			l.Unblock(third)
		}
		c.signal(t, 3, syscall.SIGCONT)
		if late {
			landed++
		}
		kafkatest.WaitFor(t, "the second to own all", func(context.Context) bool { return restoredParts(t, b) == kafkatest.Partitions })
		send(t, c.cfg, lead(tenant, fmt.Sprintf("after-%d", round)))
		kafkatest.WaitFor(t, "the next event", func(context.Context) bool {
			es := logged(t, c.cfg)[tenant]
			return es[len(es)-1].ID == fmt.Sprintf("after-%d", round)
		})
		b.halt()
		adm.Close()
		log := logged(t, c.cfg)[tenant]
		checkLog(t, map[string][]event.Recorded{tenant: log})
		if len(log) != 2+2*round {
			t.Fatalf("round %d: %d events in the log", round, len(log))
		}
	}
	if landed < want {
		t.Fatalf("markers were late during a restore in %d of %d rounds, want %d: the machine is too busy to say anything", landed, rounds, want)
	}
}

// poll is a pause between two looks.
func poll(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// restoredParts counts the partitions that a process has restored.
func restoredParts(t testing.TB, p *process) float64 {
	t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "neuronx_sequencer_restore_seconds" {
			return float64(f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	return 0
}

// TestThreeBrokers_APartitionThatLeavesWithoutACallbackIsForgotten: a member that is idle loses partitions twice, and the
// client calls its revoke callback only for the first ones.
func TestThreeBrokers_APartitionThatLeavesWithoutACallbackIsForgotten(t *testing.T) {
	c := realThree(t)
	keys := brokerKeys(t)
	run := fmt.Sprintf("c%x", rand.Uint32())
	const tenants = 12
	each := func(e func(tenant string) *event.Event) {
		var events []*event.Event
		for i := range tenants {
			events = append(events, e(fmt.Sprintf("%s-%d", run, i)))
		}
		send(t, c.cfg, events...)
	}
	slots := []*process{start(t, c.slotConfig(keys, "0", kafkatest.NewLink(nil)))}
	each(func(tenant string) *event.Event { return created(keys, tenant) })
	kafkatest.WaitFor(t, "the tenants", func(context.Context) bool { return total(only(logged(t, c.cfg), run)) == tenants })
	for i, share := range []float64{3, 2} { // no traffic meanwhile
		p := start(t, c.slotConfig(keys, fmt.Sprint(i+1), kafkatest.NewLink(nil)))
		slots = append(slots, p)
		kafkatest.WaitFor(t, "the next member to have its share", func(context.Context) bool { return gather(t, p, "neuronx_sequencer_partitions") == share })
	}
	n := 0
	round := func() {
		each(func(tenant string) *event.Event { return lead(tenant, fmt.Sprint(n)) })
		n++
		kafkatest.WaitFor(t, "the round", func(context.Context) bool { return total(only(logged(t, c.cfg), run)) >= tenants*(n+1) })
	}
	round()
	slots[2].halt()
	round()
	slots[1].halt()
	kafkatest.WaitFor(t, "the first to own all", func(context.Context) bool {
		return gather(t, slots[0], "neuronx_sequencer_partitions") == kafkatest.Partitions
	})
	round()
	round()
	log := only(logged(t, c.cfg), run)
	checkLog(t, log)
	if got := total(log); got != tenants*(n+1) {
		t.Fatalf("%d events in the log, want %d", got, tenants*(n+1))
	}
}

func TestThreeBrokers_WhoWasThrownOutInTheMiddleOfARebalanceForgetsWhatItOwned(t *testing.T) {
	c := realThree(t)
	thrownOut(t, c.cfg, kafkatest.NewLink, c.slotConfig, 6*time.Second)
}

// TestThreeBrokers_AnAbortedBatchIsUndoneForAllItsPartitions: one transaction spans all partitions, and is aborted because
// the answer to its offsets does not get through, while no partition leaves.
func TestThreeBrokers_AnAbortedBatchIsUndoneForAllItsPartitions(t *testing.T) {
	c := realThree(t)
	keys := brokerKeys(t)
	run := fmt.Sprintf("x%x", rand.Uint32())
	var armed atomic.Int64
	link := kafkatest.NewLink(func(r kafkatest.Request) kafkatest.Trouble {
		return kafkatest.Trouble{CutAfter: r == kafkatest.ReqTxnOffsets && armed.Add(-1) >= 0}
	})
	start(t, c.slotConfig(keys, "0", link))
	const tenants, rounds = 12, 3
	var events []*event.Event
	for i := range tenants {
		events = append(events, created(keys, fmt.Sprintf("%s-%d", run, i)))
	}
	send(t, c.cfg, events...)
	kafkatest.WaitFor(t, "the tenants", func(context.Context) bool { return total(only(logged(t, c.cfg), run)) == tenants })
	for j := range rounds {
		armed.Store(1)
		for i := range events {
			events[i] = lead(fmt.Sprintf("%s-%d", run, i), fmt.Sprint(j))
		}
		send(t, c.cfg, events...)
		kafkatest.WaitFor(t, "the batch, after its abort", func(context.Context) bool {
			return armed.Load() < 0 && total(only(logged(t, c.cfg), run)) >= tenants*(j+2)
		})
	}
	log := only(logged(t, c.cfg), run)
	checkLog(t, log)
	if got := total(log); got != tenants*(rounds+1) {
		t.Fatalf("%d events in the log, want %d", got, tenants*(rounds+1))
	}
}
