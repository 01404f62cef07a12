package standin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Calendar is one calendar: slots of equal length, each day of the week, from and to in its zone.
type Calendar struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Zone        string `json:"zone"`
	From        string `json:"from"`         // 09:00
	To          string `json:"to"`           // 17:00
	SlotMinutes int    `json:"slot_minutes"` // 1 to 1440
	Seats       int    `json:"seats,omitempty"`
	AllowEnd    bool   `json:"allow_end,omitempty"` // an appointment may name its own end
}

// Appointment is one appointment.
type Appointment struct {
	ID             string    `json:"id"`
	CalendarID     string    `json:"calendarId"`
	ContactID      string    `json:"contactId"`
	Title          string    `json:"title,omitempty"`
	Description    string    `json:"description,omitempty"`
	Address        string    `json:"address,omitempty"`
	Status         string    `json:"appointmentStatus"`
	AssignedUserID string    `json:"assignedUserId,omitempty"`
	Start          time.Time `json:"startTime"`
	End            time.Time `json:"endTime"`
	Text           string    `json:"text"` // startTime as it was sent
	Notify         bool      `json:"toNotify"`
	DateAdded      time.Time `json:"dateAdded"`
	DateUpdated    time.Time `json:"dateUpdated"`
}

var appointmentStatuses = []string{"new", "confirmed", "cancelled", "showed", "noshow", "invalid"}

// maxSlotSpan is the longest range of a question for free slots.
const maxSlotSpan = 31 * 24 * time.Hour

func (c Calendar) check() error {
	_, errZone := time.LoadLocation(c.Zone)
	_, errFrom := time.Parse("15:04", c.From)
	_, errTo := time.Parse("15:04", c.To)
	if c.Zone == "" || errZone != nil || errFrom != nil || errTo != nil || c.From >= c.To || c.SlotMinutes < 1 || c.SlotMinutes > 1440 || c.Seats < 0 {
		return fmt.Errorf("calendar %q needs zone, from before to as 09:00, and slot_minutes from 1 to 1440", c.Name)
	}
	return nil
}

func (c Calendar) zone() *time.Location {
	z, err := time.LoadLocation(c.Zone)
	if err != nil {
		return time.UTC // checked when it was set up
	}
	return z
}

// slots gives the starts of all slots, free or not, from start on and before end.
func (c Calendar) slots(start, end time.Time) []time.Time {
	zone := c.zone()
	from, errFrom := time.Parse("15:04", c.From)
	to, errTo := time.Parse("15:04", c.To)
	if errFrom != nil || errTo != nil {
		return nil // checked when it was set up
	}
	var out []time.Time
	for day := start.In(zone).AddDate(0, 0, -1); day.Before(end.AddDate(0, 0, 1)); day = day.AddDate(0, 0, 1) {
		y, m, d := day.Date()
		last := time.Date(y, m, d, to.Hour(), to.Minute(), 0, 0, zone)
		for at := time.Date(y, m, d, from.Hour(), from.Minute(), 0, 0, zone); !at.Add(c.length()).After(last); at = at.Add(c.length()) {
			if !at.Before(start) && at.Before(end) {
				out = append(out, at)
			}
		}
	}
	return out
}

func (c Calendar) length() time.Duration { return time.Duration(c.SlotMinutes) * time.Minute }

// taken counts the appointments at a slot, but for one.
func (l *location) taken(c Calendar, at time.Time, but string) int {
	return len(l.appointments.list(func(a Appointment) bool {
		return a.CalendarID == c.ID && a.ID != but && a.Status != "cancelled" && a.Status != "invalid" && a.Start.Before(at.Add(c.length())) && at.Before(a.End)
	}))
}

