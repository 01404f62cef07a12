package fold

import (
	"maps"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
)

// Merge is a subject.merged, or the subject.unmerged that takes one back, on its way into the tables of a tenant.
type Merge struct {
	From, Into string // subjects, such as lead/7 and lead/9
	Back       bool   // it takes a merge back

	at event.Recorded
}

// MergeOf reads a merge. ok is false for an event of another type.
func MergeOf(r event.Recorded, data map[string]any) (m *Merge, ok bool) {
	if !alias.IsMerge(r.Type) {
		return nil, false
	}
	m = &Merge{Back: r.Type == alias.TypeUnmerged, at: r}
	m.From, _ = data["from"].(string) // the schema has both as required
	m.Into, _ = data["into"].(string)
	return m, true
}

// Apply adds the merge to the edges of a tenant, or takes it out of them; edges are not changed. A reason says why it is refused, as rules refuse it,
// and then it changes nothing. Of a tenant's edges those suffice that lead away from both subjects, and those that lead to From.
func (m *Merge) Apply(edges alias.Aliases) (next alias.Aliases, reason string) {
	if !alias.IsSubject(m.From) || !alias.IsSubject(m.Into) {
		return edges, alias.Malformed
	}
	if m.Back {
		next, _, reason = edges.Unmerge(m.From, m.Into)
		return next, reason
	}
	return edges.Merge(m.From, m.Into, m.at.Sequence)
}

// Mark is the way of a merge that was not refused into the row of From: the row stays as it is and says which subject it is now, or, after
// an unmerge, that it is one of its own. nil when the table has no rows of such subjects. A row that is not there is not made.
func (s *Spec) Mark(m *Merge) *Touch {
	kind, id, ok := alias.Kind(m.From)
	if !ok || s.Subject != kind {
		return nil
	}
	return &Touch{Spec: s, Key: map[string]any{s.Key[0]: id}, at: m.at, merge: m}
}

func (t *Touch) mark(row Row) Row {
	if row == nil {
		return nil
	}
	next := maps.Clone(row)
	next[columnMergedInto] = nil
	if _, id, ok := alias.Kind(t.merge.Into); ok && !t.merge.Back {
		next[columnMergedInto] = id
	}
	next[columnSequence] = t.at.Sequence
	return next
}

// Subject is the subject whose row an event is on its way to; empty where rows are of no subject.
func (t *Touch) Subject() string {
	if t.Spec.Subject == "" || t.Left != "" {
		return ""
	}
	id, _ := t.Key[t.Spec.Key[0]].(string)
	return t.Spec.Subject + "/" + id
}

// Redirect sends an event to the row of the subject that its own is by now, which is of the same kind.
func (t *Touch) Redirect(subject string) {
	if kind, id, ok := alias.Kind(subject); ok && kind == t.Spec.Subject {
		t.Key[t.Spec.Key[0]] = id
	}
}
