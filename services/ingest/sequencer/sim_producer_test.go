//go:build synctests

package sequencer

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// fate is where an event must end up.
type fate int

const (
	inLog fate = iota
	inDeadLetters
)

// sent is what the clients know of one event.
type sent struct {
	e         *event.Event
	fate      fate
	acked     int // answers "it is in ingress"
	misplaced bool
}

// history is what the clients saw.
type history struct {
	mu     sync.Mutex
	events map[string]*sent // by tenant, id and whether it is the second one under this id
	broken []string
}

func newHistory() *history { return &history{events: map[string]*sent{}} }

func (h *history) violate(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = append(h.broken, fmt.Sprintf(format, args...))
}

func (h *history) violations() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broken
}

// simProducer is one client. It sends one event at a time, waits for a while, and sends those again, under the same id, that were not answered.
type simProducer struct {
	s       *sim
	name    string
	rng     *rand.Rand
	link    *kafkatest.Link
	mine    []*sent
	unsure  []*sent // not answered
	derived int64   // last number, of the one deriver that this client is
}

func (s *sim) newProducer(i int) *simProducer {
	name := fmt.Sprintf("client-%d", i)
	h := fnv.New64a()
	h.Write([]byte(name))
	return &simProducer{s: s, name: name, rng: rand.New(rand.NewPCG(s.seed, h.Sum64())), link: s.v.Link(s.trouble(name))}
}

func tenantName(i int) string { return fmt.Sprintf("t%d", i) }

func (s *sim) createTenants() error {
	p, err := kafka.NewProducer(s.v.Config(s.clean), 0, nil)
	if err != nil {
		return err
	}
	defer p.Close()
	for i := range simTenants {
		e := sequencertest.Created(s.keys, tenantName(i))
		s.hist.events[e.TenantID+" "+e.ID] = &sent{e: e, acked: 1}
		if err := p.Produce(context.Background(), kafka.ToRecord(kafka.TopicIngress, e)); err != nil {
			return err
		}
	}
	return nil
}

// run sends until ctx is done, and then sends again about half of what is unsure, until it is answered.
func (p *simProducer) run(ctx context.Context) {
	producer, err := kafka.NewProducer(p.s.v.Config(p.link), 0, nil)
	if err != nil {
		p.s.hist.violate("%s: %v", p.name, err)
		return
	}
	defer producer.Close()
	for n := 0; ctx.Err() == nil; n++ {
		if p.s.quiet.Load() {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		x := p.next(n)
		if x.misplaced {
			p.misplace(x)
		} else {
			p.send(producer, x, time.Second)
		}
		time.Sleep(time.Duration(p.rng.IntN(200)) * time.Millisecond)
	}
	for i, x := range p.unsure {
		// A deriver's events are sent until they are seen. Of the others some are never sent again.
		if i%2 == 0 || x.e.Derived() {
			p.send(producer, x, 30*time.Second)
		}
	}
}

func (p *simProducer) remember(key string, x *sent) *sent {
	p.s.hist.mu.Lock()
	defer p.s.hist.mu.Unlock()
	p.s.hist.events[key] = x
	p.mine = append(p.mine, x)
	return x
}

// next is the next thing to send: mostly something new.
func (p *simProducer) next(n int) *sent {
	tenant, id := tenantName(p.rng.IntN(simTenants)), fmt.Sprintf("%s/%d", p.name, n)
	switch roll := p.rng.IntN(20); {
	case roll < 3 && len(p.mine) > 0: // again, whether it was answered or not
		if x := p.mine[p.rng.IntN(len(p.mine))]; !x.misplaced {
			return x
		}
	case roll < 5 && len(p.unsure) > 0:
		x := p.unsure[0]
		p.unsure = p.unsure[1:]
		return x
	case roll == 5: // the same id with another body, when the first one is known to be there
		for _, x := range p.mine {
			if x.acked > 0 && !x.misplaced && x.fate == inLog && !x.e.Derived() && x.e.ID != "" && p.s.hist.events[x.e.TenantID+" "+x.e.ID+" other"] == nil {
				e := sequencertest.Made(x.e.TenantID, x.e.ID, "lead.created", map[string]any{"lead_id": "another"})
				return p.remember(e.TenantID+" "+e.ID+" other", &sent{e: e, fate: inDeadLetters})
			}
		}
	case roll == 6:
		e := sequencertest.Lead(tenant, id)
		e.Value = append(e.Value, 0)
		return p.remember(tenant+" "+id, &sent{e: e, fate: inDeadLetters})
	case roll == 7:
		return p.remember(tenant+" "+id, &sent{e: sequencertest.Lead(tenant, id), misplaced: true})
	case roll == 8:
		p.derived++
		e := sequencertest.Derived(p.s.keys, tenantName(0), id, p.derived, func(e *event.Event) {
			e.Deriver = p.name
		})
		return p.remember(e.TenantID+" "+id, &sent{e: e})
	}
	return p.remember(tenant+" "+id, &sent{e: sequencertest.Lead(tenant, id)})
}

func (p *simProducer) send(producer *kafka.Producer, x *sent, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := producer.Produce(ctx, kafka.ToRecord(kafka.TopicIngress, x.e)); err != nil {
		p.s.tell("%s: %s of %s is unsure: %v", p.name, x.e.ID, x.e.TenantID, err)
		p.unsure = append(p.unsure, x)
		return
	}
	x.acked++
}

// misplace sends what a client with another partitioner sends.
func (p *simProducer) misplace(x *sent) {
	r := kafka.ToRecord(kafka.TopicIngress, x.e)
	r.Partition = (kafka.PartitionFor(r.Key, simPartitions) + 1) % simPartitions
	kafkatest.Misplace(p.s.t, p.s.v.Config(p.s.clean), r)
	x.acked++
}

// TestSimulation_ACutAfterTheAnswerIsUnknownToTheClientAndDone shows that the simulated network does what it says.
func TestSimulation_ACutAfterTheAnswerIsUnknownToTheClientAndDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := kafkatest.StartVirtual(t, 1, simPartitions)
		cut := false
		link := v.Link(func(r kafkatest.Request) kafkatest.Trouble {
			first := r == kafkatest.ReqProduce && !cut
			cut = cut || first
			return kafkatest.Trouble{CutAfter: first}
		})
		p, err := kafka.NewProducer(v.Config(link), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		r := kafka.ToRecord(kafka.TopicIngress, sequencertest.Lead("a", "1"))
		began := time.Now()
		if err := p.Produce(context.Background(), r); err != nil || !cut {
			t.Fatal(err, cut)
		}
		if n := len(kafkatest.Consume(t, v.Config(v.Link(nil)), kafka.TopicIngress)); n != 1 {
			t.Fatalf("%d records, written in %v", n, time.Since(began))
		}
	})
}
