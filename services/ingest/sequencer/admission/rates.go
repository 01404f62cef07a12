package admission

import (
	"hash/maphash"
	"maps"
	"time"
)

// Rates say how many derived events are a storm. All numbers are of one window of position time and of one tenant.
//
// What an outside fact triggers is measured against the facts. An event of the first hop answers a fact, so it is bounded by the facts
// and is never judged here: a bulk of 10,000 leads that each trigger one rule, and rules that were away for an hour and answer all of
// it at once, are no storms. Events of later hops answer derived ones, which is what a loop is made of: a rule, and a subject, may have
// Rule or Subject of them for nothing and PerFact more for each fact and each event of the first hop. A drip sequence of weekly steps
// is far below what is free. A loop that fans out has few facts and runs into its limit, whatever subjects it names; one that does not
// fan out ends at hop 16.
//
// A loop through the CRM brings its facts back by itself, so Facts bounds what is heard of one subject: what comes above it is recorded
// and triggers nothing.
type Rates struct {
	Window  time.Duration // default 1 h
	Rule    int           // events of hop 2 and more that one rule derives; default 1,000
	Subject int           // such events about one subject; default 500
	PerFact int           // what each fact, and each event of hop 1, adds to both; default 3: a chain of rules with emits of its own
	Facts   int           // facts about one subject before they are quiet; default 1,200, one in three seconds all hour long
}

// Defaults of Rates.
const (
	defaultRateWindow   = time.Hour
	defaultRuleRate     = 1000
	defaultSubjectRate  = 500
	defaultRatePerFact  = 3
	defaultSubjectFacts = 1200
)

func (r *Rates) SetDefaults() {
	if r.Window == 0 {
		r.Window = defaultRateWindow
	}
	for _, d := range []struct {
		n     *int
		value int
	}{{&r.Rule, defaultRuleRate}, {&r.Subject, defaultSubjectRate}, {&r.PerFact, defaultRatePerFact}, {&r.Facts, defaultSubjectFacts}} {
		if *d.n == 0 {
			*d.n = d.value
		}
	}
}

// maxRateKeys bounds the rules and subjects that are counted in one window and partition: 40 bytes each, twice.
const maxRateKeys = 1 << 15

// rateKey is what is counted: a keyed hash of tenant, kind and name. The key is the process's own, so that no tenant can choose a
// subject that counts as another tenant's.
type rateKey uint64

type rateKind byte

const (
	ratedRule rateKind = iota
	ratedSubject
	ratedFacts
	ratedCredit // of the tenant: facts and events of the first hop
)

// rates counts events in two windows, this one and the one before, of which the part is taken that a window ending now still covers.
// They are working state of the partition's owner: a restore forgets them, and then events whose cause is older are not judged,
// because their facts were not counted.
//
// Only numbers that are too small are possible: when more than maxRateKeys are counted in a window, those with the smallest counts are
// forgotten. That may let a storm go on for longer, and never makes one of what is none. A tenant's credit is not forgotten.
type rates struct {
	seed    maphash.Seed
	start   int64 // ms: of the window that now is counted; 0: none yet
	since   int64 // ms: counted from here on
	now     map[rateKey]uint32
	before  map[rateKey]uint32
	credit  [2]map[rateKey]uint32 // now, before
	resets  map[string]uint32     // by tenant: an engine.rule.reset or engine.rule.rerun starts all its counts again
	maxKeys int
}

func newRates() *rates {
	return &rates{
		seed: maphash.MakeSeed(), now: map[rateKey]uint32{}, before: map[rateKey]uint32{},
		credit: [2]map[rateKey]uint32{{}, {}}, resets: map[string]uint32{}, maxKeys: maxRateKeys,
	}
}

// ratedThing is what is counted, before it is hashed.
type ratedThing struct {
	tenant, name string
	epoch        uint32
	kind         rateKind
}

func (r *rates) hash(epoch uint32, tenant string, kind rateKind, name string) rateKey {
	return rateKey(maphash.Comparable(r.seed, ratedThing{tenant, name, epoch, kind}))
}

// turn makes ms lie in the window that is counted. Time that runs back counts in the window that there is.
func (r *rates) turn(ms, window int64) {
	switch {
	case r.start == 0:
		r.start, r.since = ms-ms%window, ms
	case ms < r.start+window:
	case ms < r.start+2*window:
		r.start += window
		r.before, r.now = r.now, map[rateKey]uint32{}
		r.credit[1], r.credit[0] = r.credit[0], map[rateKey]uint32{}
	default:
		r.start = ms - ms%window
		r.before, r.now = map[rateKey]uint32{}, map[rateKey]uint32{}
		r.credit = [2]map[rateKey]uint32{{}, {}}
	}
}

