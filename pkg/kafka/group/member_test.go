package group_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/group"
)

// member is a running Group that collects what it is given.
type member struct {
	*group.Consumer
	stop context.CancelFunc
	err  chan error

	mu   sync.Mutex
	seen map[int32][]int64 // offsets by partition
	tick int
	hold func([]*kafka.Record) error // called for every batch, if set
}

func join(t *testing.T, cfg group.Config, hold func([]*kafka.Record) error) *member {
	t.Helper()
	if cfg.Group == "" {
		cfg.Group = "g"
	}
	if cfg.Topics == nil {
		cfg.Topics = []string{"t"}
	}
	g, err := group.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Consumer: g, stop: cancel, err: make(chan error, 1), seen: make(map[int32][]int64), hold: hold}
	go func() { m.err <- g.Run(ctx, m.handle) }()
	t.Cleanup(func() { cancel(); m.err <- <-m.err })
	return m
}

func (m *member) handle(_ context.Context, batch []*kafka.Record) error {
	m.mu.Lock()
	if batch == nil {
		m.tick++
	}
	for _, r := range batch {
		m.seen[r.Partition] = append(m.seen[r.Partition], r.Offset)
	}
	m.mu.Unlock()
	if m.hold != nil && batch != nil {
		return m.hold(batch)
	}
	return nil
}

func (m *member) leave(t *testing.T) {
	t.Helper()
	m.stop()
	err := <-m.err
	m.err <- err
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
}

func (m *member) count() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, offsets := range m.seen {
		n += len(offsets)
	}
	return n
}

func (m *member) offsets(p int32) []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen[p])
}

func committed(t *testing.T, adm *admin.Client, grp string) map[int32]kafka.Committed {
	t.Helper()
	all, err := adm.Committed(context.Background(), grp)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[int32]kafka.Committed)
	for tp, c := range all {
		out[tp.Partition] = c
	}
	return out
}

func upTo(from, to int64) []int64 {
	var out []int64
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func gather(t *testing.T, reg *prometheus.Registry) func(func(string, float64) bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string, float64) bool) {
		for _, f := range families {
			for _, m := range f.Metric {
				if !yield(f.GetName(), m.GetGauge().GetValue()) {
					return
				}
			}
		}
	}
}
