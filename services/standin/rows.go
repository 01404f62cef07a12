package standin

import (
	"encoding/json"
	"fmt"
	"time"
)

// maxRows bounds the objects of one kind in a location; a create above it is refused with 507.
const maxRows = 100_000

// rows are the objects of one kind in a location, oldest first, with what the search index has yet to see.
type rows[T any] struct {
	kind    string
	ids     []string
	by      map[string]T
	history map[string][]rowVersion[T]
}

type rowVersion[T any] struct {
	at    time.Time
	value T
}

// table is rows of any type, as the journal and the controls see them.
type table interface {
	load(id string, raw json.RawMessage) error // null: removed
	each(func(id string, v any))
	size() int
}

func newRows[T any](kind string) *rows[T] {
	return &rows[T]{kind: kind, by: map[string]T{}, history: map[string][]rowVersion[T]{}}
}

func (t *rows[T]) size() int { return len(t.ids) }

func (t *rows[T]) each(f func(id string, v any)) {
	for _, id := range t.ids {
		f(id, t.by[id])
	}
}

func (t *rows[T]) load(id string, raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		t.drop(id)
		return nil
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("decode %s %s: %w", t.kind, id, err)
	}
	t.set(id, v, time.Time{})
	return nil
}

func (t *rows[T]) set(id string, v T, now time.Time) {
	if _, there := t.by[id]; !there {
		t.ids = append(t.ids, id)
	}
	t.by[id] = v
	h := append(t.history[id], rowVersion[T]{at: now, value: v})
	if len(h) > maxVersions {
		h = h[len(h)-maxVersions:]
	}
	t.history[id] = h
}

func (t *rows[T]) drop(id string) {
	if _, there := t.by[id]; !there {
		return
	}
	delete(t.by, id)
	delete(t.history, id)
	for i, have := range t.ids {
		if have == id {
			t.ids = append(append([]string{}, t.ids[:i]...), t.ids[i+1:]...)
			return
		}
	}
}

// put stores an object, new or changed, and notes it for the journal.
func (t *rows[T]) put(l *location, id string, v T, now time.Time) {
	t.set(id, v, now)
	l.journal(t.kind, id, v)
}

// remove deletes an object. Search forgets it at once.
func (t *rows[T]) remove(l *location, id string) {
	t.drop(id)
	l.journal(t.kind, id, nil)
}

// list gives the objects that keep holds for, as they are now, oldest first.
func (t *rows[T]) list(keep func(T) bool) []T {
	out := []T{}
	for _, id := range t.ids {
		if v := t.by[id]; keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// indexed gives the objects as the search index shows them at now: of each the newest version that is at least lag old.
func (t *rows[T]) indexed(now time.Time, lag time.Duration, keep func(T) bool) []T {
	out := []T{}
	for _, id := range t.ids {
		h := t.history[id]
		for i := len(h) - 1; i >= 0; i-- {
			if now.Sub(h[i].at) >= lag {
				t.history[id] = h[i:]
				if keep(h[i].value) {
					out = append(out, h[i].value)
				}
				break
			}
		}
	}
	return out
}

func (t *rows[T]) full() *answer {
	if t.size() < maxRows {
		return nil
	}
	a := refuse(507, "stand-in: too many objects of kind "+t.kind)
	return &a
}

// objects are what a location holds besides contacts.
type objects struct {
	// What an operator sets up, and a reset keeps.
	pipelines    *rows[Pipeline]
	users        *rows[User]
	customFields *rows[CustomField]
	calendars    *rows[Calendar]
	workflows    *rows[Automation]
	campaigns    *rows[Automation]

	opportunities *rows[Opportunity]
	tasks         *rows[Task]
	conversations *rows[Conversation]
	messages      *rows[Message]
	appointments  *rows[Appointment]
	enrolments    *rows[Enrolment]
}

func newObjects() objects {
	return objects{
		pipelines: newRows[Pipeline]("pipeline"), users: newRows[User]("user"), customFields: newRows[CustomField]("customField"),
		calendars: newRows[Calendar]("calendar"), workflows: newRows[Automation]("workflow"), campaigns: newRows[Automation]("campaign"),
		opportunities: newRows[Opportunity]("opportunity"), tasks: newRows[Task]("task"), conversations: newRows[Conversation]("conversation"),
		messages: newRows[Message]("message"), appointments: newRows[Appointment]("appointment"), enrolments: newRows[Enrolment]("enrolment"),
	}
}

// tables gives all kinds by their names in the journal and in GET /_standin/objects.
func (o *objects) tables() map[string]table {
	return map[string]table{
		"pipeline": o.pipelines, "user": o.users, "customField": o.customFields, "calendar": o.calendars, "workflow": o.workflows, "campaign": o.campaigns,
		"opportunity": o.opportunities, "task": o.tasks, "conversation": o.conversations, "message": o.messages, "appointment": o.appointments,
		"enrolment": o.enrolments,
	}
}

// emptied gives the objects after a reset.
func (o *objects) emptied() objects {
	n := newObjects()
	n.pipelines, n.users, n.customFields = o.pipelines, o.users, o.customFields
	n.calendars, n.workflows, n.campaigns = o.calendars, o.workflows, o.campaigns
	return n
}

// journal notes a change of an object, nil for its end; the transport writes what was noted after the request.
func (l *location) journal(kind, id string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		raw = nil // not one of our types: cannot happen, and the journal's reader would refuse it
	}
	l.changes = append(l.changes, record{Op: "object", Kind: kind, ID: id, At: l.settings.Location, Object: raw})
}
