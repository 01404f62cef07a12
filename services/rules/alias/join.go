package alias

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

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

// Joined is what a merge joined, so that an unmerge can list it.
type Joined struct {
	Ended   []string `json:"ended,omitzero"`   // ids of instances that ended as merged
	Revoked []string `json:"revoked,omitzero"` // channels over which into may not be reached because from must not
	Sends   int      `json:"sends,omitzero"`   // of from that count against the caps of into
	Starts  []string `json:"starts,omitzero"`  // workflows whose starts of from count as those of into
	Claims  []string `json:"claims,omitzero"`  // pools from whose members into has a claim that was from's
	Freed   []string `json:"freed,omitzero"`   // pools from whose members from had a claim that ended, because into has its own
}

// With is what two joins of one merge joined: a subject may be a key in two forms.
func (j Joined) With(o Joined) Joined {
	return Joined{
		Ended: slices.Concat(j.Ended, o.Ended), Revoked: slices.Concat(j.Revoked, o.Revoked), Sends: j.Sends + o.Sends,
		Starts: slices.Concat(j.Starts, o.Starts), Claims: slices.Concat(j.Claims, o.Claims), Freed: slices.Concat(j.Freed, o.Freed),
	}
}

// Result is what into has after a merge. What from has stays as it is and rests until an unmerge, but for its instances in End and its claims.
type Result struct {
	Contact reach.Contact
	Keys    map[string]advance.Keys
	Claims  map[string]pool.Claim
	End     []string // ids of instances to end with advance.Merged, in this order
	Joined  Joined
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

// Remains lists, for people, what an unmerge does not take apart.
func (j Joined) Remains() []string {
	var out []string
	for _, id := range j.Ended {
		out = append(out, "instance "+id+" ended as merged and does not start again")
	}
	for _, c := range j.Revoked {
		out = append(out, "the revocation of "+c+" stays with both")
	}
	if j.Sends > 0 {
		out = append(out, fmt.Sprintf("messages that count against the caps of both: %d", j.Sends))
	}
	for _, w := range j.Starts {
		out = append(out, "starts of "+w+" count for both")
	}
	for _, p := range j.Claims {
		out = append(out, "the claim in the pool "+p+" stays with the second")
	}
	for _, p := range j.Freed {
		out = append(out, "the claim of the first in the pool "+p+" has ended")
	}
	return out
}
