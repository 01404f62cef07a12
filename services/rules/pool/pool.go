// Package pool picks members of a pool in turn, by weight: who gets the next lead. It is smooth weighted round-robin as in nginx
// (ngx_http_upstream_round_robin): each eligible member gains its weight, the one with the highest value is picked and pays the sum of
// the eligible weights. So picks interleave (a b a c a instead of a a a b c), and over any number of picks each member's share is within one
// of what its weight says.
//
// Members that are closed, full or excepted neither gain nor lose: nobody comes back from leave to a heap of leads. Pick is pure; the
// caller keeps State and the claims.
package pool

import (
	"maps"
	"slices"
	"time"
)

// Member is a member of a pool, in the order of its rows.
type Member struct {
	Name     string
	Weight   int64 // below 1: not picked
	Capacity int64 // claims that it takes at most; 0: any number
	Claims   int64 // living ones
	Closed   bool  // outside its hours
}

// State is what is kept of a pool's turns, by member.
type State map[string]int64

// Claim is a key that a member has.
type Claim struct {
	Member string
	Until  time.Time // zero: until it is released
	Of     string    // subject that the key names; empty: none
}

// Living reports whether a claim holds at a time.
func (c Claim) Living(now time.Time) bool {
	return c.Member != "" && (c.Until.IsZero() || now.Before(c.Until))
}

// Pick picks the member of a key. A living claim gives the same member, also when it is closed or full: its lead stays its own; not when it
// is excepted or no member any more. ok is false when nobody is eligible; then the state is unchanged. The state given is not modified.
// Members that left are forgotten, and new ones begin at zero.
func Pick(members []Member, state State, claim Claim, now time.Time, except []string) (member string, next State, ok bool) {
	excepted := Among(except)
	if claim.Living(now) && !excepted(claim.Member) && slices.ContainsFunc(members, func(m Member) bool { return m.Name == claim.Member }) {
		return claim.Member, state, true
	}
	next = State{}
	best, sum := -1, int64(0)
	for i, m := range members {
		next[m.Name] = state[m.Name]
		if m.Closed || m.Weight < 1 || m.Capacity > 0 && m.Claims >= m.Capacity || excepted(m.Name) {
			continue
		}
		sum += m.Weight
		next[m.Name] += m.Weight
		if best < 0 || next[m.Name] > next[members[best].Name] {
			best = i
		}
	}
	if best < 0 {
		return "", state, false
	}
	next[members[best].Name] -= sum
	return members[best].Name, next, true
}

// Among reports whether a name is one of a list. A pool has thousands of members, and an expression can list as many: each asked of each would
// take seconds.
func Among(list []string) func(name string) bool {
	if len(list) <= 8 {
		return func(name string) bool { return slices.Contains(list, name) }
	}
	set := make(map[string]bool, len(list))
	for _, name := range list {
		set[name] = true
	}
	return func(name string) bool { return set[name] }
}

// Equal reports whether two states are the same; a member that is missing has zero.
func (s State) Equal(o State) bool {
	nonzero := func(s State) State {
		s = maps.Clone(s)
		maps.DeleteFunc(s, func(_ string, v int64) bool { return v == 0 })
		return s
	}
	return maps.Equal(nonzero(s), nonzero(o))
}
