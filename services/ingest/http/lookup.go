package httpin

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// Fate is what became of an event. An id may recur after the key window, so
// there can be several.
type Fate struct {
	ID           string     `json:"id"`
	Status       string     `json:"status"` // recorded | refused
	Type         string     `json:"type,omitempty"`
	Sequence     string     `json:"sequence,omitempty"` // a string: it passes 2^53
	Position     string     `json:"position,omitempty"`
	RecordedTime *time.Time `json:"recordedtime,omitempty"`
	Code         event.Code `json:"code,omitempty"` // of a refusal
	Detail       string     `json:"detail,omitempty"`
}

// getEvent answers from the archive, then from the dead letters. Both follow the
// log with a delay, so a 404 right after a 202 says "not yet".
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
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	fates, err := s.Finder.Find(ctx, who.Tenant, r.PathValue("id"))
	if err != nil {
		p := problem(event.CodeUnavailable, "the archive does not answer").retry(5)
		p.cause = err
		return p
	}
	if len(fates) == 0 {
		return problem(event.CodeNotFound, "no event with this id is recorded or refused").
			hint("right after a 202 it may take a moment; a duplicate is found under the id of the first")
	}
	last := fates[len(fates)-1]
	writeJSON(w, http.StatusOK, struct {
		Fate
		Earlier []Fate `json:"earlier,omitempty"`
	}{last, fates[:len(fates)-1]})
	return nil
}

//go:embed openapi.json
var openAPI []byte

func (s *Server) getOpenAPI(_ *http.Request, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(openAPI)
	return nil
}
