package gohighlevel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

// version is the value of the Version header for the contacts API.
const version = "2021-07-28"

// The operations.
const (
	opLookup    = "contact_lookup"
	opUpsert    = "contact_upsert"
	opUpdate    = "contact_update"
	opAssign    = "contact_assign"
	opTagAdd    = "tag_add"
	opTagRemove = "tag_remove"
	opNote      = "note_add"
	opTask      = "task_add"
	opFinish    = "task_complete"
	opUsers     = "users"
	opPipelines = "pipelines"
	opOpen      = "opportunity_create"
	opChange    = "opportunity_update"
	opStatus    = "opportunity_status"
)

// state is what the calls of an attempt follow from.
type state struct {
	crm.Work
	omit            []string // fields that are left out of an update
	owner           string   // id of the member whom the command names
	pipeline, stage string   // their ids
	automation      string   // id of the automation that the command names
	field           string   // id of the custom field that it names
	calendar, slot  string   // id of the calendar, and the start of its free slot in the vendor's own words
}

// planned is a call that changes something.
type planned struct {
	crm.Call
	lacks string // what the command asks for and this call can't carry; for people
}

// foundLater stands for an id that is not looked up yet.
const foundLater = "_found_"

// ahead lists what an attempt may send, as far as it can be told at its start, and the keys that it claims.
func (s state) ahead() (might []crm.Call, claims map[string]string) {
	if s.ownerCall() {
		might = append(might, users(s.Account))
	}
	if s.stageCall() {
		might = append(might, pipelines(s.Account))
	}
	might = append(might, s.slotCalls()...)
	if s.fieldCall() {
		might = append(might, s.customFields())
	}
	if s.automationCall() {
		might = append(might, s.automations())
	}
	if s.Link.Contact == "" {
		for _, k := range single(s.findBy()) {
			if k.value != "" {
				might = append(might, lookup(s.Account, k.name, k.value))
			}
		}
		if s.makes() {
			claims = s.findBy().Claims()
		} else {
			s.Link.Contact = foundLater
		}
	}
	for name, id := range map[string]*string{s.Command.OwnerID: &s.owner, s.Command.Pipeline: &s.pipeline, s.Command.Stage: &s.stage, s.Command.Automation: &s.automation, s.Command.Field: &s.field, s.Command.Calendar: &s.calendar} {
		if called(name) != "" {
			*id = foundLater
		}
	}
	for _, c := range s.calls() {
		might = append(might, c.Call)
	}
	return might, claims
}

// single lists the keys one by one, in the order in which they are looked up.
func single(k crm.Keys) []struct{ name, value string } {
	return []struct{ name, value string }{{"email", k.Email}, {"phone", k.Phone}}
}

// lookup is the request that finds a contact by one key ("email" or "phone"). It changes nothing.
func lookup(location, name, value string) crm.Call {
	q := url.Values{"locationId": {location}}
	if name == "phone" {
		name = "number"
	}
	q.Set(name, value)
	return crm.Call{Op: opLookup, Method: http.MethodGet, Version: version, Path: "/contacts/search/duplicate?" + q.Encode()}
}

// calls turns a command into requests. An upsert never holds tags, because the vendor would replace all tags by them; what the command
// does not name is left out, because unknown or null fields may be refused or clear what a person wrote. The contact of a lead that is
// known is updated by its id: the vendor finds contacts by e-mail address and phone number, and an upsert under a new address would make
// a second one. An update that changes nothing that the contact is known to hold is no request.
func (s state) calls() []planned {
	contact := "/contacts/" + url.PathEscape(s.Link.Contact)
	switch s.Kind {
	case crm.KindUpsert:
		return s.upsert(contact)
	case crm.KindTag:
		type tags struct {
			Tags []string `json:"tags"`
		}
		var calls []planned
		if add := cleanTags(s.Command.Add); len(add) > 0 {
			calls = append(calls, change(opTagAdd, http.MethodPost, contact+"/tags", tags{add}))
		}
		if gone := cleanTags(s.Command.Remove); len(gone) > 0 {
			calls = append(calls, change(opTagRemove, http.MethodDelete, contact+"/tags", tags{gone}))
		}
		return calls
	case crm.KindAssign:
		return []planned{change(opAssign, http.MethodPut, contact, struct {
			AssignedTo string `json:"assignedTo"`
		}{s.owner})}
	case crm.KindOpportunity, crm.KindMove, crm.KindClose:
		return s.opportunity()
	case crm.KindBook, crm.KindReschedule, crm.KindCancel:
		return []planned{s.appointment()}
	case crm.KindDND:
		return []planned{s.dnd(contact)}
	case crm.KindField:
		return []planned{s.setField(contact)}
	case crm.KindMessage:
		return []planned{s.message()}
	case crm.KindEnrol, crm.KindLeave:
		return []planned{s.enrolment(contact)}
	case crm.KindNote:
		return []planned{change(opNote, http.MethodPost, contact+"/notes", struct {
			Body string `json:"body"`
		}{s.Command.Body})}
	case crm.KindFinish:
		call := change(opFinish, http.MethodPut, contact+"/tasks/"+url.PathEscape(s.Remote)+"/completed", struct {
			Completed bool `json:"completed"`
		}{s.Command.Completed})
		call.Again = true
		return []planned{call}
	case crm.KindTask:
		due := s.Command.DueAt
		if due.IsZero() {
			due = s.Asked // the vendor takes no task without a time: it is due at once
		}
		return []planned{change(opTask, http.MethodPost, contact+"/tasks", struct {
			Title      string `json:"title"`
			Body       string `json:"body,omitempty"`
			DueDate    string `json:"dueDate"`
			Completed  bool   `json:"completed"`
			AssignedTo string `json:"assignedTo,omitempty"`
		}{strings.TrimSpace(s.Command.Title), s.Command.Body, due.UTC().Format(time.RFC3339), false, s.owner})}
	}
	return nil
}

// cleanTags gives tags as the vendor stores them: trimmed, lower case, once each.
func cleanTags(tags []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range tags {
		t = strings.ToLower(strings.TrimSpace(t))
		if t != "" && !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

func change(op, method, path string, body any) planned {
	b, err := json.Marshal(body)
	if err != nil {
		panic("gohighlevel: body of " + op + ": " + err.Error()) // structs of strings always encode
	}
	return planned{Call: crm.Call{Op: op, Method: method, Path: path, Version: version, Body: b, Changes: true}}
}
