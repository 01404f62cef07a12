package workflowstore

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/workflows"
)

// entry is an instance in memory.
type entry struct {
	row     *workflows.Row // as memory sees it; nil: there is none
	stored  *workflows.Row // as Postgres has it; nil: it has none
	known   bool           // it was read: stored is right
	changed bool
	ended   time.Time // when memory saw it end
}

// by is what instances are found by.
type by byte

const (
	byWait by = iota
	byKey
	byGroup
	bySubject
	byContact
	byAnyKey
)

// look is one thing to find instances by. Values have the form of text.
type look struct {
	by   by
	a, b string
	kind int16 // of a wait
}

// kindOf is a wait's column kind. It sorts as advance.Wants does.
func kindOf(w advance.Wanted) int16 {
	switch {
	case w.Command:
		return 2
	case w.Correlated:
		return 1
	}
	return 0
}

func lookFor(w advance.Wanted) look { return look{byWait, w.Type, text(w.Value), kindOf(w)} }

// looks lists what an instance is found by.
func looks(r *workflows.Row) []look {
	if r == nil {
		return nil
	}
	out := []look{{by: bySubject, a: text(r.Subject)}}
	if r.Contact != "" {
		out = append(out, look{by: byContact, a: text(r.Contact)})
	}
	if r.Status.Ended() {
		return out
	}
	out = append(out, look{by: byKey, a: r.Workflow, b: text(r.Key)}, look{by: byAnyKey, a: text(r.Key)})
	if r.Group != "" {
		out = append(out, look{by: byGroup, a: r.Group, b: text(r.Key)})
	}
	for _, w := range r.Waits {
		out = append(out, lookFor(w))
	}
	return out
}

// hold replaces the entry of an instance.
func (t *Tenant) hold(id string, e *entry) {
	t.move(t.instances[id], -1)
	t.move(e, 1)
	if before := t.instances[id]; before != nil {
		for _, l := range looks(before.row) {
			delete(t.found[l], id)
		}
	}
	if delete(t.unread, id); e == nil {
		delete(t.instances, id)
		return
	}
	if t.instances[id] = e; !e.known {
		t.unread[id] = true
	}
	for _, l := range looks(e.row) {
		if t.found[l] == nil {
			t.found[l] = map[string]bool{}
		}
		t.found[l][id] = true
	}
}

// fill notes what Postgres has of an instance; nil: nothing. What was put stays.
func (t *Tenant) fill(id string, r *workflows.Row) {
	before := t.instances[id]
	switch {
	case before == nil:
		t.hold(id, &entry{row: r, stored: r, known: true})
	case !before.known:
		t.hold(id, &entry{row: before.row, stored: r, known: true, changed: before.changed, ended: before.ended})
	}
}

// PutInstance implements workflows.Store.
func (t *Tenant) PutInstance(r workflows.Row) {
	r.State, r.Personal, r.Waits = bytes.Clone(r.State), bytes.Clone(r.Personal), slices.Clone(r.Waits)
	before := t.instances[r.ID]
	now := &entry{row: &r, changed: true}
	if before != nil {
		now.stored, now.known, now.ended = before.stored, before.known, before.ended
	}
	switch {
	case !r.Status.Ended():
		now.ended = time.Time{}
	case now.ended.IsZero():
		if now.ended = t.now(); now.ended.IsZero() {
			now.ended = r.Started
		}
	}
	t.hold(r.ID, now)
	t.undo = append(t.undo, func() {
		now := t.instances[r.ID]
		switch {
		case before != nil:
			t.hold(r.ID, &entry{row: before.row, stored: now.stored, known: now.known, changed: before.changed, ended: before.ended})
		case now.known: // read since
			t.hold(r.ID, &entry{row: now.stored, stored: now.stored, known: true})
		default:
			t.hold(r.ID, nil)
		}
	})
}

// Instance implements workflows.Store.
func (t *Tenant) Instance(ctx context.Context, id string) (*workflows.Row, error) {
	if t.instances[id] == nil {
		if err := t.Preload(ctx, workflows.Reads{Instances: []string{id}}); err != nil {
			return nil, err
		}
	}
	r := t.instances[id].row
	if r == nil {
		return nil, nil
	}
	c := *r
	return &c, nil
}

// Waiting implements workflows.Store.
func (t *Tenant) Waiting(ctx context.Context, on []advance.Wanted) ([]workflows.Ref, error) {
	of := make([]look, len(on))
	for i, w := range on {
		of[i] = lookFor(w)
	}
	return t.find(ctx, of...)
}

// Living implements workflows.Store.
func (t *Tenant) Living(ctx context.Context, workflow, key string) ([]workflows.Ref, error) {
	return t.find(ctx, look{by: byKey, a: workflow, b: text(key)})
}

