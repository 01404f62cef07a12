//go:build synctests

package sequencer

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// Of the simulation: NEURONX_TEST_SEEDS says how many seeds to run, NEURONX_TEST_SEED which one, if only one.
const (
	seedsEnv     = "NEURONX_TEST_SEEDS"
	seedEnv      = "NEURONX_TEST_SEED"
	defaultSeeds = 24
)

const (
	simPartitions = 3
	simTenants    = 4
	simSlots      = 3
	simProducers  = 2
)

// TestSimulation_NoScheduleOfFaultsBreaksAnInvariant runs sequencers and producers against a cluster in memory, in virtual time, under
// schedules that a seed decides: connections cut before a request and after its answer, answers late, processes killed, stopped,
// started and paused beyond session and transaction time-outs, partitions and coordinators moved, the registry away, last stable
// offsets late. Then it lets all be calm, and checks I1, I2 and I10.
func TestSimulation_NoScheduleOfFaultsBreaksAnInvariant(t *testing.T) {
	var failed atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for _, seed := range simSeeds(t) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSim(t, seed)
					defer s.end()
					if found := s.run(); len(found) > 0 {
						failed.Add(1)
						// The order in which goroutines run is not the seed's: what is not told now may never come again.
						t.Errorf("seed %d (%s=%d replays it):\n  %s\nwhat happened:\n  %s\nwhat the topics hold:\n  %s", seed, seedEnv, seed, strings.Join(found, "\n  "), s.told(), s.raw())
					}
				})
			})
		}
	})
	if n := failed.Load(); n > 0 {
		t.Logf("found in %d seeds", n)
	}
}

func simSeeds(t *testing.T) []uint64 {
	number := func(env string, def uint64) uint64 {
		v := os.Getenv(env)
		if v == "" {
			return def
		}
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", env, err)
		}
		return n
	}
	if one := number(seedEnv, 0); one != 0 {
		return []uint64{one}
	}
	var out []uint64
	for i := range number(seedsEnv, defaultSeeds) {
		out = append(out, i+1)
	}
	return out
}

// sim is one simulated environment.
type sim struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand // of the schedule
	v       *kafkatest.Virtual
	clean   *kafkatest.Link // of the checks
	keys    *event.Keyring
	schemas *sequencertest.Catalogue
	slots   []*simSlot
	hist    *history
	calm    atomic.Bool
	quiet   atomic.Bool // nobody produces
	harsh   float64     // how likely trouble is, 0 to 1
	lag     func(time.Duration)
	stopLag func()
	later   sync.WaitGroup

	mu    sync.Mutex
	began time.Time
	story []string
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), v: kafkatest.StartVirtual(t, 3, simPartitions), keys: event.NewKeyring(),
		schemas: &sequencertest.Catalogue{ByID: sequencertest.Schemas.ByID, ByType: sequencertest.Schemas.ByType}, hist: newHistory(), began: time.Now(),
	}
	s.clean = s.v.Link(nil)
	s.harsh = []float64{0, 0.3, 1}[s.rng.IntN(3)]
	ctx, cancel := context.WithCancel(context.Background())
	set, wait := s.v.LagStable(ctx)
	s.lag, s.stopLag = set, func() { cancel(); wait() }
	stray := rand.New(rand.NewPCG(seed, 2))
	s.v.Stray(kafka.TopicIngress, func() int64 {
		if s.calm.Load() || stray.Float64() > 0.03*s.harsh {
			return 0
		}
		by := 1 + stray.Int64N(12)
		s.tell("a fetch of ingress is answered from up to %d further on", by)
		return by
	})
	for i := range simSlots {
		s.slots = append(s.slots, &simSlot{name: fmt.Sprint(i), sim: s})
	}
	return s
}

// end stops what is left. Everything in the bubble must be gone after it.
func (s *sim) end() {
	s.calm.Store(true)
	s.later.Wait()
	for _, x := range s.slots {
		x.stop()
		for _, p := range x.dead {
			<-p.done
		}
	}
	s.stopLag()
	time.Sleep(time.Minute) // closed clients end a last request, late answers come
}

func (s *sim) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, fmt.Sprintf("%8.3fs ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

func (s *sim) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.story, "\n  ")
}

// raw is all that ingress and the state topic hold, aborted or not.
func (s *sim) raw() string {
	cfg := s.v.Config(s.clean)
	return strings.Join(append(kafkatest.Raw(s.t, cfg, kafka.TopicIngress), kafkatest.Raw(s.t, cfg, kafka.TopicState)...), "\n  ")
}

