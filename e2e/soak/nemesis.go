package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one thing that can go wrong.
type Fault struct {
	Kind  string
	Takes []string // what it needs for itself while it lasts
	// Do does it. It calls struck, with when it has hit and what proves it; the checker is asked before that returns, so that it looks
	// while the thing is down. Then it heals, and returns.
	Do func(ctx context.Context, rng *rand.Rand, struck Hit) error
}

// Hit says that a fault has struck.
type Hit func(at time.Time, proof string)

// Struck is what came of one fault.
type Struck struct {
	Kind      string    `json:"fault"`
	At        time.Time `json:"at"`
	Landed    bool      `json:"landed"`
	Proof     string    `json:"proof,omitempty"`
	RecoveryS float64   `json:"recovery_s,omitempty"` // until what is sent after it was acknowledged and in the log, on every partition
	Asked     bool      `json:"asked"`                // the checker was asked, while it lasted
	AskedS    float64   `json:"asked_s,omitempty"`    // for so long
	LastedS   float64   `json:"lasted_s"`             // until it was healed
	Overlaps  []string  `json:"beside,omitempty"`     // other faults that lasted when it struck
	Error     string    `json:"error,omitempty"`
}

// Nemesis lets a random fault strike at a fixed pace.
type Nemesis struct {
	Faults []Fault
	Every  time.Duration
	Seed   uint64
	Watch  *Watch
	Limit  time.Duration                   // for a recovery
	Struck func(ctx context.Context) error // asked after each has struck
	Log    func(format string, args ...any)

	mu     sync.Mutex
	taken  map[string]string // by which kind of fault
	struck []*Struck
}

// Run goes on until ctx ends and returns when everything is healed and has recovered. A fault that is due while everything it could be
// is taken waits for its turn.
func (n *Nemesis) Run(ctx context.Context) []Struck {
	n.taken = map[string]string{}
	rng := rand.New(rand.NewPCG(n.Seed, 5))
	var last string
	var running sync.WaitGroup
	for next := time.Now().Add(n.Every); ; next = next.Add(n.Every) {
		pause(ctx, time.Until(next))
		f := n.choose(ctx, rng, last)
		if ctx.Err() != nil {
			break
		}
		last = f.Kind
		n.Watch.Forget(time.Now().Add(-2 * n.Limit))
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		running.Go(func() { n.do(context.WithoutCancel(ctx), f, own) })
	}
	running.Wait()
	out := make([]Struck, len(n.struck))
	for i, s := range n.struck {
		out[i] = *s
	}
	return out
}

// choose waits until a fault is free, and takes what it needs. The kinds come in a random order with no kind twice in a row.
func (n *Nemesis) choose(ctx context.Context, rng *rand.Rand, last string) Fault {
	for ctx.Err() == nil {
		n.mu.Lock()
		var free []Fault
		for _, f := range n.Faults {
			if f.Kind != last && !slices.ContainsFunc(f.Takes, func(t string) bool { return n.taken[t] != "" }) {
				free = append(free, f)
			}
		}
		if len(free) > 0 {
			f := free[rng.IntN(len(free))]
			for _, t := range f.Takes {
				n.taken[t] = f.Kind
			}
			n.mu.Unlock()
			return f
		}
		n.mu.Unlock()
		pause(ctx, 100*time.Millisecond)
	}
	return Fault{}
}

func (n *Nemesis) do(ctx context.Context, f Fault, rng *rand.Rand) {
	s := &Struck{Kind: f.Kind, At: time.Now().UTC()}
	n.mu.Lock()
	n.struck = append(n.struck, s)
	for t, kind := range n.taken {
		if !slices.Contains(f.Takes, t) && !slices.Contains(s.Overlaps, kind) {
			s.Overlaps = append(s.Overlaps, kind)
		}
	}
	n.mu.Unlock()
	slices.Sort(s.Overlaps)
	began := time.Now()
	recovered := make(chan error, 1)
	err := f.Do(ctx, rng, func(at time.Time, proof string) {
		if s.Landed {
			return
		}
		s.Landed, s.Proof = true, proof
		go func() {
			took, err := n.Watch.Recovered(ctx, at, n.Limit)
			if err == nil {
				s.RecoveryS = took.Seconds()
			}
			recovered <- err
		}()
		asked := time.Now()
		if err := n.Struck(ctx); err != nil {
			s.Error = err.Error()
		} else {
			s.Asked = true
		}
		s.AskedS = time.Since(asked).Seconds()
	})
	if err != nil {
		s.Error = strings.TrimSpace(s.Error + " " + err.Error())
	}
	s.LastedS = time.Since(began).Seconds()
	n.mu.Lock()
	for _, t := range f.Takes {
		delete(n.taken, t)
	}
	n.mu.Unlock()
	if s.Landed {
		if err := <-recovered; err != nil {
			s.Error = strings.TrimSpace(s.Error + " not recovered: " + err.Error())
		}
	}
	n.Log("%s: %s: landed %t, recovered after %.1f s, asked for %.1f s, healed after %.1f s; overlapped %v %s", f.Kind, s.Proof, s.Landed, s.RecoveryS, s.AskedS, s.LastedS, s.Overlaps, s.Error)
}

// Summary is the recovery after one kind of fault, in seconds.
type Summary struct {
	Planned   int     `json:"planned"`
	Landed    int     `json:"landed"`
	Recovered int     `json:"recovered"`
	Median    float64 `json:"median_s"` // of the recoveries
	Worst     float64 `json:"worst_s"`
}

// Summarize counts what landed and sums up the recoveries by kind.
func Summarize(all []Struck) (landed int, by map[string]Summary) {
	times := map[string][]float64{}
	by = map[string]Summary{}
	for _, s := range all {
		sum := by[s.Kind]
		sum.Planned++
		if s.Landed {
			landed++
			sum.Landed++
			if s.RecoveryS > 0 {
				sum.Recovered++
				times[s.Kind] = append(times[s.Kind], s.RecoveryS)
			}
		}
		by[s.Kind] = sum
	}
	for kind, t := range times {
		slices.Sort(t)
		sum := by[kind]
		sum.Median, sum.Worst = t[len(t)/2], t[len(t)-1]
		by[kind] = sum
	}
	return landed, by
}

// Table shows summaries, a line a kind.
func Table(by map[string]Summary) string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		s := by[kind]
		fmt.Fprintf(&b, "  %-24s %3d of %3d landed, %3d recovered, median %5.1f s, worst %5.1f s\n", kind, s.Landed, s.Planned, s.Recovered, s.Median, s.Worst)
	}
	return b.String()
}
