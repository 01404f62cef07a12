package alias

import (
	"fmt"
	"slices"
)

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
