package standin

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// cursorLife is how long the vendor remembers the cursor of an export; a slow reader starts again.
const cursorLife = 2 * time.Minute

// cursor is where an export goes on. Cursors are of this run only, as the vendor forgets them too.
type cursor struct {
	until time.Time
	query string // of the first page, without cursor and limit: another query needs its own
	from  int
}

// exportMessages lists messages of a location page by page. E-mail is only in an export that asks for it by channel.
func (l *location) exportMessages(r request) answer {
	if bad := l.asked(r, "locationId", "limit", "cursor", "sortBy", "sortOrder", "conversationId", "contactId", "channel", "startDate", "endDate"); bad != nil {
		return *bad
	}
	limit, bad := r.number("limit", 100, 10, 500)
	if bad != nil {
		return *bad
	}
	start, end, bad := r.span()
	if bad != nil {
		return *bad
	}
	same := r.query
	key := strings.Join([]string{same.Get("conversationId"), same.Get("contactId"), same.Get("channel"), same.Get("startDate"), same.Get("endDate"), same.Get("sortOrder")}, "\x00")
	from := 0
	for id, c := range l.cursors {
		if !r.now.Before(c.until) {
			delete(l.cursors, id)
		}
	}
	if id := r.query.Get("cursor"); id != "" {
		c, alive := l.cursors[id]
		if !alive || c.query != key {
			return refuse(http.StatusBadRequest, "The cursor is invalid or has expired") // text undocumented
		}
		from = c.from
	}
	channel := r.query.Get("channel")
	all := l.messages.list(func(m Message) bool {
		if channel == "" && m.Type == "Email" || channel != "" && m.Type != channel {
			return false
		}
		return (same.Get("conversationId") == "" || same.Get("conversationId") == m.ConversationID) && (same.Get("contactId") == "" || same.Get("contactId") == m.ContactID) &&
			!m.DateAdded.Before(start) && (end.IsZero() || !m.DateAdded.After(end))
	})
	if r.query.Get("sortOrder") != "asc" {
		slices.Reverse(all)
	}
	page := []any{}
	for _, m := range all[min(from, len(all)):min(from+limit, len(all))] {
		page = append(page, m.render(l, r.now))
	}
	body := map[string]any{"messages": page, "total": len(all), "nextCursor": nil}
	if from+limit < len(all) {
		if len(l.cursors) >= maxFaults {
			return refuse(http.StatusInsufficientStorage, "stand-in: too many exports at the same time")
		}
		id := newID()
		l.cursors[id] = cursor{until: r.now.Add(cursorLife), query: key, from: from + limit}
		body["nextCursor"] = id
	}
	return ok(http.StatusOK, body)
}

// span reads startDate and endDate, which may be absent.
func (r request) span() (start, end time.Time, bad *answer) {
	for key, to := range map[string]*time.Time{"startDate": &start, "endDate": &end} {
		v := r.query.Get(key)
		if v == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			a := unprocessable([]string{key + " must be a valid ISO 8601 date string"})
			return start, end, &a
		}
		*to = t
	}
	return start, end, nil
}
