package httpin

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// Fate is what became of an event. An id may recur after the key window, and in
// another source, so there can be several.
type Fate struct {
	ID           string     `json:"id"`
	Status       string     `json:"status"` // admitted | refused | pending | duplicate
	Type         string     `json:"type,omitempty"`
	Source       string     `json:"source,omitempty"`   // whose id it is: ids are unique for a source
	Sequence     string     `json:"sequence,omitempty"` // a string: it passes 2^53
	Position     string     `json:"position,omitempty"`
	RecordedTime *time.Time `json:"recordedtime,omitempty"`
	Archived     *bool      `json:"archived,omitempty"`     // of what was admitted or refused: whether the archive holds it already
	DuplicateOf  string     `json:"duplicate_of,omitempty"` // of a duplicate: the sequence that the first one got
	Code         event.Code `json:"code,omitempty"`         // of a refusal
	Detail       string     `json:"detail,omitempty"`
}

// getEvent answers from the archive and its dead letters, and for what is not
// archived yet from where it stands. A duplicate leaves no trace but its receipt:
// it is told when this process saw that.
func (s *Server) getEvent(r *http.Request, w http.ResponseWriter) error {
	token, ok := bearer(r.Header)
	if !ok {
		return authProblem(tenant.ErrUnauthorized)
	}
	who, err := s.Auth.Authenticate(r.Context(), token, tenant.ScopeRead)
	if errors.Is(err, tenant.ErrScope) {
		// Who may publish may ask what became of it: a fate holds nothing of the data.
		who, err = s.Auth.Authenticate(r.Context(), token, tenant.ScopeWrite)
	}
	if err != nil {
		return authProblem(err)
	}
	id := r.PathValue("id")
	if len(id) > maxEventID {
		return problem(event.CodeInvalidAttribute, "no event has an id of that length").at("id", "longer than 256 bytes")
	}
	if !possibleID(id) {
		return problem(event.CodeInvalidAttribute, "no event has such an id").at("id", "not UTF-8, or a character that no id may have")
	}
	source, p := sourceAsked(r.URL.RawQuery)
	if p != nil {
		return p
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	fates, err := s.Finder.Find(ctx, who.Tenant, id, source)
	if err != nil {
		s.metrics.lookups.WithLabelValues("undecided").Inc()
		if p := (*Problem)(nil); errors.As(err, &p) {
			return p
		}
		p := problem(event.CodeUnavailable, "the archive does not answer").retry(5)
		p.cause = err
		return p
	}
	if of := s.repeats.find(who.Tenant, id); len(fates) == 0 && of != "" && source == "" { // receipts name no source
		fates = []Fate{{ID: id, Status: statusDuplicate, DuplicateOf: of}}
	}
	if len(fates) == 0 {
		s.metrics.lookups.WithLabelValues("nowhere").Inc()
		return problem(event.CodeNotFound, "no event with this id was admitted, refused, or waits").
			hint("a duplicate is found under the id of the first")
	}
	s.metrics.lookups.WithLabelValues(fates[len(fates)-1].where()).Inc()
	last := fates[len(fates)-1]
	writeJSON(w, http.StatusOK, struct {
		Fate
		Earlier []Fate `json:"earlier,omitempty"`
	}{last, fates[:len(fates)-1]})
	return nil
}

// sourceAsked reads the query: ?source=, once, or nothing. A parameter that is misspelt would be answered with another source's event.
func sourceAsked(query string) (string, *Problem) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", problem(event.CodeInvalidAttribute, "the query can't be read").at("query", "not name=value, percent-encoded")
	}
	for name := range values {
		if name != "source" {
			return "", problem(event.CodeInvalidAttribute, "the query has an unknown parameter").at("query", clip(name)+" is unknown; there is source")
		}
	}
	switch given := values["source"]; {
	case len(given) == 0:
		return "", nil
	case len(given) > 1 || given[0] == "":
		return "", problem(event.CodeInvalidAttribute, "the source is asked for once, and not empty").at("query source", "empty, or more than one")
	default:
		e := event.Event{TenantID: "tenant", ID: "1", Source: given[0], Type: "a.b"}
		if r := e.CheckAttributes(); r != nil {
			return "", problem(event.CodeInvalidAttribute, "no event has such a source").at("query source", "not UTF-8, too long, or a character that no source may have")
		}
		return given[0], nil
	}
}

// possibleID tells that an event may have the id. Postgres could not even be asked for others.
func possibleID(id string) bool {
	e := event.Event{TenantID: "tenant", ID: id, Source: "/", Type: "a.b"}
	return e.CheckAttributes() == nil
}

// locationOf is where an event is found by its id; "" where no path can say it: "." and ".." are resolved by clients and proxies, however
// they are escaped, and net/http takes an escaped slash alone for the end of the path.
func locationOf(id string) string {
	if id == "." || id == ".." || id == "/" {
		return ""
	}
	return "/v1/events/" + url.PathEscape(id)
}

// where says where it was found, for metrics.
func (f *Fate) where() string {
	switch {
	case f.Status == statusPending:
		return "ingress"
	case f.Status == statusDuplicate:
		return "receipts"
	case f.Archived != nil && *f.Archived:
		return "archive"
	}
	return "log"
}

//go:embed openapi.json
var openAPI []byte

func (s *Server) getOpenAPI(_ *http.Request, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(openAPI)
	return nil
}
