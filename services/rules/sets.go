package rules

import (
	"cmp"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// Bounds of the compiled bundles that are kept, of 1 to 4 KB an expression.
const (
	maxHeld     = 40_000 // expressions; see ruleset.Set.Weight
	maxHeldSets = 4_096
)

// sets keeps compiled bundles by their keys (ruleset.SetKey). What was compiled stays compiled: it is the same for ever and for every tenant. When
// there are too many, the one that was used longest ago goes, but none that the current batch has used: five tenants with large bundles
// must not make each other's compile again with every batch.
type sets struct {
	most  int // expressions that are kept; 0 is maxHeld
	kept  map[string]*keptSet
	held  int   // expressions of kept
	batch int64 // the current one
}

type keptSet struct {
	set  *ruleset.Set
	used int64 // by this batch last
}

// begin starts a batch: what others used may go from now on.
func (s *sets) begin() { s.batch++ }

// find answers nil when no set has the key.
func (s *sets) find(key string) *ruleset.Set {
	k := s.kept[key]
	if k == nil {
		return nil
	}
	k.used = s.batch
	return k.set
}

// keep keeps a set that the current batch uses. The bounds are exceeded only by what one batch needs.
func (s *sets) keep(set *ruleset.Set) {
	if s.find(set.Key()) != nil {
		return
	}
	for s.held+set.Weight() > cmp.Or(s.most, maxHeld) || len(s.kept) >= maxHeldSets {
		oldest := ""
		for hash, k := range s.kept {
			if k.used < s.batch && (oldest == "" || k.used < s.kept[oldest].used) {
				oldest = hash
			}
		}
		if oldest == "" {
			break
		}
		s.held -= s.kept[oldest].set.Weight()
		delete(s.kept, oldest)
	}
	if s.kept == nil {
		s.kept = map[string]*keptSet{}
	}
	s.kept[set.Key()] = &keptSet{set: set, used: s.batch}
	s.held += set.Weight()
}
