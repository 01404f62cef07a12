package gohighlevel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/neuronx/engine/pkg/crm"
)

const (
	opWorkflows = "workflows"
	opCampaigns = "campaigns"
	opEnrol     = "automation_enrol"
	opLeave     = "automation_remove"
)

// automations is the request that lists the automations of the kind that the command names. Only published ones can be started.
func (s state) automations() crm.Call {
	q := url.Values{"locationId": {s.Account}}
	if s.Command.Of == crm.ObjectCampaign {
		q.Set("status", "published")
		return crm.Call{Op: opCampaigns, Method: http.MethodGet, Version: version, Path: "/campaigns/?" + q.Encode()}
	}
	return crm.Call{Op: opWorkflows, Method: http.MethodGet, Version: version, Path: "/workflows/?" + q.Encode()}
}

// automated reports whether commands of the kind name an automation.
func (s state) automated() bool { return s.Kind == crm.KindEnrol || s.Kind == crm.KindLeave }

// automationCall reports whether the command names an automation whose id has to be asked for.
func (s state) automationCall() bool {
	known := s.Names[s.Command.Of]
	return s.automated() && len(known.IDs[called(s.Command.Automation)]) == 0 && !known.Fresh
}

// findAutomation finds the id of the automation that the command names. A name that none has, or several, ends the attempt: another automation writes
// something else to the person.
func (a *attempt) findAutomation() bool {
	if !a.automated() {
		return true
	}
	names := a.Names
	if a.automationCall() {
		var on bool
		if names, on = a.list(a.automations(), a.Command.Of+"s", func(body []byte) (map[string]map[string][]string, bool) { return readAutomations(body, a.Command.Of) }); !on {
			return false
		}
	}
	var on bool
	a.automation, on = a.one(a.Command.Of, a.Command.Automation, names[a.Command.Of].IDs[called(a.Command.Automation)])
	return on
}

// enrolment is the request that starts or ends an automation for a contact. That it was accepted is all that the answer says: a contact that is in it
// already, or was before, may be passed over by the CRM's own settings.
func (s state) enrolment(contact string) planned {
	op, method := opEnrol, http.MethodPost
	if s.Kind == crm.KindLeave {
		op, method = opLeave, http.MethodDelete
	}
	path := contact + "/workflow/"
	if s.Command.Of == crm.ObjectCampaign {
		path = contact + "/campaigns/"
	}
	c := change(op, method, path+url.PathEscape(s.automation), struct{}{})
	if s.Command.Of == crm.ObjectCampaign && s.Kind == crm.KindLeave {
		c.Body = nil // the vendor's file has a body for the other three
	}
	c.Again = s.Kind == crm.KindLeave
	return c
}

// readAutomations reads the automations of a kind by what they are called.
func readAutomations(body []byte, kind string) (map[string]map[string][]string, bool) {
	type object struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	var raw struct {
		Workflows *[]object `json:"workflows"`
		Campaigns *[]object `json:"campaigns"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return nil, false
	}
	list := raw.Workflows
	if kind == crm.ObjectCampaign {
		list = raw.Campaigns
	}
	if list == nil {
		return nil, false
	}
	out := map[string][]string{}
	for _, o := range *list {
		if !validID(o.ID) || o.Status != "published" {
			continue
		}
		callIt(out, "", o.ID, o.ID, o.Name)
	}
	return map[string]map[string][]string{kind: out}, true
}

// automationGone reports whether a refusal says that the automation is not there.
func automationGone(message string) bool {
	m := strings.ToLower(message)
	return (strings.Contains(m, "workflow") || strings.Contains(m, "campaign")) && strings.Contains(m, "not found")
}
