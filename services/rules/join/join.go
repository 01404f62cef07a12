package join

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

// Instance is one that lives and whose key is one of the two subjects.
type Instance struct {
	ID         string
	Workflow   string
	Group      string // of its concurrency; empty: none
	Concurrent bool   // its workflow lets several live for a key
	Started    time.Time
	Sequence   int64 // of the event that started it
}

// Side is what a subject has by the merge.
type Side struct {
	Contact   reach.Contact
	Instances []Instance
	Keys      map[string]advance.Keys // by workflow
	Claims    map[string]pool.Claim   // by pool
}

// Result is what into has after a merge. What from has stays as it is and rests until an unmerge, but for its instances in End and its claims.
type Result struct {
	Contact reach.Contact
	Keys    map[string]advance.Keys
	Claims  map[string]pool.Claim
	End     []string // ids of instances to end with advance.Merged, in this order
	Joined  alias.Joined
}

// Join joins what two subjects have at the time of their merge.
func Join(from, into Side, at time.Time) Result {
	r := Result{Keys: maps.Clone(into.Keys), Claims: maps.Clone(into.Claims)}
	var sends int
	r.Contact, r.Joined.Revoked, sends = into.Contact.Join(from.Contact, at)
	r.Joined.Sends = sends
	r.End = ends(slices.Concat(from.Instances, into.Instances))
	r.Joined.Ended = r.End
	for _, workflow := range slices.Sorted(maps.Keys(from.Keys)) {
		if r.Keys == nil {
			r.Keys = map[string]advance.Keys{}
		}
		a, b := from.Keys[workflow], r.Keys[workflow]
		r.Keys[workflow] = advance.Keys{Starts: a.Starts + b.Starts, LastStarted: later(a.LastStarted, b.LastStarted), LastEnded: later(a.LastEnded, b.LastEnded)}
		r.Joined.Starts = append(r.Joined.Starts, workflow)
	}
	for _, name := range slices.Sorted(maps.Keys(from.Claims)) {
		switch {
		case !from.Claims[name].Living(at):
		case into.Claims[name].Living(at):
			r.Joined.Freed = append(r.Joined.Freed, name)
		default:
			if r.Claims == nil {
				r.Claims = map[string]pool.Claim{}
			}
			r.Claims[name] = from.Claims[name]
			r.Joined.Claims = append(r.Joined.Claims, name)
		}
	}
	return r
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// ends lists the instances that can't stay: of those of a workflow, and of a group, the eldest stays. Those of a workflow of which several may
// live stay all, unless a group says otherwise.
func ends(all []Instance) []string {
	slices.SortFunc(all, func(a, b Instance) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.ID, b.ID))
	})
	workflows, groups := map[string]bool{}, map[string]bool{}
	var out []string
	for _, in := range all {
		if workflows[in.Workflow] && !in.Concurrent || in.Group != "" && groups[in.Group] {
			out = append(out, in.ID)
			continue
		}
		workflows[in.Workflow] = true
		if in.Group != "" {
			groups[in.Group] = true
		}
	}
	return out
}
