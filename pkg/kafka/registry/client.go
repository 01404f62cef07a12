package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/singleflight"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/schemas"
)

var (
	// ErrUnknown means that the registry answered, and has no such schema, or one that pkg/avro refuses.
	ErrUnknown = errors.New("unknown schema")
	// ErrUnavailable means that the registry did not answer, or answered nonsense: nothing is known about the schema.
	ErrUnavailable = errors.New("schema registry unavailable")
)

const (
	requestTimeout = 5 * time.Second
	changeTimeout  = 20 * time.Second // of a request that changes something: longer than the embedded registry's own writeTimeout, so that its answer is heard
	lookupTimeout  = 10 * time.Second // of all requests that one lookup makes
	listTimeout    = 30 * time.Second // of all that reading the catalogue makes: dozens, where it is read one by one
	maxResponse    = 32 << 20         // bytes; a hostile registry must not fill the memory
	unknownFor     = time.Minute      // how long an unknown id is remembered
	notYetFor      = time.Second      // the same for an id above all known ones, which may be given to a schema any moment
	maxUnknown     = 10_000           // ids remembered as unknown; they come from outside
)

// Client reads and pushes schemas. It is safe for concurrent use.
type Client struct {
	sr        *sr.Client // reads
	changes   *sr.Client
	transport *http.Transport
	log       *slog.Logger
	now       func() time.Time

	flights singleflight.Group
	mu      sync.RWMutex
	byID    map[int32]*avro.Schema
	unknown map[int32]refusal
	highest int32 // id known
	catalog *catalogue
	seen    map[subjectVersion]sr.SubjectSchema // of registries that are read one by one
	nextTry time.Time                           // of a refresh, after one that failed
}

// refusal is an answer that stays true for a while.
type refusal struct {
	err   error
	until time.Time
}

// NewClient returns a client of the registry at url, such as http://127.0.0.1:18081; user and password may be in it.
// It makes no request.
func NewClient(address string, log *slog.Logger) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("registry: %q is not an http or https URL", redacted(u, address))
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: atOnce,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	var opts []sr.ClientOpt
	if u.User != nil {
		password, _ := u.User.Password()
		opts = append(opts, sr.BasicAuth(u.User.Username(), password))
		u.User = nil
	}
	within := func(limit time.Duration) (*sr.Client, error) {
		client, err := sr.NewClient(append(opts, sr.URLs(u.String()), sr.HTTPClient(&http.Client{Timeout: limit, Transport: bounded{transport}}))...)
		if err != nil {
			return nil, fmt.Errorf("registry: open client: %w", err)
		}
		return client, nil
	}
	reads, err := within(requestTimeout)
	if err != nil {
		return nil, err
	}
	changes, err := within(changeTimeout)
	if err != nil {
		return nil, err
	}
	return &Client{
		sr: reads, changes: changes, transport: transport, log: log, now: time.Now,
		byID: map[int32]*avro.Schema{}, unknown: map[int32]refusal{}, seen: map[subjectVersion]sr.SubjectSchema{},
	}, nil
}

func redacted(u *url.URL, address string) string {
	if u == nil {
		return "(unreadable)"
	}
	if u.User != nil {
		return u.Redacted()
	}
	return address
}

// Close closes idle connections. The client may be used further.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Ping asks the registry for the kinds of schemas that it knows. The error is ErrUnavailable.
func (c *Client) Ping(ctx context.Context) error {
	if _, err := c.sr.SupportedTypes(ctx); err != nil {
		return c.classify(err)
	}
	return nil
}

// bounded cuts responses at maxResponse.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxResponse), resp.Body}
	}
	return resp, err
}

// SchemaByID returns the schema with the id. The error is ErrUnknown or ErrUnavailable. A found schema is kept for
// ever, because ids never change their meaning. An unknown id is remembered for a minute; one above all known ids for a
// second: registries count up, and a client that asks for the next id before it is given must not delay its schema.
func (c *Client) SchemaByID(ctx context.Context, id int32) (*avro.Schema, error) {
	c.mu.RLock()
	s, known := c.byID[id]
	refused, bad := c.unknown[id]
	c.mu.RUnlock()
	if known {
		return s, nil
	}
	if bad && c.now().Before(refused.until) {
		return nil, refused.err
	}
	if id < 1 {
		return nil, fmt.Errorf("schema id %d: %w", id, ErrUnknown)
	}
	return share(ctx, &c.flights, "id "+strconv.Itoa(int(id)), lookupTimeout, func(ctx context.Context) (*avro.Schema, error) {
		text, err := c.sr.SchemaByID(ctx, int(id))
		if err != nil {
			err = c.classify(err)
		}
		return c.learn(id, text, err)
	})
}

