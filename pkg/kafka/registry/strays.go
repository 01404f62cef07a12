package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

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
