package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/errgroup"

	"github.com/neuronx/engine/pkg/kafka"
)

// Stray is the latest version of a subject of the embedded catalogue under which no data of the catalogue's event type can be written.
// Producers that take the latest version, as clients do, are acknowledged and refused.
type Stray struct {
	Subject   string
	Version   int
	EventType string
	Detail    string // why
}

// Strays returns such versions by subject. A registry with a compatibility level of FULL_TRANSITIVE refuses them, but anyone who reaches
// it may set another. The error is ErrUnavailable.
func (c *Client) Strays(ctx context.Context) ([]Stray, error) {
	cat, err := c.current(ctx, freshFor)
	if cat == nil {
		return nil, err
	}
	return cat.strays, nil
}

func strays(found []sr.SubjectSchema) (out []Stray) {
	latest := map[string]sr.SubjectSchema{}
	for _, s := range found {
		if known, ok := latest[s.Subject]; !ok || s.Version > known.Version {
			latest[s.Subject] = s
		}
	}
	for subject, s := range latest {
		own := catalogued().byName[strings.TrimPrefix(subject, kafka.TopicIngress+"-")]
		if own == nil {
			continue
		}
		schema, err := parse(s.Schema)
		switch {
		case err != nil:
		case schema.FullName() != own.FullName():
			err = fmt.Errorf("its record is %.200s", schema.FullName())
		default:
			err = schema.Serves(own.EventType())
		}
		if err != nil {
			out = append(out, Stray{Subject: subject, Version: s.Version, EventType: own.EventType(), Detail: err.Error()})
		}
	}
	slices.SortFunc(out, func(a, b Stray) int { return cmp.Compare(a.Subject, b.Subject) })
	return out
}

// Loose is a subject of the catalogue under which the registry accepts versions that some readers can't read.
type Loose struct {
	Subject string
	Level   string // of compatibility, such as BACKWARD; empty: the registry does not say
}

// Loose returns the subjects of the catalogue's event types whose compatibility is not FULL_TRANSITIVE, their own or the registry's
// default, by subject. The error is ErrUnavailable.
func (c *Client) Loose(ctx context.Context) ([]Loose, error) {
	cat, err := c.current(ctx, freshFor)
	if cat == nil {
		return nil, err
	}
	var found []Loose
	for _, e := range cat.byType {
		if e.schema.CatalogueMajor() > 0 {
			for _, subject := range subjectsOf(e.schema.FullName()) {
				found = append(found, Loose{Subject: subject})
			}
		}
	}
	g, ctx := errgroup.WithContext(sr.WithParams(ctx, sr.DefaultToGlobal))
	g.SetLimit(atOnce)
	for i := range found {
		g.Go(func() error {
			var answer struct {
				Level string `json:"compatibilityLevel"`
			}
			err := c.sr.Do(ctx, http.MethodGet, "/config/"+url.PathEscape(found[i].Subject), nil, &answer)
			if refused, ok := errors.AsType[*sr.ResponseError](err); err != nil && (!ok || refused.StatusCode != http.StatusNotFound) {
				return fmt.Errorf("compatibility of %s: %w", found[i].Subject, c.classify(err))
			}
			found[i].Level = answer.Level
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(l Loose) bool { return l.Level == onlyLevel })
	slices.SortFunc(found, func(a, b Loose) int { return cmp.Compare(a.Subject, b.Subject) })
	return found, nil
}
