// Package sequencertest makes schemas and events for the tests of the sequencer's packages.
package sequencertest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
)

// Catalogue is the embedded schemas under ids from 1, in the order of their paths. It can be switched off.
type Catalogue struct {
	ByID   map[int32]*avro.Schema
	ByType map[string]int32
	mu     sync.Mutex
	down   bool
}

func NewCatalogue() *Catalogue {
	files, err := schemas.Files()
	if err != nil {
		panic(err)
	}
	slices.SortFunc(files, func(a, b schemas.File) int { return cmp.Compare(a.Path, b.Path) })
	c := &Catalogue{ByID: map[int32]*avro.Schema{}, ByType: map[string]int32{}}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			panic(fmt.Errorf("%s: %w", f.Path, err))
		}
		c.ByID[int32(i+1)] = s
		c.ByType[s.EventType()] = int32(i + 1)
	}
	return c
}

func (c *Catalogue) SetDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *Catalogue) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, registry.ErrUnavailable
	}
	s := c.ByID[id]
	if s == nil {
		return nil, registry.ErrUnknown
	}
	return s, nil
}

// Value encodes data of a type, framed.
func (c *Catalogue) Value(typ string, data map[string]any) []byte {
	id := c.ByType[typ]
	body, err := c.ByID[id].EncodeMap(data)
	if err != nil {
		panic(fmt.Errorf("%s: %w", typ, err))
	}
	return event.Frame(id, body)
}

var Schemas = NewCatalogue()

// Made returns an outside event.
func Made(tenant, id, typ string, data map[string]any) *event.Event {
	subject := "lead/1"
	if lead, ok := data["lead_id"].(string); ok {
		subject = "lead/" + lead
	}
	return &event.Event{TenantID: tenant, ID: id, Source: "/test", Type: typ, Subject: subject, Time: time.UnixMilli(1_700_000_000_000).UTC(), Value: Schemas.Value(typ, data)}
}

// Lead returns an outside event about a lead of its own. The lead's id is not the event's, which may be 0: that names no record.
func Lead(tenant, id string) *event.Event {
	return Made(tenant, id, "lead.created", map[string]any{"lead_id": "L" + id})
}

func Signed(k *event.Keyring, e *event.Event) *event.Event {
	k.Sign(e)
	return e
}

func Created(k *event.Keyring, tenant string) *event.Event {
	e := Made(tenant, "created-"+tenant, "tenant.created", map[string]any{"name": tenant})
	e.Subject = "tenant/" + tenant
	return Signed(k, e)
}

func Derived(k *event.Keyring, tenant, id string, number int64, change ...func(*event.Event)) *event.Event {
	e := Lead(tenant, id)
	e.Deriver, e.DeriverNumber, e.Hops, e.CausationID = "rules", number, 1, "cause"
	for _, c := range change {
		c(e)
	}
	return Signed(k, e)
}

func TenantEvent(k *event.Keyring, tenant, id, typ string) *event.Event {
	return Signed(k, Made(tenant, id, typ, map[string]any{}))
}

// Waited is an outside event that somebody waits for, signed as the HTTP endpoint does.
func Waited(k *event.Keyring, tenant, id, waiter string) *event.Event {
	e := Lead(tenant, id)
	e.Receipt, e.Fingerprint = waiter, strings.Repeat("0a", 32)
	return Signed(k, e)
}

func CPUTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The jobs key_window and restore of e2e/bench run these with NEURONX_BENCH_KEYS=5000000.

func BenchKeys(b *testing.B) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("NEURONX_BENCH_KEYS"), "1000000"))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// Now is the time of the tests, in ms since 1970.
const Now = int64(1_764_000_000_000)
