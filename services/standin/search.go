package standin

import (
	"encoding/json"
	"net/http"
	"strings"
)

type filter struct {
	Field    string          `json:"field"`
	Operator string          `json:"operator"`
	Value    json.RawMessage `json:"value"`
	Group    string          `json:"group"`
	Filters  []filter        `json:"filters"`
}

const maxFilterDepth = 4

// search serves POST /contacts/search over the lagging index: pages, or searchAfter with the id of the last row.
func (l *location) search(r request) answer {
	raw, bad := decodeStrict(r.body, "locationId", "pageLimit", "page", "searchAfter", "filters", "query", "sort")
	if bad != nil {
		return *bad
	}
	var q struct {
		LocationID  string   `json:"locationId"`
		PageLimit   int      `json:"pageLimit"`
		Page        int      `json:"page"`
		SearchAfter []any    `json:"searchAfter"`
		Filters     []filter `json:"filters"`
		Query       string   `json:"query"`
	}
	if err := json.Unmarshal(r.body, &q); err != nil {
		return unprocessable([]string{"body has a field of the wrong type"})
	}
	var problems []string
	if q.LocationID == "" {
		problems = append(problems, "locationId should not be empty")
	}
	if q.PageLimit < 1 || q.PageLimit > 500 {
		problems = append(problems, "pageLimit must be between 1 and 500")
	}
	if raw["page"] != nil && raw["searchAfter"] != nil {
		problems = append(problems, "page and searchAfter must not be used together")
	}
	if q.Page == 0 {
		q.Page = 1
	}
	if q.Page < 1 || q.Page > 10_000/max(1, q.PageLimit) {
		problems = append(problems, "page is beyond 10000 rows, use searchAfter")
	}
	if len(q.Query) > 75 {
		problems = append(problems, "query must be shorter than or equal to 75 characters")
	}
	problems = append(problems, checkFilters(q.Filters, 0)...)
	if len(problems) > 0 {
		return unprocessable(problems)
	}
	if bad := l.wrongLocation(q.LocationID); bad != nil {
		return *bad
	}
	var hits []*Contact
	for _, c := range l.indexed(r.now, r.lag) {
		if (q.Query == "" || mentions(c, q.Query)) && all(c, q.Filters) {
			hits = append(hits, c)
		}
	}
	total, from := len(hits), (q.Page-1)*q.PageLimit
	if len(q.SearchAfter) > 0 {
		from = total
		last, _ := q.SearchAfter[len(q.SearchAfter)-1].(string)
		for i, c := range hits {
			if c.ID == last {
				from = i + 1
			}
		}
	}
	rows := []map[string]any{}
	for _, c := range hits[min(from, total):min(from+q.PageLimit, total)] {
		row := c.render()
		row["searchAfter"] = []any{c.DateAdded.UnixMilli(), c.ID}
		rows = append(rows, row)
	}
	return ok(http.StatusOK, map[string]any{"contacts": rows, "total": total})
}

func checkFilters(fs []filter, depth int) []string {
	if depth > maxFilterDepth || len(fs) > 100 {
		return []string{"filters are nested too deep or too many"}
	}
	var problems []string
	for _, f := range fs {
		if f.Group != "" {
			if f.Group != "AND" && f.Group != "OR" {
				problems = append(problems, "group must be AND or OR")
			}
			problems = append(problems, checkFilters(f.Filters, depth+1)...)
			continue
		}
		switch f.Operator {
		case "eq", "exists", "not_exists":
		case "not_eq", "contains", "not_contains":
			if f.Field == "email" {
				problems = append(problems, "operator "+f.Operator+" is not supported for email")
			}
		default:
			problems = append(problems, "operator "+f.Operator+" is not supported")
		}
	}
	return problems
}

func all(c *Contact, fs []filter) bool {
	for _, f := range fs {
		if !f.hit(c) {
			return false
		}
	}
	return true
}

func (f filter) hit(c *Contact) bool {
	if f.Group == "OR" {
		for _, g := range f.Filters {
			if g.hit(c) {
				return true
			}
		}
		return false
	}
	if f.Group == "AND" {
		return all(c, f.Filters)
	}
	var want string
	_ = json.Unmarshal(f.Value, &want) // a value of another type matches nothing
	values := []string{}
	if f.Field == "tags" {
		values = c.Tags
	} else if v := c.Fields[f.Field]; v != "" {
		values = []string{v}
	}
	equal, holds := false, false
	for _, v := range values {
		equal = equal || strings.EqualFold(v, want)
		holds = holds || strings.Contains(strings.ToLower(v), strings.ToLower(want))
	}
	switch f.Operator {
	case "eq":
		return equal
	case "not_eq":
		return !equal
	case "contains":
		return holds
	case "not_contains":
		return !holds
	case "exists":
		return len(values) > 0
	case "not_exists":
		return len(values) == 0
	}
	return false
}

func mentions(c *Contact, q string) bool {
	for _, v := range c.Fields {
		if strings.Contains(strings.ToLower(v), strings.ToLower(q)) {
			return true
		}
	}
	return false
}
