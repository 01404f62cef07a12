package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/errgroup"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/kafka"
)

const (
	freshFor  = time.Minute     // how old the list may be
	missAfter = time.Second     // a type that is not in the list is looked for again after this
	retryWait = 2 * time.Second // between refreshes that fail
	atOnce    = 8               // subjects asked for at a time; as many connections are kept
)

// catalogue is what the registry held at one moment. It is immutable.
type catalogue struct {
	at       time.Time
	byType   map[string]entry
	versions map[string][]int32 // ids by full name
	strays   []Stray
}

type entry struct {
	id      int32
	version int
	schema  *avro.Schema
}

type subjectVersion struct {
	subject string
	version int
}

// subjects of a schema (TopicRecordNameStrategy).
func subjectsOf(fullName string) []string {
	return []string{kafka.TopicIngress + "-" + fullName, kafka.TopicEvents + "-" + fullName}
}

// ByType returns id and schema of the latest version of an event type: of the record that the catalogue's rules give
// the type (neuronx.lead.v1.LeadCreated for lead.created), in the major that the embedded catalogue has, else in its highest; of another
// record only if there is none such. Of a record of the embedded catalogue it is the latest version that has all that the catalogue says, if there is one. A new type is seen within seconds, a new version within a minute. The error is ErrUnknown or
// ErrUnavailable.
func (c *Client) ByType(ctx context.Context, eventType string) (int32, *avro.Schema, error) {
	found, err := c.find(ctx, eventType)
	if err != nil {
		return 0, nil, fmt.Errorf("event type %.100q: %w", eventType, err)
	}
	return found.id, found.schema, nil
}

// Versions returns the ids of all versions of the record that the schema with the id is one of, as far as they are known: it waits for the
// registry, for a second, only if the list was never read. It is empty for an id that was not looked up.
func (c *Client) Versions(id int32) []int32 {
	c.mu.RLock()
	s, cat := c.byID[id], c.catalog
	c.mu.RUnlock()
	if s == nil {
		return nil
	}
	if cat == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if cat, _ = c.current(ctx, freshFor); cat == nil {
			return nil
		}
	}
	return cat.versions[s.FullName()]
}

// Types returns the event types of the catalogue, sorted. The error is ErrUnavailable.
func (c *Client) Types(ctx context.Context) ([]string, error) {
	cat, err := c.current(ctx, freshFor)
	if cat == nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(cat.byType)), nil
}

// find looks an event type up in the list; when it is not there, into one that is at most missAfter old.
func (c *Client) find(ctx context.Context, eventType string) (entry, error) {
	var err error
	for _, age := range []time.Duration{freshFor, missAfter} {
		var cat *catalogue
		if cat, err = c.current(ctx, age); cat != nil {
			if e, ok := cat.byType[eventType]; ok {
				return e, nil
			}
		}
	}
	if err != nil {
		return entry{}, err
	}
	return entry{}, ErrUnknown
}

// current returns a list that is at most age old, or, with the error, the last one there was (nil if none): an outage
// of the registry must not stop the types that are known.
func (c *Client) current(ctx context.Context, age time.Duration) (*catalogue, error) {
	c.mu.RLock()
	cat, nextTry := c.catalog, c.nextTry
	c.mu.RUnlock()
	now := c.now()
	if cat != nil && now.Sub(cat.at) < age {
		return cat, nil
	}
	if now.Before(nextTry) {
		return cat, fmt.Errorf("%w: asked again in %v", ErrUnavailable, nextTry.Sub(now).Round(time.Millisecond))
	}
	fresh, err := share(ctx, &c.flights, "list", listTimeout, c.list)
	if err != nil {
		return cat, err
	}
	return fresh, nil
}

// list reads the registry and replaces the catalogue.
func (c *Client) list(ctx context.Context) (*catalogue, error) {
	at := c.now()
	found, err := c.all(ctx, kafka.TopicIngress+"-")
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.nextTry = c.now().Add(retryWait)
		c.log.Warn("schema registry not read", "err", err)
		return nil, err
	}
	c.nextTry = time.Time{}
	cat := &catalogue{at: at, byType: map[string]entry{}, versions: map[string][]int32{}, strays: strays(found)}
	for _, s := range found {
		id := int32(s.ID)
		schema, ok := c.byID[id]
		if !ok {
			if schema, err = parse(s.Schema); err != nil {
				c.log.Warn("schema of the registry not usable", "subject", s.Subject, "version", s.Version, "err", err)
				continue
			}
			c.keep(id, schema)
		}
		cat.versions[schema.FullName()] = append(cat.versions[schema.FullName()], id)
		e := entry{id: id, version: s.Version, schema: schema}
		name := cmp.Or(schema.EventType(), schema.ImpliedType())
		if earlier, ok := cat.byType[name]; name != "" && (!ok || compare(e, earlier) > 0) {
			cat.byType[name] = e
		}
	}
	c.catalog = cat
	return cat, nil
}

