package standin

import "time"

// merge is what a person does to two contacts that are one: the first is gone, and the second gets what it lacks and what belongs to the first.
func (l *location) merge(from, into string, now time.Time) bool {
	a, b := l.contacts[from], l.contacts[into]
	if a == nil || b == nil || from == into {
		return false
	}
	c := b.clone()
	l.remove(from, now)
	for k, v := range a.Fields {
		if c.Fields[k] == "" {
			c.Fields[k] = v
		}
	}
	c.Tags = lowerTags(append(c.Tags, a.Tags...))
	c.Notes = append(c.Notes, a.Notes...)
	c.DateUpdated = now
	l.put(c, now)
	hand(l, l.tasks, now, func(t *Task) (string, *string) { return t.ID, &t.ContactID }, from, into)
	hand(l, l.opportunities, now, func(o *Opportunity) (string, *string) { return o.ID, &o.ContactID }, from, into)
	hand(l, l.appointments, now, func(a *Appointment) (string, *string) { return a.ID, &a.ContactID }, from, into)
	hand(l, l.conversations, now, func(c *Conversation) (string, *string) { return c.ID, &c.ContactID }, from, into)
	hand(l, l.messages, now, func(m *Message) (string, *string) { return m.ID, &m.ContactID }, from, into)
	return true
}

// hand gives the objects of one contact to another.
func hand[T any](l *location, of *rows[T], now time.Time, contact func(*T) (id string, contact *string), from, into string) {
	for _, v := range of.list(func(v T) bool { _, c := contact(&v); return *c == from }) {
		id, c := contact(&v)
		*c = into
		of.put(l, id, v, now)
	}
}
