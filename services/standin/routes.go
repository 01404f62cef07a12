package standin

import (
	"net/http"
	"strings"
)

type endpoint struct {
	method string
	path   string // {…} stands for one segment that is not empty
	serve  func(*location, request) answer
}

// endpoints are the vendor's, by the paths of its OpenAPI files; the first that fits serves. A trailing slash counts.
var endpoints = []endpoint{
	{http.MethodPost, "/contacts/", (*location).create},
	{http.MethodPost, "/contacts/upsert", (*location).upsert},
	{http.MethodPost, "/contacts/search", (*location).search},
	{http.MethodGet, "/contacts/search/duplicate", (*location).duplicateCheck},
	{http.MethodGet, "/contacts/{id}", (*location).single},
	{http.MethodPut, "/contacts/{id}", (*location).single},
	{http.MethodDelete, "/contacts/{id}", (*location).single},
	{http.MethodPost, "/contacts/{id}/tags", (*location).tags},
	{http.MethodDelete, "/contacts/{id}/tags", (*location).tags},
	{http.MethodGet, "/contacts/{id}/notes", (*location).notes},
	{http.MethodPost, "/contacts/{id}/notes", (*location).notes},

	{http.MethodPost, "/contacts/{id}/tasks", (*location).createTask},
	{http.MethodGet, "/contacts/{id}/tasks", (*location).listTasks},
	{http.MethodGet, "/contacts/{id}/tasks/{task}", (*location).getTask},
	{http.MethodPut, "/contacts/{id}/tasks/{task}", (*location).updateTask},
	{http.MethodPut, "/contacts/{id}/tasks/{task}/completed", (*location).completeTask},
	{http.MethodPost, "/locations/{location}/tasks/search", (*location).searchTasks},

	{http.MethodPost, "/contacts/{id}/workflow/{workflow}", (*location).enrolWorkflow},
	{http.MethodDelete, "/contacts/{id}/workflow/{workflow}", (*location).leaveWorkflow},
	{http.MethodPost, "/contacts/{id}/campaigns/{campaign}", (*location).enrolCampaign},
	{http.MethodDelete, "/contacts/{id}/campaigns/{campaign}", (*location).leaveCampaign},
	{http.MethodGet, "/workflows/", (*location).listWorkflows},
	{http.MethodGet, "/campaigns/", (*location).listCampaigns},

	{http.MethodGet, "/opportunities/pipelines", (*location).listPipelines},
	{http.MethodGet, "/opportunities/search", (*location).searchOpportunities},
	{http.MethodPost, "/opportunities/", (*location).createOpportunity},
	{http.MethodGet, "/opportunities/{opportunity}", (*location).getOpportunity},
	{http.MethodPut, "/opportunities/{opportunity}", (*location).updateOpportunity},
	{http.MethodDelete, "/opportunities/{opportunity}", (*location).deleteOpportunity},
	{http.MethodPut, "/opportunities/{opportunity}/status", (*location).setOpportunityStatus},

	{http.MethodGet, "/locations/{location}", (*location).show},
	{http.MethodGet, "/locations/{location}/customFields", (*location).listCustomFields},
	{http.MethodPost, "/locations/{location}/customFields", (*location).createCustomField},
	{http.MethodGet, "/users/", (*location).listUsers},
	{http.MethodGet, "/users/search", (*location).searchUsers},
	{http.MethodGet, "/users/{user}", (*location).getUser},

	{http.MethodPost, "/conversations/messages", (*location).sendMessage},
	{http.MethodGet, "/conversations/messages/export", (*location).exportMessages},
	{http.MethodGet, "/conversations/messages/{message}", (*location).getMessage},
	{http.MethodGet, "/conversations/search", (*location).searchConversations},
	{http.MethodGet, "/conversations/{conversation}/messages", (*location).listMessages},

	{http.MethodGet, "/calendars/", (*location).listCalendars},
	{http.MethodGet, "/calendars/{calendar}/free-slots", (*location).freeSlots},
	{http.MethodPost, "/calendars/events/appointments", (*location).book},
	{http.MethodGet, "/calendars/events/appointments/{event}", (*location).getAppointment},
	{http.MethodPut, "/calendars/events/appointments/{event}", (*location).updateAppointment},
	{http.MethodGet, "/contacts/{id}/appointments", (*location).listAppointments},
}

// fits compares a path with the endpoint's and gives what stands for its {…}, in order.
func (e endpoint) fits(path string) ([]string, bool) {
	want, have := strings.Split(e.path, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	var ids []string
	for i, w := range want {
		switch {
		case strings.HasPrefix(w, "{"):
			if have[i] == "" {
				return nil, false
			}
			ids = append(ids, have[i])
		case w != have[i]:
			return nil, false
		}
	}
	return ids, true
}

// serve is the CRM itself: it changes the location and says what the CRM would answer. No I/O; the caller holds the lock.
func (l *location) serve(r request) answer {
	for _, e := range endpoints {
		if ids, fits := e.fits(r.path); fits && e.method == r.method {
			r.ids = ids
			return e.serve(l, r)
		}
	}
	return refuse(http.StatusNotFound, "Cannot "+r.method+" "+r.path)
}

// route gives the path of the endpoint that serves a request, for counts; "other" when none does.
func route(method, path string) string {
	for _, e := range endpoints {
		if _, fits := e.fits(path); fits && e.method == method {
			return e.path
		}
	}
	return "other"
}