// Grouped implements workflows.Store.
func (t *Tenant) Grouped(ctx context.Context, group, key string) ([]workflows.Ref, error) {
	return t.find(ctx, look{by: byGroup, a: group, b: text(key)})
}

// LivingOf implements workflows.Store.
func (t *Tenant) LivingOf(ctx context.Context, key string) ([]workflows.Ref, error) {
	return t.find(ctx, look{by: byAnyKey, a: text(key)})
}

// OfSubject implements workflows.Store.
func (t *Tenant) OfSubject(ctx context.Context, subject, lead string) ([]workflows.Ref, error) {
	of := []look{{by: bySubject, a: text(subject)}}
	if lead != "" {
		of = append(of, look{by: byContact, a: text(lead)})
	}
	return t.find(ctx, of...)
}

// find lists the instances that one of the looks finds, each once.
func (t *Tenant) find(ctx context.Context, of ...look) ([]workflows.Ref, error) {
	var missing []look
	for _, l := range of {
		if !t.looked[l] {
			missing = append(missing, l)
		}
	}
	switch all, err := t.batch.readLooks(ctx, map[*Tenant][]look{t: missing}); {
	case err != nil:
		return nil, err
	case !all:
		return nil, workflows.ErrDear
	}
	seen := map[string]bool{}
	var out []workflows.Ref
	for _, l := range of {
		for id := range t.found[l] {
			if !seen[id] {
				seen[id] = true
				out = append(out, refOf(t.instances[id].row))
			}
		}
	}
	slices.SortFunc(out, compareRefs)
	return out, nil
}

func refOf(r *workflows.Row) workflows.Ref {
	return workflows.Ref{ID: r.ID, Workflow: r.Workflow, Group: r.Group, Started: r.Started}
}

func compareRefs(a, b workflows.Ref) int {
	return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
}

// Paused implements workflows.Store.
func (t *Tenant) Paused(ctx context.Context, workflow string, most int) ([]workflows.Ref, error) {
	var out []workflows.Ref
	changed := 0 // instances that Postgres may list and memory sees otherwise
	for _, e := range t.instances {
		if e.changed {
			changed++
		}
		if r := e.row; e.changed && r != nil && r.Paused && r.Workflow == workflow && !r.Status.Ended() {
			out = append(out, refOf(r))
		}
	}
	stored, err := t.batch.readPaused(ctx, t.name, workflow, most+changed)
	if err != nil {
		return nil, err
	}
	for _, r := range stored {
		if e := t.instances[r.ID]; e == nil || !e.changed {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, compareRefs)
	return out[:min(most, len(out))], nil
}

// Count implements workflows.Store.
func (t *Tenant) Count(ctx context.Context) (int64, error) {
	live, err := t.live(ctx)
	var n int64
	for _, of := range live {
		n += of
	}
	return n, err
}

// Versions implements workflows.Store.
func (t *Tenant) Versions(ctx context.Context) ([]workflows.Version, error) {
	if t.listed != nil && len(t.unread) == 0 {
		return t.listed, nil
	}
	live, err := t.live(ctx)
	if err != nil {
		return nil, err
	}
	out := []workflows.Version{}
	for v, n := range live {
		if n > 0 {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, compareVersions)
	t.listed = out
	return out, nil
}

// live counts the instances that live, by the text that they run by.
func (t *Tenant) live(ctx context.Context) (map[workflows.Version]int64, error) {
	of := []*Tenant{t}
	if t.versions == nil { // the others of the batch will ask, too
		of = t.batch.sorted()
	}
	if err := t.batch.know(ctx, of); err != nil {
		return nil, err
	}
	out := maps.Clone(t.versions)
	for v, n := range t.moved {
		out[v] += n
	}
	return out, nil
}

// move counts what an entry changes in the instances that live, times by.
func (t *Tenant) move(e *entry, by int64) {
	if e == nil || !e.changed {
		return
	}
	for _, side := range []struct {
		r  *workflows.Row
		by int64
	}{{e.stored, -by}, {e.row, by}} {
		if side.r == nil || side.r.Status.Ended() {
			continue
		}
		v := versionOf(side.r)
		was := t.versions[v] + t.moved[v]
		if t.moved[v] += side.by; was <= 0 || was+side.by <= 0 {
			t.listed = nil
		}
	}
}

func versionOf(r *workflows.Row) workflows.Version {
	return workflows.Version{Workflow: r.Workflow, Bundle: r.Bundle}
}

// compareWanted sorts as advance.Wants does.
func compareWanted(a, b advance.Wanted) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value), cmp.Compare(kindOf(a), kindOf(b)))
}
