package alias

import (
	"maps"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// The events that merge two subjects and take a merge back. Both have the fields from and into.
const (
	TypeMerged   = "subject.merged"
	TypeUnmerged = "subject.unmerged"
)

// IsMerge reports whether events of a type merge two subjects, or take a merge back.
func IsMerge(typ string) bool { return typ == TypeMerged || typ == TypeUnmerged }

// MaxChain is how many edges lead from a subject to the one that it is at most: what a look-up costs.
const MaxChain = 32

// Reasons of a refusal.
const (
	Malformed   = "malformed"         // not a subject such as lead/42
	OtherKind   = "other_kind"        // a lead is no opportunity
	Same        = "same"              // a subject is itself already, or the two are one already
	Cycle       = "cycle"             // the second one is the first one already, so neither would be one of its own
	MergedOnce  = "merged_before"     // the first one is another one already; unmerge it first
	TooLong     = "too_long"          // more than MaxChain edges one behind the other
	NotMerged   = "not_merged"        // an unmerge of what is no merge
	OtherTarget = "merged_into_other" // an unmerge that names another subject than the merge
)

// Edge says which subject another one is.
type Edge struct {
	Into     string
	Sequence int64 // of the subject.merged
	Joined   Joined
}

// Names is the subject that a key of a workflow or a pool names, which an expression gave of an event about a subject and a lead: the event's own,
// the lead, or the one that the key spells out. Empty: the key is any other text. That opportunity 7 has the id of lead 7 does not make it another
// one.
func Names(key, subject, lead string) string {
	if word, id, ok := Kind(subject); ok && id == key {
		return word + "/" + id
	}
	if key != "" && key == lead {
		return "lead/" + lead
	}
	if _, _, ok := Kind(key); ok {
		return key
	}
	return ""
}

// Form is a key that names one subject, as it is where that is another one by now: an id stays an id.
func Form(key, named, now string) string {
	_, id, ok := Kind(now)
	switch {
	case named == now || !ok:
		return key
	case key == named:
		return now
	}
	return id
}

// Keys are the keys that can name a subject: its id, and the subject itself.
func Keys(subject string) []string {
	_, id, _ := Kind(subject)
	return []string{id, subject}
}

// Aliases are the edges of a tenant, by the subject that is no longer one of its own. Methods do not modify it.
type Aliases map[string]Edge

// Resolve is the subject that a subject is now: itself, if it was not merged.
func (a Aliases) Resolve(subject string) string {
	at, _ := a.walk(subject)
	return at
}

// walk follows the edges to their end and counts them. Merge keeps them shorter than its bound; it also ends on edges that it did not make.
func (a Aliases) walk(subject string) (end string, edges int) {
	for ; edges <= MaxChain; edges++ {
		e, merged := a[subject]
		if !merged {
			break
		}
		subject = e.Into
	}
	return subject, edges
}

// height is how many edges lead one behind the other to a subject.
func (a Aliases) height(subject string) int {
	most := 0
	for from := range a {
		at := from
		for n := 0; n <= MaxChain; n++ {
			if at == subject {
				most = max(most, n)
				break
			}
			e, merged := a[at]
			if !merged {
				break
			}
			at = e.Into
		}
	}
	return most
}

// IsSubject reports whether an event could be about s: a merge that names any other text is refused as Malformed, before anything looks for it.
func IsSubject(s string) bool {
	e := event.Event{TenantID: "any", ID: "1", Source: "/alias", Type: TypeMerged, Subject: s}
	return e.CheckAttributes() == nil
}

// Kind is the first word of a subject such as lead/42, and the id that follows it; ok is false if it is none.
func Kind(subject string) (word, id string, ok bool) {
	word, id, ok = strings.Cut(subject, "/")
	return word, id, ok && word != "" && id != ""
}

// Merge adds that from is into from here on. Either may have others that are it already. A reason says why it is refused; then the aliases
// are the same.
func (a Aliases) Merge(from, into string, sequence int64) (next Aliases, reason string) {
	fromKind, _, ok1 := Kind(from)
	intoKind, _, ok2 := Kind(into)
	end, length := a.walk(into)
	prior, merged := a[from]
	switch {
	case !ok1 || !ok2:
		return a, Malformed
	case fromKind != intoKind:
		return a, OtherKind
	case from == into, merged && a.Resolve(prior.Into) == end:
		return a, Same
	case end == from:
		return a, Cycle
	case merged:
		return a, MergedOnce
	case a.height(from)+1+length > MaxChain:
		return a, TooLong
	}
	next = maps.Clone(a)
	if next == nil {
		next = Aliases{}
	}
	next[from] = Edge{Into: into, Sequence: sequence}
	return next, ""
}

// Unmerge takes the edge of a merge away, and returns it. Whatever else was merged into from stays merged into it.
func (a Aliases) Unmerge(from, into string) (next Aliases, was Edge, reason string) {
	e, merged := a[from]
	switch {
	case !merged:
		return a, Edge{}, NotMerged
	case e.Into != into:
		return a, Edge{}, OtherTarget
	}
	next = maps.Clone(a)
	delete(next, from)
	return next, e, ""
}

// Lead resolves the id of a lead, such as data.lead_id or the contact of an instance.
func (a Aliases) Lead(id string) string {
	if id == "" {
		return ""
	}
	return strings.TrimPrefix(a.Resolve("lead/"+id), "lead/")
}

// Key resolves a key of a workflow or a pool that an expression gave of an event. A key is a subject, or the id of one: of the event's own, or
// of the lead that it is about. Any other text is left as it is: that opportunity 7 has the id of lead 7 does not make it another one.
func (a Aliases) Key(key, subject, lead string) string {
	named := Names(key, subject, lead)
	return Form(key, named, a.Resolve(named))
}
