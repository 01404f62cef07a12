package sequencer

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

func (r *Rates) setDefaults() {
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
	resets  map[string]uint32     // by tenant: an engine.rule.reset begins all its counts anew
	maxKeys int
}

func newRates() *rates {
	return &rates{
		seed: maphash.MakeSeed(), now: map[rateKey]uint32{}, before: map[rateKey]uint32{},
		credit: [2]map[rateKey]uint32{{}, {}}, resets: map[string]uint32{}, maxKeys: maxRateKeys,
	}
}

func (r *rates) hash(epoch uint32, tenant string, kind rateKind, name string) rateKey {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(tenant) // has no byte of the separators
	_ = h.WriteByte(0xff)
	_ = h.WriteByte(byte(kind))
	_, _ = h.Write([]byte{byte(epoch), byte(epoch >> 8), byte(epoch >> 16), byte(epoch >> 24)})
	_, _ = h.WriteString(name)
	return rateKey(h.Sum64())
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

func (r *rates) add(key rateKey, kind rateKind) {
	if kind == ratedCredit {
		r.credit[0][key]++
		return
	}
	if len(r.now) >= r.maxKeys {
		if _, there := r.now[key]; !there {
			r.forget()
		}
	}
	r.now[key]++
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

// rateStep is one thing that was counted, staged until the transaction is committed.
type rateStep struct {
	key  rateKey
	kind rateKind
	ms   int64
}

// rateStage is what an overlay counted over the rates of its state, which it never changes.
type rateStage struct {
	window int64 // ms
	steps  []rateStep
	counts map[rateKey]int64
	resets map[string]uint32
}

// rateEpoch says how often a tenant's counts have begun anew.
func (o *overlay) rateEpoch(tenant string) uint32 {
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

func (s *rateStage) add(key rateKey, kind rateKind, ms int64) {
	if s.counts == nil {
		s.counts = map[rateKey]int64{}
	}
	s.counts[key]++
	s.steps = append(s.steps, rateStep{key, kind, ms})
}

// merge makes what was staged the state.
func (r *rates) merge(s *rateStage) {
	for _, step := range s.steps {
		r.turn(step.ms, s.window)
		r.add(step.key, step.kind)
	}
	maps.Copy(r.resets, s.resets)
}

// Types that the rates look at.
const (
	typeRuleReset = "engine.rule.reset"
	derivesRules  = "rules" // the deriver whose events are judged: outcomes of an adapter tell what happened, as facts do
)