// count estimates how often key was counted in the window that ends at ms.
func (r *rates) count(key rateKey, kind rateKind, ms, window int64) int64 {
	now, before := r.now[key], r.before[key]
	if kind == ratedCredit {
		now, before = r.credit[0][key], r.credit[1][key]
	}
	into := min(max(ms-r.start, 0), 2*window)
	if into >= window { // not turned yet: what is counted now is the window before
		into, now, before = into-window, 0, now
	}
	return int64(now) + int64(before)*(window-into)/window
}

func (r *rates) add(key rateKey, kind rateKind, n uint32) {
	if kind == ratedCredit {
		r.credit[0][key] += n
		return
	}
	if len(r.now) >= r.maxKeys {
		if _, there := r.now[key]; !there {
			r.forget()
		}
	}
	r.now[key] += n
}

// forget drops the smallest counts until half of the room is free.
func (r *rates) forget() {
	for floor := uint32(1); len(r.now) > r.maxKeys/2; floor *= 2 {
		maps.DeleteFunc(r.now, func(_ rateKey, n uint32) bool { return n <= floor })
		if floor > 1<<30 {
			return
		}
	}
}

// rateStep is one thing that was counted in one window, staged until the transaction is committed.
type rateStep struct {
	key    rateKey
	ms     int64 // when it was counted first
	n      uint32
	before uint32 // of this key in steps before this one
	kind   rateKind
}

// rateStage is what an overlay counted over the rates of its state, which it never changes. The last step of a key is found by an index with
// open addressing: the key is a hash.
type rateStage struct {
	window int64 // ms
	steps  []rateStep
	slots  []int32 // one more than the number in steps; 0 is free; a power of two of them, at most half in use
	used   int     // slots
	resets map[string]uint32
}

// slot is where key is, or would be put.
func (s *rateStage) slot(key rateKey) *int32 {
	mask := uint64(len(s.slots) - 1)
	for i := uint64(key) & mask; ; i = (i + 1) & mask {
		if n := s.slots[i]; n == 0 || s.steps[n-1].key == key {
			return &s.slots[i]
		}
	}
}

func (s *rateStage) count(key rateKey) int64 {
	if len(s.slots) == 0 {
		return 0
	}
	n := *s.slot(key)
	if n == 0 {
		return 0
	}
	return int64(s.steps[n-1].n) + int64(s.steps[n-1].before)
}

func (s *rateStage) add(key rateKey, kind rateKind, ms int64) {
	if 2*(s.used+1) > len(s.slots) {
		s.grow()
	}
	slot := s.slot(key)
	next := rateStep{key: key, kind: kind, ms: ms, n: 1}
	if *slot == 0 {
		s.used++
	} else {
		last := &s.steps[*slot-1]
		if last.ms/s.window == ms/s.window { // windows begin at multiples of their length
			last.n++
			return
		}
		next.before = last.before + last.n
	}
	s.steps = append(s.steps, next)
	*slot = int32(len(s.steps))
}

func (s *rateStage) grow() {
	s.slots = make([]int32, max(64, 2*len(s.slots)))
	for i := range s.steps { // a later step of a key replaces the one before
		*s.slot(s.steps[i].key) = int32(i + 1)
	}
}

// rateEpoch says how often a tenant's counts have begun again.
func (o *Overlay) rateEpoch(tenant string) uint32 {
	if e, ok := o.rates.resets[tenant]; ok {
		return e
	}
	if o.under != nil {
		if e, ok := o.under.rates.resets[tenant]; ok {
			return e
		}
	}
	return o.base.rates.resets[tenant]
}

// merge makes what was staged the state.
func (r *rates) merge(s *rateStage) {
	for _, step := range s.steps {
		r.turn(step.ms, s.window)
		r.add(step.key, step.kind, step.n)
	}
	maps.Copy(r.resets, s.resets)
}

// Types that the rates look at.
const (
	typeRuleReset = "engine.rule.reset"
	typeRuleRerun = "engine.rule.rerun"
	derivesRules  = "rules" // the deriver whose events are judged: outcomes of an adapter tell what happened, as facts do
)
