package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// terms are how far the events of one tenant are applied in one go. What they leave is applied later; what it derives does not depend on
// them. Only what an event costs beyond an ordinary one counts: a batch full of a busy tenant's ordinary events is applied whole.
type terms struct {
	cost       uint64 // units
	bytes      int    // that are derived and kept
	event      uint64 // units of one event, over which all of it is for later; 0: whatever it costs
	compileOne int    // bytes of the texts of a bundle, over which it is compiled later
	compileAll int    // likewise, of all bundles of the batch
	pause      func() // is called between two files that are compiled; nil: nothing
}

const (
	ordinaryCost   = 1_000   // units: a few rules fire and derive an event each
	ordinaryOutput = 4 << 10 // bytes
	flushOutput    = 1 << 20 // bytes of derived events that are held before they are written
	compileCost    = 300     // units of an expression of a published bundle
)

// What a batch waits for. All tenants do, so it is a small part of what one event may cost (EventCost): a tenant whose events cost more
// catches up outside the loop, where no batch waits for the evaluation.
const (
	batchCost    = 200_000                // units of all tenants
	batchOutput  = 8 << 20                // bytes that all tenants derive and keep
	tenantCost   = 50_000                 // units of one tenant
	loopCost     = 20_000                 // units of one event
	loopDeadline = 200 * time.Millisecond // wall time of one event
	loopFound    = 1_000                  // instances of workflows that are read at once
	loopBundle   = 16 << 10               // bytes of texts: about 30 ms to compile
	loopBundles  = 64 << 10
	leastWork    = time.Millisecond       // that is followed by a pause
	longestPause = 100 * time.Millisecond // a machine that is busy makes the work look long
)

// batchTerms divide a batch among its tenants.
func batchTerms(tenants int) terms {
	n := max(tenants, 1)
	return terms{cost: min(tenantCost, batchCost/uint64(n)), bytes: batchOutput / n, event: loopCost, compileOne: loopBundle, compileAll: loopBundles}
}

var (
	catchUpTerms = terms{cost: EventCost, bytes: flushOutput, compileOne: math.MaxInt, compileAll: math.MaxInt}
	unbounded    = terms{cost: math.MaxUint64, bytes: math.MaxInt, compileOne: math.MaxInt, compileAll: math.MaxInt}
)

// spent reports whether a fold has used up its terms. It is asked between two events: each tenant gets one event further in any case.
func (t terms) spent(f *fold) bool { return f.cost >= t.cost || f.bytes >= t.bytes }

// evaluate runs the rules within the event's wall time. A process that was stopped for a while meets the deadline without being slow, so it
// tries once more; then the error is a *TooSlowError, which sets the tenant aside, and not one that is tried again with everybody's batch.
// While a batch waits it tries once and for a short time, and the event is for later.
func (f *fold) evaluate(ctx context.Context, in Input) (Result, error) {
	within, tries := cmp.Or(f.within, EventDeadline), 2
	if f.most > 0 {
		within, tries = cmp.Or(f.within, loopDeadline), 1
	}
	var slow *TooSlowError
	for range tries {
		timed, cancel := context.WithTimeout(ctx, within)
		res, err := evaluate(timed, in, f.most)
		cancel()
		if err == nil || errors.Is(err, errLater) {
			f.dear = f.dear || err != nil
			return res, err
		}
		if ctx.Err() != nil || !errors.As(err, &slow) {
			return Result{}, consumer.Transient(fmt.Errorf("evaluate event %d: %w", in.Event.Sequence, err))
		}
	}
	if f.most > 0 {
		f.dear = true
		return Result{}, errLater
	}
	return Result{}, slow
}

// Prepare implements consumer.Preparer: it compiles and evaluates, and keeps what came of it for ApplyParts to write. If anything fails, it is
// left to ApplyParts to find out whose fault that is.
func (h *handler) Prepare(ctx context.Context, pool *pgxpool.Pool, run consumer.Run) {
	h.shared.begin(run.TenantID)
	w := &database{handler: h, q: pool}
	terms := catchUpTerms
	terms.pause = giveWay(ctx)
	folds, err := h.folds(ctx, w, []consumer.Run{run}, terms)
	if err != nil {
		return
	}
	f := folds[0]
	part, err := h.fold(ctx, f, run, terms, func() error { return nil })
	if err != nil && part.Applied == 0 {
		return
	}
	if part.Applied == len(run.Events) && f.dearest <= loopCost {
		h.shared.setDear(run.TenantID, false)
	}
	h.shared.put(&prepared{run: run, fold: f, part: part})
}

