package statelog

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// Stray is what was found of others' records in a partition of the state topic.
type Stray struct {
	Partition int32
	Records   int64
	Offset    int64  // of the first
	Why       string // it is none of ours
}

// TornError is one of the sequencer's own records that does not follow from those before it, or can't be read.
type TornError struct{ Err error }

func (e *TornError) Error() string { return e.Err.Error() }

// Unwrap gives a NewerError or a FullError, if it is one.
func (e *TornError) Unwrap() error { return e.Err }

// Load folds the records that read passes to its argument, in order. keys made the records' seals; nil: seals are not looked at. Records
// that others wrote are ignored and noted. An error is a TornError, or read's own.
func Load(l *admission.Loader, keys *event.Keyring, readOne func(func(*kafka.Record) error) error) (Stray, error) {
	r := stateReader{Loader: l, keys: keys, stray: Stray{Partition: l.Partition}}
	err := readOne(func(rec *kafka.Record) error {
		if err := r.add(rec); err != nil {
			return &TornError{err}
		}
		return nil
	})
	if err == nil && !r.Whole() {
		err = &TornError{errors.New("the state topic ends in the middle of a snapshot")}
	}
	return r.stray, err
}

// topic is neuronx.sequencer.state between two offsets of each partition: the first, and the last stable one.
type topic struct {
	cfg        kafka.Config
	keys       *event.Keyring
	ingress    [16]byte
	start, end map[kafka.TopicPartition]int64
}

func openTopic(ctx context.Context, cfg kafka.Config, keys *event.Keyring) (*topic, error) {
	adm, err := admin.New(cfg)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	ids, err := adm.TopicIDs(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, err
	}
	end, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicState)
	if err != nil {
		return nil, err
	}
	start, err := adm.StartOffsets(ctx, kafka.TopicState)
	return &topic{cfg: cfg, keys: keys, ingress: ids[kafka.TopicIngress], start: start, end: end}, err
}

func (t *topic) partitions() int32 { return int32(len(t.end)) }

// load needs about as much memory as the keys of the partition.
func (t *topic) load(ctx context.Context, partition int32) (*admission.State, Stray, error) {
	tp := kafka.TopicPartition{Topic: kafka.TopicState, Partition: partition}
	l := &admission.Loader{TopicID: t.ingress, Partition: partition, Trimmed: t.start[tp] > 0}
	stray, err := Load(l, t.keys, func(fn func(*kafka.Record) error) error {
		return read.Range(ctx, t.cfg, tp.Topic, tp.Partition, t.start[tp], t.end[tp], fn)
	})
	if err != nil {
		err = fmt.Errorf("read the state of partition %d: %w", partition, err)
	}
	return l.State, stray, err
}

// Strays looks for records in neuronx.sequencer.state that are not the sequencer's. It ends with ctx, and then answers with what it has
// found; whole tells whether it has read all.
func Strays(ctx context.Context, cfg kafka.Config, keys *event.Keyring) (found []Stray, whole bool, err error) {
	t, err := openTopic(ctx, cfg, keys)
	if err != nil {
		return nil, false, fmt.Errorf("look for strays: %w", err)
	}
	for p := range t.partitions() {
		_, stray, err := t.load(ctx, p)
		if stray.Records > 0 {
			found = append(found, stray)
		}
		if err != nil && ctx.Err() != nil {
			return found, false, nil
		}
		if err != nil {
			return found, false, err
		}
	}
	return found, true, nil
}

// Ledgers reads the counts that the sequencers keep, up to the last stable offset, by tenant. Records whose tenant is unreadable, or
// unknown to the partition in which they came, are under "".
func Ledgers(ctx context.Context, cfg kafka.Config) (map[string]admission.Counts, error) {
	t, err := openTopic(ctx, cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	out := map[string]admission.Counts{}
	for p := range t.partitions() {
		s, _, err := t.load(ctx, p)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		for name, t := range s.Tenants {
			out[name] = out[name].Plus(t.Counts)
		}
	}
	return out, nil
}

// LastNumbers reads the last number that each deriver of a tenant has used up, up to the last stable offset. A tenant that is not there
// has none.
func LastNumbers(ctx context.Context, cfg kafka.Config, keys *event.Keyring, tenant string) (map[string]int64, error) {
	t, err := openTopic(ctx, cfg, keys)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	all := map[string]map[string]int64{}
	if err := t.numbers(ctx, kafka.PartitionFor([]byte(tenant), t.partitions()), all); err != nil {
		return nil, err
	}
	if all[tenant] == nil {
		return map[string]int64{}, nil
	}
	return all[tenant], nil
}

// AllNumbers is LastNumbers of every tenant, by tenant. It reads one partition after the other.
func AllNumbers(ctx context.Context, cfg kafka.Config, keys *event.Keyring) (map[string]map[string]int64, error) {
	t, err := openTopic(ctx, cfg, keys)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	all := map[string]map[string]int64{}
	for p := range t.partitions() {
		if err := t.numbers(ctx, p, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// numbers adds those of a partition's tenants to all.
func (t *topic) numbers(ctx context.Context, partition int32, all map[string]map[string]int64) error {
	s, _, err := t.load(ctx, partition)
	if err != nil || s == nil {
		return err
	}
	for name, t := range s.Tenants {
		all[name] = maps.Clone(t.Derivers)
	}
	return nil
}
