package badinput

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// Tape follows the log and the dead letters and remembers what was admitted when, and what was refused by which code.
type Tape struct {
	partitions int32

	mu       sync.Mutex
	changed  chan struct{}              // closed at every change
	admitted map[string]admittedAt      // by tenant/id
	refusals map[string]map[string]bool // codes and details, by place or id
	failed   error
}

type admittedAt struct {
	when   time.Time
	source string
}

// NewTape makes a tape for topics of so many partitions. Run fills it.
func NewTape(partitions int32) *Tape {
	return &Tape{partitions: partitions, changed: make(chan struct{}), admitted: map[string]admittedAt{}, refusals: map[string]map[string]bool{}}
}

// Run follows both topics from their start until ctx ends.
func (t *Tape) Run(ctx context.Context, cfg kafka.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- read.Follow(ctx, cfg, kafka.TopicEvents, true, t.event) }()
	go func() { done <- read.Follow(ctx, cfg, kafka.TopicDeadLetter, true, t.letter) }()
	err := <-done
	t.change(func() { t.failed = err })
	cancel()
	return errors.Join(err, <-done)
}

func (t *Tape) change(fn func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fn()
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Tape) event(r *kafka.Record) error {
	rec, err := kafka.ParseRecorded(r)
	if err != nil {
		return fmt.Errorf("offset %d of partition %d of the log: %w", r.Offset, r.Partition, err)
	}
	now := time.Now()
	t.change(func() { t.admitted[rec.TenantID+"/"+rec.ID] = admittedAt{now, rec.Source} })
	return nil
}

func byID(id string) string                        { return "id " + id }
func byPlace(partition int32, offset int64) string { return fmt.Sprintf("%d/%d", partition, offset) }
func byOrigin(forwarded string) string             { return "from " + forwarded }
func byMark(mark string) string                    { return "mark " + mark }

func (t *Tape) letter(r *kafka.Record) error {
	code, _ := kafka.Header(r, "nx_error_code")
	partition, _ := kafka.Header(r, "__connect.errors.partition")
	offset, _ := kafka.Header(r, "__connect.errors.offset")
	id, _ := kafka.Header(r, "ce_id")
	from, _ := kafka.Header(r, "neuronx-fwd")
	mark, _ := kafka.Header(r, marker)
	t.change(func() {
		for _, k := range []string{partition + "/" + offset, byID(id), byOrigin(from), byMark(mark)} {
			if t.refusals[k] == nil {
				t.refusals[k] = map[string]bool{}
			}
			t.refusals[k][code] = true
		}
	})
	return nil
}

// wait calls look under the lock at every change until it says true.
func (t *Tape) wait(ctx context.Context, look func() bool) error {
	for {
		t.mu.Lock()
		found, failed, changed := look(), t.failed, t.changed
		t.mu.Unlock()
		switch {
		case found:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Admitted waits until an event is in the log.
func (t *Tape) Admitted(ctx context.Context, tenant, id string) error {
	if err := t.wait(ctx, func() bool { _, ok := t.admitted[tenant+"/"+id]; return ok }); err != nil {
		return fmt.Errorf("event %s of %s is not in the log: %w", id, tenant, err)
	}
	return nil
}

// Outside counts the events of a tenant that came from outside the engine.
func (t *Tape) Outside(tenant string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for key, a := range t.admitted {
		if len(key) > len(tenant) && key[:len(tenant)+1] == tenant+"/" && (len(a.source) < 9 || a.source[:9] != "/neuronx/") {
			n++
		}
	}
	return n
}

// refused waits for a dead letter under one of the keys and compares its code.
func (t *Tape) refused(ctx context.Context, want event.Code, keys ...string) error {
	var codes map[string]bool
	err := t.wait(ctx, func() bool {
		for _, k := range keys {
			if codes = t.refusals[k]; len(codes) > 0 {
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("no dead letter of %s: %w", strings.Join(keys, ", "), err)
	}
	if !codes[string(want)] {
		return fmt.Errorf("refused as %v, want %s", codes, want)
	}
	return nil
}