// compare orders schemas of one event type; the highest serves it. The record that the rules of the catalogue ask for
// comes before all others, so that nobody takes over a type by registering another record for it.
func compare(a, b entry) int {
	// A type of the embedded catalogue is served by the record that it names, whatever major version somebody registered: that stops
	// every producer of the type over HTTP, whose data are encoded under what is found here.
	if own := catalogued().byType[cmp.Or(a.schema.EventType(), b.schema.EventType())]; own != nil {
		if a, b := a.schema.FullName() == own.FullName(), b.schema.FullName() == own.FullName(); a != b {
			return rank(a) - rank(b)
		}
	}
	majorA, majorB := a.schema.CatalogueMajor(), b.schema.CatalogueMajor()
	if majorA != majorB {
		return cmp.Compare(majorA, majorB)
	}
	// A type that is only implied by a record's name is served where no schema says that it is of the type.
	if a, b := a.schema.EventType() != "", b.schema.EventType() != ""; a != b {
		return rank(a) - rank(b)
	}
	// A version that lost what the catalogue says was registered by another client: the latest one is not simply trusted.
	if own := catalogued().byName[a.schema.FullName()]; own != nil && a.schema.FullName() == b.schema.FullName() {
		if a, b := a.schema.Keeps(own), b.schema.Keeps(own); a != b {
			return rank(a) - rank(b)
		}
	}
	if n := strings.Compare(b.schema.FullName(), a.schema.FullName()); n != 0 {
		return n
	}
	return cmp.Compare(a.version, b.version)
}

func rank(better bool) int {
	if better {
		return 1
	}
	return 0
}

// all returns every version of every subject with the prefix: in one request where the registry can, else one by one. Older
// registries have no such list, and Apicurio's (3.3, ccompat v7) leaves out subject, version and id.
func (c *Client) all(ctx context.Context, prefix string) ([]sr.SubjectSchema, error) {
	var found []sr.SubjectSchema
	err := c.sr.Do(sr.WithParams(ctx, sr.SubjectPrefix(prefix)), http.MethodGet, "/schemas", nil, &found)
	if err == nil && !slices.ContainsFunc(found, func(s sr.SubjectSchema) bool { return s.Subject == "" }) {
		return only(found, prefix), nil
	}
	if refused, answered := errors.AsType[*sr.ResponseError](err); err != nil &&
		(!answered || refused.StatusCode != http.StatusNotFound && refused.StatusCode != http.StatusMethodNotAllowed) {
		return nil, c.classify(err)
	}
	subjects, err := c.sr.Subjects(sr.WithParams(ctx, sr.SubjectPrefix(prefix)))
	if err != nil {
		return nil, c.classify(err)
	}
	subjects = slices.DeleteFunc(subjects, func(s string) bool { return !strings.HasPrefix(s, prefix) })
	return c.each(ctx, subjects)
}

// each returns every version of the subjects, asking for a few at a time. What a version of a subject is never changes, so it is asked
// for once; a refresh that its deadline cut short has brought the next one further.
func (c *Client) each(ctx context.Context, subjects []string) ([]sr.SubjectSchema, error) {
	answers := make([][]sr.SubjectSchema, len(subjects))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, subject := range subjects {
		g.Go(func() (err error) {
			if answers[i], err = c.versions(ctx, subject); err != nil {
				return fmt.Errorf("subject %s: %w", subject, c.classify(err))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(answers...), nil
}

func (c *Client) versions(ctx context.Context, subject string) ([]sr.SubjectSchema, error) {
	numbers, err := c.sr.SubjectVersions(ctx, subject)
	if err != nil {
		return nil, err
	}
	found := make([]sr.SubjectSchema, len(numbers))
	for i, n := range numbers {
		key := subjectVersion{subject, n}
		c.mu.RLock()
		s, known := c.seen[key]
		c.mu.RUnlock()
		if !known {
			if s, err = c.sr.SchemaByVersion(ctx, subject, n); err != nil {
				return nil, err
			}
			c.mu.Lock()
			c.seen[key] = s
			c.mu.Unlock()
		}
		found[i] = s
	}
	return found, nil
}

// only drops what the registry should have: not every one knows the parameter subjectPrefix.
func only(found []sr.SubjectSchema, prefix string) []sr.SubjectSchema {
	return slices.DeleteFunc(found, func(s sr.SubjectSchema) bool {
		return !strings.HasPrefix(s.Subject, prefix) || s.ID < 1 || strconv.Itoa(int(int32(s.ID))) != strconv.Itoa(s.ID)
	})
}
