package standin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pipeline is one of a location's pipelines, with its stages in order.
type Pipeline struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Stages []Stage `json:"stages"`
}

// Stage is one stage of a pipeline.
type Stage struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Position int    `json:"position"`
}

// Opportunity is one deal.
type Opportunity struct {
	ID                 string          `json:"id"`
	LocationID         string          `json:"locationId"`
	ContactID          string          `json:"contactId"`
	PipelineID         string          `json:"pipelineId"`
	PipelineStageID    string          `json:"pipelineStageId"`
	Name               string          `json:"name"`
	Status             string          `json:"status"`
	MonetaryValue      float64         `json:"monetaryValue"`
	AssignedTo         string          `json:"assignedTo,omitempty"`
	LostReasonID       string          `json:"lostReasonId,omitempty"`
	CustomFields       json.RawMessage `json:"customFields,omitempty"`
	CreatedAt          time.Time       `json:"createdAt"`
	UpdatedAt          time.Time       `json:"updatedAt"`
	LastStatusChangeAt time.Time       `json:"lastStatusChangeAt"`
	LastStageChangeAt  time.Time       `json:"lastStageChangeAt"`
}

// statuses of an opportunity. The vendor's enum has "all" as well, which only a search takes.
var statuses = []string{"open", "won", "lost", "abandoned"}

func (o Opportunity) render() map[string]any {
	out := map[string]any{"id": o.ID, "locationId": o.LocationID, "contactId": o.ContactID, "pipelineId": o.PipelineID, "pipelineStageId": o.PipelineStageID,
		"name": o.Name, "status": o.Status, "monetaryValue": o.MonetaryValue, "createdAt": vendorTime(o.CreatedAt), "updatedAt": vendorTime(o.UpdatedAt),
		"lastStatusChangeAt": vendorTime(o.LastStatusChangeAt), "lastStageChangeAt": vendorTime(o.LastStageChangeAt), "customFields": []any{}}
	if o.AssignedTo != "" {
		out["assignedTo"] = o.AssignedTo
	}
	if o.LostReasonID != "" {
		out["lostReasonId"] = o.LostReasonID
	}
	if len(o.CustomFields) > 0 {
		out["customFields"] = o.CustomFields
	}
	return out
}

var opportunityFields = []string{"pipelineId", "name", "pipelineStageId", "status", "monetaryValue", "assignedTo", "customFields"}

func (l *location) createOpportunity(r request) answer {
	b, bad := r.open(append([]string{"locationId", "contactId"}, opportunityFields...)...)
	if bad != nil {
		return *bad
	}
	o := Opportunity{ID: newID(), CreatedAt: r.now, UpdatedAt: r.now, LastStatusChangeAt: r.now, LastStageChangeAt: r.now}
	b.need("locationId", &o.LocationID)
	b.need("contactId", &o.ContactID)
	b.need("pipelineId", &o.PipelineID)
	b.need("name", &o.Name)
	b.need("status", &o.Status)
	if bad := l.fillOpportunity(r, b, &o); bad != nil {
		return *bad
	}
	if bad := l.wrongLocation(o.LocationID); bad != nil {
		return *bad
	}
	if l.contacts[o.ContactID] == nil {
		return refuse(http.StatusBadRequest, "The contact id is invalid") // text undocumented
	}
	if !l.settings.AllowDuplicateOpportunity {
		// One a contact and pipeline, and a closed one counts too.
		same := l.opportunities.list(func(h Opportunity) bool { return h.ContactID == o.ContactID && h.PipelineID == o.PipelineID })
		if len(same) > 0 {
			a := refuse(http.StatusBadRequest, "Can not create duplicate opportunity for the contact.")
			a.body["code"] = "OPPORTUNITY_NO_DUPLICATE"
			a.body["meta"] = map[string]any{"existingId": same[0].ID}
			a.contact = o.ContactID
			return a
		}
	}
	if bad := l.opportunities.full(); bad != nil {
		return *bad
	}
	l.opportunities.put(l, o.ID, o, r.now)
	return answer{status: http.StatusCreated, applied: true, contact: o.ContactID, remote: o.ID, body: map[string]any{"opportunity": o.render()}}
}

// fillOpportunity writes what was sent onto o and checks the whole.
func (l *location) fillOpportunity(r request, b *body, o *Opportunity) *answer {
	stage, status, pipeline := o.PipelineStageID, o.Status, o.PipelineID
	for key, to := range map[string]*string{"pipelineId": &o.PipelineID, "name": &o.Name, "pipelineStageId": &o.PipelineStageID, "status": &o.Status, "assignedTo": &o.AssignedTo} {
		b.text(key, to)
	}
	b.oneOf("status", o.Status, statuses...)
	b.read("monetaryValue", &o.MonetaryValue, "a number conforming to the specified constraints")
	custom := l.customValues(r, b, "opportunity", o.CustomFields)
	if bad := b.refusal(); bad != nil {
		return bad
	}
	o.CustomFields = custom
	p, known := l.pipelines.by[o.PipelineID]
	if !known {
		a := refuse(http.StatusBadRequest, "The pipeline id is invalid") // text undocumented
		return &a
	}
	if !b.has("pipelineStageId") && (stage == "" || pipeline != o.PipelineID) && len(p.Stages) > 0 {
		o.PipelineStageID = p.Stages[0].ID
	}
	if !slices.ContainsFunc(p.Stages, func(s Stage) bool { return s.ID == o.PipelineStageID }) {
		a := refuse(http.StatusBadRequest, "The pipeline stage id is invalid") // text undocumented
		return &a
	}
	if stage != o.PipelineStageID {
		o.LastStageChangeAt = r.now
	}
	if status != o.Status {
		o.LastStatusChangeAt = r.now
	}
	o.UpdatedAt = r.now
	return nil
}

