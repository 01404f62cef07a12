package gohighlevel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

const (
	opCalendars    = "calendars"
	opSlots        = "free_slots"
	opAppointment  = "appointment"
	opAppointments = "contact_appointments"
	opBook         = "appointment_create"
	opReschedule   = "appointment_update"
)

// Requests about calendars have the version of the conversations API.

func calendars(location string) crm.Call {
	return crm.Call{Op: opCalendars, Method: http.MethodGet, Version: talkVersion, Path: "/calendars/?" + url.Values{"locationId": {location}}.Encode()}
}

// slots is the request that lists the free slots of a calendar around a time.
func slots(calendar string, at time.Time) crm.Call {
	q := url.Values{"startDate": {strconv.FormatInt(at.Add(-time.Hour).UnixMilli(), 10)}, "endDate": {strconv.FormatInt(at.Add(time.Hour).UnixMilli(), 10)}}
	return crm.Call{Op: opSlots, Method: http.MethodGet, Version: talkVersion, Path: "/calendars/" + url.PathEscape(calendar) + "/free-slots?" + q.Encode()}
}

func appointment(id string) crm.Call {
	return crm.Call{Op: opAppointment, Method: http.MethodGet, Version: talkVersion, Path: "/calendars/events/appointments/" + url.PathEscape(id)}
}

// calendarCall reports whether the command names a calendar whose id has to be asked for.
func (s state) calendarCall() bool {
	known := s.Names[crm.ObjectCalendar]
	return s.Kind == crm.KindBook && len(known.IDs[called(s.Command.Calendar)]) == 0 && !known.Fresh
}

// slotCalls are the look-ups that may come before an appointment is written.
func (s state) slotCalls() []crm.Call {
	var out []crm.Call
	if s.calendarCall() {
		out = append(out, calendars(s.Account))
	}
	switch s.Kind {
	case crm.KindReschedule:
		out = append(out, appointment(s.Remote), slots(foundLater, s.Command.StartsAt))
	case crm.KindBook:
		out = append(out, slots(foundLater, s.Command.StartsAt))
	}
	return out
}

// findSlot finds the free slot that begins when the command says. The vendor takes the start only in the words in which it lists it: the same moment in
// another zone counts as taken.
func (a *attempt) findSlot() bool {
	switch a.Kind {
	case crm.KindBook:
		names := a.Names
		if a.calendarCall() {
			var on bool
			if names, on = a.list(calendars(a.Account), "calendars", readCalendars); !on {
				return false
			}
		}
		var on bool
		if a.calendar, on = a.one("calendar", a.Command.Calendar, names[crm.ObjectCalendar].IDs[called(a.Command.Calendar)]); !on {
			return false
		}
	case crm.KindReschedule:
		o, answer, on := a.ask(appointment(a.Remote))
		if !on {
			return false
		}
		if o.Status != crm.Done {
			a.end(o)
			return false
		}
		is, ok := readAppointment(answer.Body)
		switch {
		case !ok:
			a.end(outcome{End: crm.End{Status: crm.Pending, Code: "unreadable_answer", Detail: "the appointment can't be read", Sick: true}})
			return false
		case is.at(a.Command.StartsAt):
			a.end(outcome{End: crm.End{Status: crm.Done, RemoteID: a.Remote, Detail: "it begins then already"}})
			return false
		}
		a.calendar = is.CalendarID
	default:
		return true
	}
	o, answer, on := a.ask(slots(a.calendar, a.Command.StartsAt))
	if !on {
		return false
	}
	if o.Status != crm.Done {
		a.end(o)
		return false
	}
	if a.slot = readSlot(answer.Body, a.Command.StartsAt); a.slot == "" {
		a.end(failed(crm.CodeSlotTaken, "the calendar has no free slot that begins at "+a.Command.StartsAt.UTC().Format(time.RFC3339)+"; nothing was booked"))
		return false
	}
	return true
}

// ref is what the description of an appointment says of where it comes from.
func (s state) ref() string { return "ref:" + s.Command.AppointmentID }

