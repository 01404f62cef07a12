package standin

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Task is one task of a contact.
type Task struct {
	ID         string    `json:"id"`
	ContactID  string    `json:"contactId"`
	Title      string    `json:"title"`
	Body       string    `json:"body,omitempty"`
	AssignedTo string    `json:"assignedTo,omitempty"`
	DueDate    string    `json:"dueDate"`
	Completed  bool      `json:"completed"`
	DateAdded  time.Time `json:"dateAdded"`
}

// render gives the vendor's view of a task, which does not say when it was made.
func (t Task) render() map[string]any {
	return map[string]any{"id": t.ID, "contactId": t.ContactID, "title": t.Title, "body": t.Body, "assignedTo": t.AssignedTo, "dueDate": t.DueDate, "completed": t.Completed}
}

func renderTasks(list []Task) []map[string]any {
	out := []map[string]any{}
	for _, t := range list {
		out = append(out, t.render())
	}
	return out
}

var taskFields = []string{"title", "body", "dueDate", "completed", "assignedTo"}

func (b *body) task(t *Task) {
	b.text("title", &t.Title)
	b.text("body", &t.Body)
	b.text("dueDate", &t.DueDate)
	b.moment("dueDate", t.DueDate)
	b.read("completed", &t.Completed, "a boolean value")
	b.text("assignedTo", &t.AssignedTo)
	if t.Title == "" {
		b.problem("title should not be empty")
	}
	if t.DueDate == "" {
		b.problem("dueDate should not be empty")
	}
}

// createTask is not idempotent: the same task twice is two tasks.
func (l *location) createTask(r request) answer {
	b, bad := r.open(taskFields...)
	if bad != nil {
		return *bad
	}
	t := Task{ID: newID(), ContactID: r.ids[0], DateAdded: r.now}
	b.task(&t)
	if !b.has("completed") {
		b.problem("completed should not be empty")
	}
	if bad := b.refusal(); bad != nil {
		return *bad
	}
	if l.contacts[t.ContactID] == nil {
		return missingContact(t.ContactID)
	}
	if bad := l.tasks.full(); bad != nil {
		return *bad
	}
	l.tasks.put(l, t.ID, t, r.now)
	return answer{status: http.StatusCreated, applied: true, contact: t.ContactID, remote: t.ID, body: map[string]any{"task": t.render()}}
}

// task finds the task that a path names; it must be one of the path's contact.
func (l *location) task(r request) (Task, *answer) {
	t, there := l.tasks.by[r.ids[1]]
	if !there || t.ContactID != r.ids[0] {
		a := missing("Task", r.ids[1])
		return Task{}, &a
	}
	return t, nil
}

func (l *location) getTask(r request) answer {
	t, bad := l.task(r)
	if bad != nil {
		return *bad
	}
	a := ok(http.StatusOK, map[string]any{"task": t.render()})
	a.contact = t.ContactID
	return a
}

func (l *location) listTasks(r request) answer {
	id := r.ids[0]
	if l.contacts[id] == nil {
		return missingContact(id)
	}
	a := ok(http.StatusOK, map[string]any{"tasks": renderTasks(l.tasks.list(func(t Task) bool { return t.ContactID == id }))})
	a.contact = id
	return a
}

func (l *location) updateTask(r request) answer {
	b, bad := r.open(taskFields...)
	if bad != nil {
		return *bad
	}
	t, bad := l.task(r)
	if bad != nil {
		return *bad
	}
	b.task(&t)
	return l.keepTask(r, b, t)
}

func (l *location) completeTask(r request) answer {
	b, bad := r.open("completed")
	if bad != nil {
		return *bad
	}
	t, bad := l.task(r)
	if bad != nil {
		return *bad
	}
	b.read("completed", &t.Completed, "a boolean value")
	if !b.has("completed") {
		b.problem("completed should not be empty")
	}
	return l.keepTask(r, b, t)
}

func (l *location) keepTask(r request, b *body, t Task) answer {
	if bad := b.refusal(); bad != nil {
		return *bad
	}
	l.tasks.put(l, t.ID, t, r.now)
	return answer{status: http.StatusOK, applied: true, contact: t.ContactID, remote: t.ID, body: map[string]any{"task": t.render()}}
}

func (l *location) searchTasks(r request) answer {
	if bad := l.wrongLocation(r.ids[0]); bad != nil {
		return *bad
	}
	b, bad := r.open("contactId", "completed", "assignedTo", "query", "limit", "skip", "businessId")
	if bad != nil {
		return *bad
	}
	var contacts, members []string
	var query string
	var completed bool
	limit, skip := 25, 0
	b.read("contactId", &contacts, "an array")
	b.read("assignedTo", &members, "an array")
	b.read("completed", &completed, "a boolean value")
	b.read("limit", &limit, "a number")
	b.read("skip", &skip, "a number")
	b.text("query", &query)
	if limit < 1 || limit > 1000 || skip < 0 {
		b.problem("limit or skip is out of range")
	}
	if bad := b.refusal(); bad != nil {
		return *bad
	}
	hits := l.tasks.indexed(r.now, r.lag, func(t Task) bool {
		return (len(contacts) == 0 || slices.Contains(contacts, t.ContactID)) && (len(members) == 0 || slices.Contains(members, t.AssignedTo)) &&
			(!b.has("completed") || t.Completed == completed) && strings.Contains(strings.ToLower(t.Title), strings.ToLower(query))
	})
	from := min(skip, len(hits))
	return ok(http.StatusOK, map[string]any{"tasks": renderTasks(hits[from:min(from+limit, len(hits))])})
}
