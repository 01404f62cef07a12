package sequencer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

const (
	schemaTimeout   = 5 * time.Second
	unknownFor      = time.Minute // an id that the registry does not know is asked for again after that
	unavailableFor  = time.Second
	maxCachedErrors = 10_000 // ids that a hostile producer makes up must not fill the memory
	maxAhead        = 64     // look-ups under way at once for records that are not at the head of their partition
)

// schemaCache answers at once: what it does not know it asks the registry for in the background, and says "unavailable" meanwhile.
type schemaCache struct {
	source Schemas
	ctx    context.Context
	close  context.CancelFunc

	mu      sync.Mutex
	found   map[int32]admission.Schema
	failed  map[int32]failedLookup
	pending map[int32]bool
	ended   int // look-ups, plus one
	wake    func()
}

type failedLookup struct {
	err   error
	until time.Time
}

func newSchemaCache(source Schemas) *schemaCache {
	ctx, cancel := context.WithCancel(context.Background())
	return &schemaCache{source: source, ctx: ctx, close: cancel, found: map[int32]admission.Schema{}, failed: map[int32]failedLookup{}, pending: map[int32]bool{}, ended: 1}
}

func (c *schemaCache) onLoaded(wake func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake = wake
}

// generation changes, and is never 0, when a look-up ends.
func (c *schemaCache) generation() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *schemaCache) get(id int32) (admission.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.found[id]; ok {
		return s, nil
	}
	if f, ok := c.failed[id]; ok {
		if time.Now().Before(f.until) {
			return nil, f.err
		}
		delete(c.failed, id)
	}
	c.begin(id)
	return nil, errors.Join(admission.ErrUnavailable, admission.ErrLoading)
}

// begin starts a look-up unless one is under way. c.mu is held.
func (c *schemaCache) begin(id int32) {
	if !c.pending[id] {
		c.pending[id] = true
		go c.load(id)
	}
}

// ahead starts the look-ups of records that wait behind one whose schema is being looked up. Otherwise a partition would wait, and then
// commit a transaction of its own, for each unknown id in turn: a producer that makes up an id a record would hold up everybody's
// events behind its own at a handful of records a second.
func (c *schemaCache) ahead(recs []*kafka.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, r := range recs {
		if len(c.pending) >= maxAhead {
			return
		}
		id, _, err := event.Unframe(r.Value)
		if err != nil || c.found[id] != nil {
			continue
		}
		if f, ok := c.failed[id]; ok && now.Before(f.until) {
			continue
		}
		c.begin(id)
	}
}

// versions lists the numbers of a schema's record, if the registry's client knows them.
func (c *schemaCache) versions(id int32) []int32 {
	if v, ok := c.source.(interface{ Versions(id int32) []int32 }); ok {
		return v.Versions(id)
	}
	return nil
}

// lookups is get for one transaction, which does not lock again for the schema that it was asked for last.
func (c *schemaCache) lookups() func(int32) (admission.Schema, error) {
	var last admission.Schema
	var lastID int32
	return func(id int32) (admission.Schema, error) {
		if last != nil && id == lastID {
			return last, nil
		}
		s, err := c.get(id)
		if err == nil {
			last, lastID = s, id
		}
		return s, err
	}
}

func (c *schemaCache) load(id int32) {
	ctx, cancel := context.WithTimeout(c.ctx, schemaTimeout)
	defer cancel()
	schema, err := c.source.SchemaByID(ctx, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
	c.ended++
	f := failedLookup{err: err, until: time.Now().Add(unknownFor)}
	switch {
	case err == nil:
		c.found[id] = schema
	case errors.Is(err, registry.ErrUnknown):
		f.err = admission.ErrUnknownSchema
	case errors.Is(err, registry.ErrUnavailable), ctx.Err() != nil:
		f = failedLookup{err: errors.Join(admission.ErrUnavailable, err), until: time.Now().Add(unavailableFor)}
	}
	if err != nil {
		if len(c.failed) >= maxCachedErrors {
			clear(c.failed)
		}
		c.failed[id] = f
	}
	if c.wake != nil {
		c.wake()
	}
}