// appointment is the request that books, moves or cancels. Nobody is notified by the CRM: what is said to a person is a message of its own, under consent.
func (s state) appointment() planned {
	path := "/calendars/events/appointments/" + url.PathEscape(s.Remote)
	var c planned
	switch s.Kind {
	case crm.KindBook:
		c = change(opBook, http.MethodPost, "/calendars/events/appointments", struct {
			CalendarID  string `json:"calendarId"`
			LocationID  string `json:"locationId"`
			ContactID   string `json:"contactId"`
			StartTime   string `json:"startTime"`
			Title       string `json:"title,omitempty"`
			AssignedTo  string `json:"assignedUserId,omitempty"`
			Description string `json:"description"`
			Notify      bool   `json:"toNotify"`
		}{s.calendar, s.Account, s.Link.Contact, s.slot, strings.TrimSpace(s.Command.Title), s.owner, s.ref(), false})
	case crm.KindReschedule:
		c = change(opReschedule, http.MethodPut, path, struct {
			StartTime string `json:"startTime"`
			Notify    bool   `json:"toNotify"`
		}{s.slot, false})
	default:
		c = change(opReschedule, http.MethodPut, path, struct {
			Status string `json:"appointmentStatus"`
			Notify bool   `json:"toNotify"`
		}{"cancelled", false})
	}
	c.Version, c.Again = talkVersion, s.Kind != crm.KindBook
	return c
}

// booked looks for an appointment whose answer was lost, or whose slot is taken: by an earlier attempt at it, perhaps.
func (a *attempt) booked(lost outcome) (outcome, bool) {
	o, answer, on := a.ask(crm.Call{Op: opAppointments, Method: http.MethodGet, Version: version, Path: "/contacts/" + url.PathEscape(a.Link.Contact) + "/appointments"})
	if !on || o.Status != crm.Done {
		a.refused = false
		return lost, on
	}
	var list struct {
		Events []event `json:"events"`
	}
	if json.Unmarshal(answer.Body, &list) != nil {
		return lost, true
	}
	for _, e := range list.Events {
		if e.CalendarID == a.calendar && e.at(a.Command.StartsAt) && slices.Contains(strings.Fields(e.Description), a.ref()) && e.Status != "cancelled" && validID(e.ID) {
			return outcome{End: crm.End{Status: crm.Done, RemoteID: e.ID, Detail: "the answer was lost, and the appointment is in the CRM"}}, true
		}
	}
	return lost, true
}

// event is an appointment as the vendor shows it.
type event struct {
	ID          string `json:"id"`
	CalendarID  string `json:"calendarId"`
	Start       string `json:"startTime"`
	Status      string `json:"appointmentStatus"`
	Description string `json:"description"`
}

// at reports whether it begins at a moment.
func (e event) at(t time.Time) bool {
	start, err := time.Parse(time.RFC3339, e.Start)
	return err == nil && start.Equal(t)
}

func readAppointment(body []byte) (event, bool) {
	var raw struct {
		Event event `json:"event"`
	}
	ok := json.Unmarshal(body, &raw) == nil && validID(raw.Event.CalendarID)
	return raw.Event, ok
}

// readSlot finds the slot that begins at a moment among those that are free, by day; "" when there is none.
func readSlot(body []byte, at time.Time) string {
	var days map[string]json.RawMessage // and others, such as traceId
	if json.Unmarshal(body, &days) != nil {
		return ""
	}
	for _, raw := range days {
		var day struct {
			Slots []string `json:"slots"`
		}
		if json.Unmarshal(raw, &day) != nil {
			continue
		}
		for _, slot := range day.Slots {
			if start, err := time.Parse(time.RFC3339, slot); err == nil && start.Equal(at) {
				return slot
			}
		}
	}
	return ""
}

// readCalendars reads the calendars of a location by what they are called.
func readCalendars(body []byte) (map[string]map[string][]string, bool) {
	var raw struct {
		Calendars *[]struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"calendars"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Calendars == nil {
		return nil, false
	}
	out := map[string][]string{}
	for _, c := range *raw.Calendars {
		if !validID(c.ID) {
			continue
		}
		callIt(out, "", c.ID, c.ID, c.Name)
	}
	return map[string]map[string][]string{crm.ObjectCalendar: out}, true
}

func slotTaken(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "slot") && strings.Contains(m, "no longer available")
}

func appointmentGone(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "appointment") && strings.Contains(m, "not found")
}