// learn keeps what the registry said about an id.
func (c *Client) learn(id int32, found sr.Schema, err error) (*avro.Schema, error) {
	var s *avro.Schema
	if err == nil {
		s, err = parse(found)
	}
	if err != nil {
		err = fmt.Errorf("schema id %d: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		if earlier, ok := c.byID[id]; ok {
			return earlier, nil
		}
		c.keep(id, s)
	case errors.Is(err, ErrUnknown):
		c.forget()
		keep := unknownFor
		if id > c.highest {
			keep = notYetFor
		}
		c.unknown[id] = refusal{err: err, until: c.now().Add(keep)}
	}
	return s, err
}

// keep remembers a schema for ever. c.mu is held.
func (c *Client) keep(id int32, s *avro.Schema) {
	c.byID[id] = s
	c.highest = max(c.highest, id)
	delete(c.unknown, id)
}

// forget makes room among the unknown ids: first the ones whose time is over, then all.
func (c *Client) forget() {
	if len(c.unknown) < maxUnknown {
		return
	}
	now := c.now()
	for id, r := range c.unknown {
		if !now.Before(r.until) {
			delete(c.unknown, id)
		}
	}
	if len(c.unknown) >= maxUnknown {
		clear(c.unknown)
	}
}

func parse(found sr.Schema) (*avro.Schema, error) {
	if found.Type != sr.TypeAvro {
		return nil, fmt.Errorf("%w: it is %s, not Avro", ErrUnknown, found.Type)
	}
	if len(found.References) > 0 {
		return nil, fmt.Errorf("%w: it refers to other schemas", ErrUnknown)
	}
	s, err := avro.Parse([]byte(found.Schema))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	own := catalogued()
	return s.Within(own.record, own.eventType), nil
}

// embedded is the catalogue of this build, which says what its records mean whatever the registry holds.
type embedded struct{ byName, byType map[string]*avro.Schema }

func (e *embedded) record(fullName string) *avro.Schema     { return e.byName[fullName] }
func (e *embedded) eventType(eventType string) *avro.Schema { return e.byType[eventType] }

var catalogued = sync.OnceValue(func() *embedded {
	e := &embedded{byName: map[string]*avro.Schema{}, byType: map[string]*avro.Schema{}}
	files, err := schemas.Files()
	if err != nil {
		panic(fmt.Sprintf("the embedded schemas can't be read: %v", err))
	}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			panic(fmt.Sprintf("embedded schema %s: %v", f.Path, err)) // a test parses each
		}
		e.byName[s.FullName()], e.byType[s.EventType()] = s, s
	}
	return e
})

// classify tells "there is none" from "no answer". A 404 without the registry's own code comes from something else
// that listens at the address, so it says nothing about the schema.
func (c *Client) classify(err error) error {
	if refused, ok := errors.AsType[*sr.ResponseError](err); ok {
		switch refused.ErrorCode {
		case codeSubjectNotFound, codeVersionNotFound, codeSchemaNotFound:
			return fmt.Errorf("%w: %.200s", ErrUnknown, refused.Message)
		}
		return fmt.Errorf("%w: status %d, code %d: %.200s", ErrUnavailable, refused.StatusCode, refused.ErrorCode, refused.Message)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// share runs fn once for all who ask for the same key at the same time. It runs to the limit, not to the deadline of
// the first caller; each waits only as long as its own context.
func share[T any](ctx context.Context, flights *singleflight.Group, key string, limit time.Duration, fn func(context.Context) (T, error)) (T, error) {
	done := flights.DoChan(key, func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		return fn(own)
	})
	select {
	case r := <-done:
		v, _ := r.Val.(T)
		return v, r.Err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}