func (l *location) getOpportunity(r request) answer {
	o, there := l.opportunities.by[r.ids[0]]
	if !there {
		return missing("Opportunity", r.ids[0])
	}
	a := ok(http.StatusOK, map[string]any{"opportunity": o.render()})
	a.contact = o.ContactID
	return a
}

func (l *location) updateOpportunity(r request) answer {
	b, bad := r.open(opportunityFields...)
	if bad != nil {
		return *bad
	}
	o, there := l.opportunities.by[r.ids[0]]
	if !there {
		return missing("Opportunity", r.ids[0])
	}
	if bad := l.fillOpportunity(r, b, &o); bad != nil {
		return *bad
	}
	l.opportunities.put(l, o.ID, o, r.now)
	return answer{status: http.StatusOK, applied: true, contact: o.ContactID, remote: o.ID,
		body: map[string]any{"opportunity": o.render()}}
}

func (l *location) setOpportunityStatus(r request) answer {
	b, bad := r.open("status", "lostReasonId")
	if bad != nil {
		return *bad
	}
	o, there := l.opportunities.by[r.ids[0]]
	before := o.Status
	b.need("status", &o.Status)
	b.oneOf("status", o.Status, statuses...)
	b.text("lostReasonId", &o.LostReasonID)
	if bad := b.refusal(); bad != nil {
		return *bad
	}
	if !there {
		return missing("Opportunity", r.ids[0])
	}
	if o.Status != before {
		o.LastStatusChangeAt = r.now
	}
	o.UpdatedAt = r.now
	l.opportunities.put(l, o.ID, o, r.now)
	return answer{status: http.StatusOK, applied: true, contact: o.ContactID, remote: o.ID, body: map[string]any{"succeded": true}} //nolint:misspell // the vendor's spelling
}

func (l *location) deleteOpportunity(r request) answer {
	o, there := l.opportunities.by[r.ids[0]]
	if !there {
		return missing("Opportunity", r.ids[0])
	}
	l.opportunities.remove(l, o.ID)
	return answer{status: http.StatusOK, applied: true, contact: o.ContactID, remote: o.ID, body: map[string]any{"succeded": true}} //nolint:misspell // the vendor's spelling
}

func (l *location) listPipelines(r request) answer {
	if bad := l.asked(r, "locationId"); bad != nil {
		return *bad
	}
	return ok(http.StatusOK, map[string]any{"pipelines": l.pipelines.list(func(Pipeline) bool { return true })})
}

// searchOpportunities serves pages of the lagging index, oldest first. Names are camel case: the vendor's older file lists location_id
// and the like, and its server refuses them with 422.
func (l *location) searchOpportunities(r request) answer {
	if bad := l.asked(r, "locationId", "q", "status", "id", "pipelineId", "pipelineStageId", "contactId", "assignedTo", "limit", "page", "startAfter", "startAfterId",
		"order", "date", "endDate", "country", "campaignId", "getTasks", "getNotes", "getCalendarEvents"); bad != nil {
		return *bad
	}
	is := func(key, value string) bool { return r.query.Get(key) == "" || r.query.Get(key) == value }
	status := r.query.Get("status")
	if status != "" && status != "all" && !slices.Contains(statuses, status) {
		return unprocessable([]string{"status must be one of the allowed values"})
	}
	limit, bad := r.number("limit", 20, 1, 100)
	if bad != nil {
		return *bad
	}
	page, bad := r.number("page", 1, 1, 10_000/limit)
	if bad != nil {
		return *bad
	}
	hits := l.opportunities.indexed(r.now, r.lag, func(o Opportunity) bool {
		return (status == "" || status == "all" || o.Status == status) && is("id", o.ID) && is("pipelineId", o.PipelineID) && is("pipelineStageId", o.PipelineStageID) &&
			is("contactId", o.ContactID) && is("assignedTo", o.AssignedTo) && strings.Contains(strings.ToLower(o.Name), strings.ToLower(r.query.Get("q")))
	})
	total, from := len(hits), (page-1)*limit
	if after := r.query.Get("startAfterId"); after != "" {
		from = total
		for i, o := range hits {
			if o.ID == after && strconv.FormatInt(o.CreatedAt.UnixMilli(), 10) == r.query.Get("startAfter") {
				from = i + 1
			}
		}
	}
	from = min(from, total)
	end := min(from+limit, total)
	found, meta := []any{}, map[string]any{"total": total, "currentPage": page, "nextPage": nil}
	for _, o := range hits[from:end] {
		found = append(found, o.render())
	}
	if end > from {
		meta["startAfter"], meta["startAfterId"] = hits[end-1].CreatedAt.UnixMilli(), hits[end-1].ID
	}
	if end < total {
		meta["nextPage"] = page + 1
	}
	return ok(http.StatusOK, map[string]any{"opportunities": found, "meta": meta})
}

// number reads a number of the query that must be within bounds.
func (r request) number(key string, absent, least, most int) (int, *answer) {
	v := r.query.Get(key)
	if v == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		a := unprocessable([]string{key + " must be a number from " + itoa(least) + " to " + itoa(most)})
		return 0, &a
	}
	return n, nil
}