// giveWay pauses for twice as long as was worked since the last pause. A large bundle is compiled on about a third of a core: on a machine of
// two, everybody's events would otherwise take twice as long through Kafka, Postgres and the other services meanwhile. Expensive events are
// not slowed: on a busy machine a tenant with a hundred of them would take minutes.
func giveWay(ctx context.Context) func() {
	since := time.Now()
	return func() {
		if worked := time.Since(since); worked >= leastWork {
			_ = backoff.Wait(ctx, min(2*worked, longestPause)) // an end of ctx is found by what follows
		}
		since = time.Now()
	}
}

// prepared is what Prepare made of a run.
type prepared struct {
	run  consumer.Run
	fold *fold
	part consumer.Part
}

// maxDear bounds how many tenants are known to be expensive; one that is forgotten costs one event until it is known again.
const maxDear = 10_000

// shared is what Prepare and ApplyParts have in common. It is safe for concurrent use.
type shared struct {
	mu    sync.Mutex
	sets  sets
	ready *prepared
	whole string           // the tenant whose run is applied whole, because it could not be prepared or what was prepared could not be written
	dear  map[string]bool  // tenants of which an event cost more than a batch may wait for; until their events are ordinary again
	texts map[string]found // bundles of before that instances run by, by tenant and sequence; a row of theirs never changes
}

// maxTexts bounds how many bundles of before are known; one that is forgotten is read again.
const maxTexts = 20_000

// textOf is a bundle of before. A tenant that publishes every hour has hundreds that instances run by, and a query for each would make every batch wait.
func (s *shared) textOf(key string) (f found, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, known = s.texts[key]
	return f, known
}

func (s *shared) keepText(key string, f found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil || len(s.texts) >= maxTexts {
		s.texts = map[string]found{}
	}
	s.texts[key] = f
}

// begin forgets what was prepared before. Until put, the tenant's run is one that can't be prepared.
func (s *shared) begin(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.whole = nil, tenant
}

func (s *shared) put(p *prepared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.whole = p, ""
}

// take returns what was prepared for a run, once. If that can't be written, the consumer halves the run to find the event whose fault it
// is; the halves are applied whole.
func (s *shared) take(run consumer.Run) (p *prepared, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p = s.ready; p != nil && p.run.TenantID == run.TenantID {
		s.ready = nil
		if n := len(run.Events); n == len(p.run.Events) && p.run.Generation == run.Generation &&
			p.run.Events[0].Sequence == run.Events[0].Sequence && p.run.Events[n-1].Sequence == run.Events[n-1].Sequence {
			s.whole = run.TenantID
			return p, false
		}
	}
	return nil, s.whole == run.TenantID
}

// wrote says that what was taken is written.
func (s *shared) wrote(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.whole == tenant {
		s.whole = ""
	}
}

func (s *shared) isDear(tenant string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dear[tenant]
}

func (s *shared) setDear(tenant string, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !is {
		delete(s.dear, tenant)
		return
	}
	if s.dear == nil || len(s.dear) >= maxDear {
		s.dear = map[string]bool{}
	}
	s.dear[tenant] = true
}

// compiler compiles bundles that are not kept, as far as its bounds go. It is for one batch.
type compiler struct {
	kept *shared
	one  int // bytes of the texts of one bundle
	left int // bytes of the texts of all

	between func() // is called between two files; nil: nothing
}

// begin starts a batch that uses sets.
func (c *compiler) begin(keys []string) {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	c.kept.sets.begin()
	for _, key := range keys {
		c.kept.sets.find(key) // used by this batch: must not go for what it compiles
	}
}

func (c *compiler) find(key string) *ruleset.Set {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	return c.kept.sets.find(key)
}

// room takes bytes of texts from what may be compiled now.
func (c *compiler) room(bytes int) bool {
	if bytes > c.one || bytes > c.left {
		return false
	}
	c.left -= bytes
	return true
}

// published makes a set of files that were just published. It is kept also when the transaction is rolled back: the same texts give the
// same set.
func (c *compiler) published(semantics int64, files []ruleset.File) (*ruleset.Set, rulefile.Problems, error) {
	if set := c.find(ruleset.SetKey(ruleset.Hash(files), semantics)); set != nil {
		return set, nil, nil
	}
	bytes := 0
	for _, f := range files {
		bytes += len(f.Name) + len(f.Text)
	}
	if !c.room(bytes) {
		return nil, nil, errLater
	}
	set, problems := ruleset.CompileFor(semantics, files, c.between)
	if set != nil {
		c.keep(set)
	}
	return set, problems, nil
}

func (c *compiler) keep(set *ruleset.Set) {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	c.kept.sets.keep(set)
}
