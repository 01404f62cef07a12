package standin

import (
	"net/http"
	"time"
)

// Automation is a workflow or a campaign. People make them; the API only lists them.
type Automation struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Status  string `json:"status"` // published or draft
	ReEntry bool   `json:"re_entry,omitempty"`
}

// Enrolment is one contact in one automation.
type Enrolment struct {
	ContactID  string    `json:"contactId"`
	Automation string    `json:"automationId"`
	Active     bool      `json:"active"`
	Runs       int       `json:"runs"` // how many times it was started for the contact
	Since      time.Time `json:"since"`
}

func (l *location) listWorkflows(r request) answer {
	return l.listAutomations(r, "workflows", l.workflows)
}

func (l *location) listCampaigns(r request) answer {
	return l.listAutomations(r, "campaigns", l.campaigns, "status")
}

func (l *location) listAutomations(r request, word string, of *rows[Automation], also ...string) answer {
	if bad := l.asked(r, append(also, "locationId")...); bad != nil {
		return *bad
	}
	out := []any{}
	for _, a := range of.list(func(a Automation) bool { return r.query.Get("status") == "" || r.query.Get("status") == a.Status }) {
		out = append(out, map[string]any{"id": a.ID, "name": a.Name, "status": a.Status, "locationId": l.settings.Location})
	}
	return ok(http.StatusOK, map[string]any{word: out})
}

func (l *location) enrolWorkflow(r request) answer {
	if bad := eventStart(r); bad != nil {
		return *bad
	}
	return l.enrol(r, "Workflow", l.workflows, http.StatusOK)
}

func (l *location) enrolCampaign(r request) answer {
	if b, bad := r.open(); bad != nil {
		return *bad
	} else if bad := b.refusal(); bad != nil {
		return *bad
	}
	return l.enrol(r, "Campaign", l.campaigns, http.StatusCreated)
}

func (l *location) leaveWorkflow(r request) answer {
	if bad := eventStart(r); bad != nil {
		return *bad
	}
	return l.leave(r, "Workflow", l.workflows)
}

func (l *location) leaveCampaign(r request) answer { return l.leave(r, "Campaign", l.campaigns) }

func eventStart(r request) *answer {
	if len(r.body) == 0 {
		a := refuse(http.StatusBadRequest, "Unexpected end of JSON input") // the vendor's file requires a body; {} will do
		return &a
	}
	b, bad := r.open("eventStartTime")
	if bad != nil {
		return bad
	}
	var at string
	b.text("eventStartTime", &at)
	b.moment("eventStartTime", at)
	return b.refusal()
}

// enrol starts an automation for a contact. An answer of 2xx says that it was accepted, and no more: a contact that is in it already
// is skipped without a word, and one that was in it before as well, unless the automation lets contacts in again.
func (l *location) enrol(r request, word string, of *rows[Automation], status int) answer {
	contact, id := r.ids[0], r.ids[1]
	if l.contacts[contact] == nil {
		return missingContact(contact)
	}
	a, there := of.by[id]
	if !there {
		return missing(word, id)
	}
	if a.Status != "published" {
		return refuse(http.StatusBadRequest, word+" is not published") // text undocumented
	}
	accepted := answer{status: status, contact: contact, remote: id, body: map[string]any{"succeded": true}} //nolint:misspell // the vendor's spelling
	e := l.enrolments.by[contact+"/"+id]
	if e.Active || e.Runs > 0 && !a.ReEntry {
		return accepted
	}
	if bad := l.enrolments.full(); bad != nil {
		return *bad
	}
	e = Enrolment{ContactID: contact, Automation: id, Active: true, Runs: e.Runs + 1, Since: r.now}
	l.enrolments.put(l, contact+"/"+id, e, r.now)
	accepted.applied = true
	return accepted
}

// leave takes a contact out of an automation. One that is not in it is no error.
func (l *location) leave(r request, word string, of *rows[Automation]) answer {
	contact, id := r.ids[0], r.ids[1]
	if l.contacts[contact] == nil {
		return missingContact(contact)
	}
	if _, there := of.by[id]; !there {
		return missing(word, id)
	}
	a := answer{status: http.StatusOK, contact: contact, remote: id, body: map[string]any{"succeded": true}} //nolint:misspell // the vendor's spelling
	if e := l.enrolments.by[contact+"/"+id]; e.Active {
		e.Active = false
		l.enrolments.put(l, contact+"/"+id, e, r.now)
		a.applied = true
	}
	return a
}