func (l *location) listCalendars(r request) answer {
	if bad := l.asked(r, "locationId", "groupId", "showDrafted"); bad != nil {
		return *bad
	}
	out := []any{}
	for _, c := range l.calendars.list(func(Calendar) bool { return true }) {
		out = append(out, map[string]any{"id": c.ID, "name": c.Name, "locationId": l.settings.Location, "slotDuration": c.SlotMinutes, "slotDurationUnit": "mins",
			"appoinmentPerSlot": max(1, c.Seats), "isActive": true}) //nolint:misspell // the vendor's spelling
	}
	return ok(http.StatusOK, map[string]any{"calendars": out})
}

func (l *location) freeSlots(r request) answer {
	if bad := l.asked(r, "startDate", "endDate", "timezone", "userId", "userIds"); bad != nil {
		return *bad
	}
	c, there := l.calendars.by[r.ids[0]]
	if !there {
		return missing("Calendar", r.ids[0])
	}
	first, errFirst := strconv.ParseInt(r.query.Get("startDate"), 10, 64)
	last, errLast := strconv.ParseInt(r.query.Get("endDate"), 10, 64)
	if errFirst != nil || errLast != nil {
		return unprocessable([]string{"startDate and endDate must be epoch milliseconds"})
	}
	start, end := time.UnixMilli(first), time.UnixMilli(last)
	if !start.Before(end) || end.Sub(start) > maxSlotSpan {
		return refuse(http.StatusBadRequest, "The date range must be within 31 days") // text undocumented
	}
	zone := c.zone()
	if name := r.query.Get("timezone"); name != "" {
		var err error
		if zone, err = time.LoadLocation(name); err != nil {
			return unprocessable([]string{"timezone must be a valid IANA time zone"})
		}
	}
	body := map[string]any{}
	days := map[string][]string{}
	for _, at := range c.slots(later(start, r.now), end) {
		if l.taken(c, at, "") >= max(1, c.Seats) {
			continue
		}
		text := at.In(zone).Format(time.RFC3339)
		if len(l.offered) >= maxRows {
			l.offered = map[string]bool{}
		}
		l.offered[c.ID+" "+text] = true
		day := text[:len(time.DateOnly)]
		days[day] = append(days[day], text)
	}
	for day, slots := range days {
		body[day] = map[string]any{"slots": slots}
	}
	return ok(http.StatusOK, body)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

var appointmentFields = []string{"title", "meetingLocationType", "meetingLocationId", "overrideLocationConfig", "appointmentStatus", "assignedUserId", "description",
	"address", "ignoreDateRange", "toNotify", "ignoreFreeSlotValidation", "rrule", "calendarId", "startTime", "endTime"}

func (l *location) book(r request) answer {
	b, bad := r.open(append([]string{"locationId", "contactId"}, appointmentFields...)...)
	if bad != nil {
		return *bad
	}
	a := Appointment{ID: newID(), Status: "confirmed", Notify: true, DateAdded: r.now}
	var located string
	b.need("locationId", &located)
	b.need("contactId", &a.ContactID)
	b.need("calendarId", &a.CalendarID)
	b.need("startTime", &a.Text)
	if bad := l.fillAppointment(r, b, &a); bad != nil {
		return *bad
	}
	if bad := l.wrongLocation(located); bad != nil {
		return *bad
	}
	if l.contacts[a.ContactID] == nil {
		return refuse(http.StatusBadRequest, "Contact not found") // text undocumented
	}
	if bad := l.appointments.full(); bad != nil {
		return *bad
	}
	l.appointments.put(l, a.ID, a, r.now)
	// The answer to a creation has neither dateAdded nor dateUpdated.
	return answer{status: http.StatusOK, applied: true, contact: a.ContactID, remote: a.ID, body: a.render(l)}
}

// fillAppointment writes what was sent onto a and checks its slot.
func (l *location) fillAppointment(r request, b *body, a *Appointment) *answer {
	var end string
	var anywhere bool
	for key, to := range map[string]*string{"title": &a.Title, "description": &a.Description, "address": &a.Address, "appointmentStatus": &a.Status,
		"assignedUserId": &a.AssignedUserID, "calendarId": &a.CalendarID, "startTime": &a.Text, "endTime": &end} {
		b.text(key, to)
	}
	b.oneOf("appointmentStatus", a.Status, appointmentStatuses...)
	b.read("toNotify", &a.Notify, "a boolean value")
	b.read("ignoreFreeSlotValidation", &anywhere, "a boolean value")
	b.moment("startTime", a.Text)
	b.moment("endTime", end)
	if b.has("rrule") {
		b.problem("stand-in: appointments that recur are not here")
	}
	if bad := b.refusal(); bad != nil {
		return bad
	}
	c, there := l.calendars.by[a.CalendarID]
	if !there {
		x := refuse(http.StatusBadRequest, "Calendar not found") // text undocumented
		return &x
	}
	a.DateUpdated = r.now
	if !b.has("startTime") && !b.has("endTime") {
		return nil
	}
	start, err := time.Parse(time.RFC3339, a.Text)
	if err != nil {
		return nil // checked above
	}
	a.Start, a.End = start, start.Add(c.length())
	if end != "" {
		if !c.AllowEnd {
			x := refuse(http.StatusBadRequest, "endTime is not allowed for this calendar") // text undocumented
			return &x
		}
		if a.End, err = time.Parse(time.RFC3339, end); err != nil || !a.End.After(a.Start) {
			x := unprocessable([]string{"endTime must be after startTime"})
			return &x
		}
	}
	if !anywhere && !l.bookable(c, *a, r.now) {
		x := refuse(http.StatusBadRequest, "The slot you have selected is no longer available.")
		x.contact = a.ContactID
		return &x
	}
	return nil
}

// bookable tells whether an appointment's start is a free slot, in the very text in which free-slots gave it: the same instant with
// another offset is refused as taken.
func (l *location) bookable(c Calendar, a Appointment, now time.Time) bool {
	known := l.offered[c.ID+" "+a.Text] || a.Text == a.Start.In(c.zone()).Format(time.RFC3339)
	isSlot := slices.ContainsFunc(c.slots(a.Start, a.Start.Add(time.Second)), a.Start.Equal)
	return known && isSlot && !a.Start.Before(now) && l.taken(c, a.Start, a.ID) < max(1, c.Seats)
}

func (a Appointment) render(l *location) map[string]any {
	return map[string]any{"id": a.ID, "calendarId": a.CalendarID, "locationId": l.settings.Location, "contactId": a.ContactID, "title": a.Title,
		"description": a.Description, "address": a.Address, "appointmentStatus": a.Status, "assignedUserId": a.AssignedUserID,
		"startTime": a.Text, "endTime": a.End.In(a.Start.Location()).Format(time.RFC3339)}
}

func (a Appointment) dated(l *location) map[string]any {
	out := a.render(l)
	out["dateAdded"], out["dateUpdated"] = vendorTime(a.DateAdded), vendorTime(a.DateUpdated)
	return out
}

func (l *location) getAppointment(r request) answer {
	a, there := l.appointments.by[r.ids[0]]
	if !there {
		return missing("Appointment", r.ids[0])
	}
	x := ok(http.StatusOK, map[string]any{"event": a.dated(l)})
	x.contact = a.ContactID
	return x
}

func (l *location) updateAppointment(r request) answer {
	b, bad := r.open(appointmentFields...)
	if bad != nil {
		return *bad
	}
	a, there := l.appointments.by[r.ids[0]]
	if !there {
		return missing("Appointment", r.ids[0])
	}
	if bad := l.fillAppointment(r, b, &a); bad != nil {
		return *bad
	}
	l.appointments.put(l, a.ID, a, r.now)
	return answer{status: http.StatusOK, applied: true, contact: a.ContactID, remote: a.ID, body: a.dated(l)}
}

func (l *location) listAppointments(r request) answer {
	id := r.ids[0]
	if l.contacts[id] == nil {
		return missingContact(id)
	}
	out := []any{}
	for _, a := range l.appointments.list(func(a Appointment) bool { return a.ContactID == id }) {
		out = append(out, a.dated(l))
	}
	x := ok(http.StatusOK, map[string]any{"events": out})
	x.contact = id
	return x
}