// trouble decides what happens to a request: most to those of a transaction and to what is produced.
func (s *sim) trouble(whose string) func(kafkatest.Request) kafkatest.Trouble {
	var mu sync.Mutex
	h := fnv.New64a()
	h.Write([]byte(whose))
	rng := rand.New(rand.NewPCG(s.seed, h.Sum64()))
	return func(r kafkatest.Request) (t kafkatest.Trouble) {
		t.Delay = simLatency
		if s.calm.Load() {
			return t
		}
		mu.Lock()
		defer mu.Unlock()
		p := 0.005
		switch r {
		case kafkatest.ReqEndTxn, kafkatest.ReqTxnOffsets, kafkatest.ReqInitProducer:
			p = 0.08
		case kafkatest.ReqProduce, kafkatest.ReqOffsetFetch, kafkatest.ReqJoinGroup, kafkatest.ReqSyncGroup:
			p = 0.03
		}
		p *= s.harsh
		switch n := rng.Float64(); {
		case n < p:
			t.CutAfter = true
			s.tell("%s: cut after the answer to %s", whose, r)
		case n < p*1.3:
			t.CutBefore = true
			s.tell("%s: cut before %s", whose, r)
		case n < p*2:
			t.Delay += time.Duration(rng.IntN(3000)) * time.Millisecond
		}
		return t
	}
}

func (s *sim) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// run is the life of the environment; it returns what was found broken.
func (s *sim) run() []string {
	s.slots[0].start()
	s.slots[1].start()
	if err := s.createTenants(); err != nil {
		return []string{err.Error()}
	}
	var producing sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range simProducers {
		p := s.newProducer(i)
		producing.Go(func() { p.run(ctx) })
	}
	for range 6 + s.rng.IntN(6) {
		time.Sleep(s.between(50*time.Millisecond, 3*time.Second))
		s.act()
	}
	s.later.Wait()
	if s.rng.IntN(3) == 0 {
		s.joinInTurn()
	}
	s.calm.Store(true)
	s.tell("calm")
	s.lag(0)
	s.schemas.SetDown(false)
	cancel()
	producing.Wait()
	for _, x := range s.slots[:2] {
		if x.up == nil || x.ended() {
			x.start()
		}
	}
	return s.waitIdle()
}

// act does one thing to the environment.
func (s *sim) act() {
	x := s.slots[s.rng.IntN(len(s.slots))]
	away := s.between(0, 2*time.Second)
	switch n := s.rng.IntN(12); {
	case n == 0:
		s.tell("the registry is away for %v", away)
		s.schemas.SetDown(true)
		s.later.Go(func() {
			time.Sleep(away)
			s.schemas.SetDown(false)
		})
	case n == 1:
		s.tell("leaders and coordinators move")
		s.v.Move()
	case n == 2:
		lag := s.between(0, 3*time.Second)
		s.tell("last stable offsets lag by %v", lag)
		s.lag(lag)
	case x.busy.Load():
	case x.up == nil || x.ended():
		x.up = nil
		x.start()
	case n <= 4:
		x.kill()
		away = []time.Duration{0, s.between(0, 2*time.Second), s.between(3*time.Second, 6*time.Second)}[s.rng.IntN(3)]
		x.after(away, x.start)
	case n <= 7:
		x.busy.Store(true)
		s.later.Go(func() {
			x.stop()
			time.Sleep(away)
			x.start()
			x.busy.Store(false)
		})
	case n <= 9:
		pause := []time.Duration{s.between(0, 2*time.Second), s.between(3*time.Second, 7*time.Second), s.between(11*time.Second, 16*time.Second)}[s.rng.IntN(3)]
		s.tell("slot %s is paused for %v", x.name, pause)
		x.link.Stall()
		x.after(pause, x.link.Resume)
	default:
		s.tell("slot %s loses its connections", x.name)
		x.link.Cut()
	}
}

// joinInTurn lets one process have all partitions, and others join one after the other while there is nothing to do: the client tells
// a member that ends no transaction in between only of the first partitions that it loses.
func (s *sim) joinInTurn() {
	s.quiet.Store(true)
	defer s.quiet.Store(false)
	s.tell("nobody produces, and slots join in turn")
	for _, x := range s.slots[1:] {
		x.stop()
	}
	if first := s.slots[0]; first.up == nil || first.ended() {
		first.start()
	}
	time.Sleep(8 * time.Second)
	for _, x := range s.slots[1:] {
		x.start()
		time.Sleep(8 * time.Second)
	}
	s.quiet.Store(false)
	time.Sleep(s.between(time.Second, 5*time.Second))
}

// waitIdle waits until everything in ingress is judged, and checks.
func (s *sim) waitIdle() []string {
	var w contents
	for i := range 30 { // two minutes, looked at less and less often: a look is not cheap
		time.Sleep(time.Second + time.Duration(i/2*500)*time.Millisecond)
		w = s.look()
		if broken := s.hist.violations(); len(broken) > 0 {
			return broken // it may never be idle
		}
		if w.idle() {
			return slices.Concat(s.hist.violations(), w.check(s.hist))
		}
	}
	out := append(s.hist.violations(), "not everything in ingress is judged two minutes after the last fault: "+w.String())
	for _, x := range s.slots {
		if x.up != nil {
			out = append(out, fmt.Sprintf("slot %s: %v", x.name, x.up.ready.Err()))
		}
	}
	return out
}
