package reseed

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

const (
	page  = 500 // events of a tenant read at once
	batch = 1000
)

// cursor reads a tenant's events in order.
type cursor struct {
	tenant string
	to     int64
	next   int64
	buffer []event.Recorded
}

func (s *cursor) fill(ctx context.Context, reader *archive.Reader) error {
	if len(s.buffer) > 0 || s.next > s.to {
		return nil
	}
	events, err := stream.Next(ctx, reader, s.tenant, s.next, page)
	if errors.Is(err, stream.ErrGap) || err == nil && len(events) == 0 {
		return refuse("the archive lacks sequence %d of tenant %s, which ends at %d", s.next, s.tenant, s.to)
	}
	if err != nil {
		return err
	}
	s.buffer, s.next = events, s.next+int64(len(events))
	return nil
}

// merge hands out the events of many tenants in the order of their positions.
type merge []*cursor

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i].buffer[0].Position < m[j].buffer[0].Position }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*cursor)) } //nolint:errcheck // only cursors are pushed
func (m *merge) Pop() any {
	old := *m
	s := old[len(old)-1]
	*m = old[:len(old)-1]
	return s
}

// each calls fn for every event of the tenants, in order of position. Two with one position are two logs mixed.
func each(ctx context.Context, reader *archive.Reader, heads []archive.Head, fn func(*event.Recorded) error) error {
	m := merge{}
	for _, h := range heads {
		s := &cursor{tenant: h.Tenant, to: h.Sequence, next: 1}
		if err := s.fill(ctx, reader); err != nil {
			return err
		}
		if len(s.buffer) > 0 {
			m = append(m, s)
		}
	}
	heap.Init(&m)
	last := int64(0)
	for m.Len() > 0 {
		s := m[0]
		e := s.buffer[0]
		if e.Position <= last {
			return refuse("position %d of %s/%d is not above %d: the archive mixes two logs", e.Position, e.TenantID, e.Sequence, last)
		}
		last = e.Position
		if err := fn(&e); err != nil {
			return err
		}
		s.buffer = s.buffer[1:]
		if err := s.fill(ctx, reader); err != nil {
			return err
		}
		if len(s.buffer) == 0 {
			heap.Pop(&m)
		} else {
			heap.Fix(&m, 0)
		}
	}
	return nil
}

// write fills one partition of the log, goes on where an earlier run was interrupted, and makes the sequencer's state of it.
func (r *run) write(ctx context.Context, reader *archive.Reader, p *Partition, heads []archive.Head, rows []row) error {
	tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p.Partition}
	p.first = r.starts[tp]
	there, err := r.there(ctx, tp)
	if err != nil {
		return err
	}
	archived := map[string]int64{}
	for _, h := range heads {
		archived[h.Tenant] = h.Sequence
	}
	wanted := map[string]map[string]int64{} // tenant → consumer → sequence from which it reads on
	for _, x := range rows {
		if n := wants(x, archived[x.TenantID]); n > 0 {
			if wanted[x.TenantID] == nil {
				wanted[x.TenantID] = map[string]int64{}
			}
			if old := wanted[x.TenantID][x.Consumer]; old == 0 || n < old {
				wanted[x.TenantID][x.Consumer] = n
			}
		}
	}
	for _, h := range heads { // a tenant that a consumer has never met
		for _, consumer := range r.consumers {
			if !slices.ContainsFunc(rows, func(x row) bool { return x.Consumer == consumer && x.TenantID == h.Tenant }) {
				if wanted[h.Tenant] == nil {
					wanted[h.Tenant] = map[string]int64{}
				}
				wanted[h.Tenant][consumer] = 1
			}
		}
	}
	ingress := kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p.Partition}
	seed := admission.NewSeed(r.ids[kafka.TopicIngress], p.Partition, p.LogID, r.starts[ingress], r.opt.KeyWindow)
	var pending []*kafka.Record
	p.next = map[string]int64{}
	n := int64(0)
	err = each(ctx, reader, heads, func(e *event.Recorded) error {
		offset := p.first + n
		for consumer, from := range wanted[e.TenantID] {
			if _, ok := p.next[consumer]; !ok && e.Sequence == from {
				p.next[consumer] = offset
			}
		}
		seed.Add(e)
		p.Predecessor = e.LogID
		e.Partition = p.Partition
		if n++; n <= int64(len(there)) {
			if there[n-1] != name(e) {
				return refuse("%s-%d holds %s at offset %d, the archive has %s there: the topic is not empty and not of an interrupted reseed",
					tp.Topic, tp.Partition, there[n-1], offset, name(e))
			}
			return nil
		}
		p.Written++
		if pending = append(pending, kafka.RecordedToRecord(e)); len(pending) < batch {
			return nil
		}
		err := r.producer.Produce(ctx, pending...)
		pending = pending[:0:0]
		return err
	})
	if err == nil && len(pending) > 0 {
		err = r.producer.Produce(ctx, pending...)
	}
	if err != nil {
		return fmt.Errorf("write partition %d: %w", p.Partition, err)
	}
	if int64(len(there)) > n {
		return refuse("%s-%d holds %d events, the archive has %d for it", tp.Topic, tp.Partition, len(there), n)
	}
	p.Events = n
	return r.seal(ctx, p, seed, heads)
}

// seal checks the end of the partition and takes the state's records.
func (r *run) seal(ctx context.Context, p *Partition, seed *admission.Seed, heads []archive.Head) error {
	ends, err := r.admin.EndOffsets(ctx, admin.ReadUncommitted, kafka.TopicEvents, kafka.TopicDeadLetter)
	if err != nil {
		return err
	}
	end := ends[kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p.Partition}]
	if end != p.first+p.Events {
		return fmt.Errorf("partition %d ends at %d, not at %d: somebody else writes to the log, or an answer was lost; run it again",
			p.Partition, end, p.first+p.Events)
	}
	for _, consumer := range r.consumers {
		if _, ok := p.next[consumer]; !ok {
			p.next[consumer] = end
		}
	}
	p.derivers = map[[2]string]int64{}
	for _, h := range heads {
		refused, err := r.refusedNumbers(ctx, h.Tenant)
		if err != nil {
			return err
		}
		for deriver, number := range refused {
			seed.Refused(h.Tenant, deriver, number)
		}
		for _, deriver := range event.Derivers() {
			p.derivers[[2]string{h.Tenant, deriver}] = 0
		}
		for deriver, number := range seed.Numbers(h.Tenant) {
			p.derivers[[2]string{h.Tenant, deriver}] = number
		}
	}
	p.Keys = seed.Keys()
	if p.Events > 0 {
		p.records = admission.Snapshot(seed.State(end, ends[kafka.TopicPartition{Topic: kafka.TopicDeadLetter, Partition: p.Partition}]))
	}
	return nil
}

// refusedNumbers are the highest numbers of derived events that lie in the dead letters under the engine's own signature: they are used
// up, though the log does not show them.
func (r *run) refusedNumbers(ctx context.Context, tenant string) (map[string]int64, error) {
	rows, err := r.db.Query(ctx, `SELECT key, headers, value FROM neuronx.dead_letters WHERE tenant_id = $1 AND deriver <> '' AND deriver_number > 0`, tenant)
	if err != nil {
		return nil, fmt.Errorf("look for refused derived events: %w", err)
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var key, headers, value []byte
		if err := rows.Scan(&key, &headers, &value); err != nil {
			return nil, fmt.Errorf("look for refused derived events: %w", err)
		}
		all, err := archive.DecodeHeaders(headers)
		if err != nil {
			continue
		}
		own := slices.DeleteFunc(all, func(h event.Header) bool { return event.OfDeadLetter(h.Key) })
		e, err := event.Parse(key, own, value)
		if err != nil {
			continue
		}
		if ok, err := r.opt.Keys.Verify(&e); ok && err == nil && e.TenantID == tenant {
			out[e.Deriver] = max(out[e.Deriver], e.DeriverNumber)
		}
	}
	return out, rows.Err()
}

// there lists what a partition of the log holds.
func (r *run) there(ctx context.Context, tp kafka.TopicPartition) ([]string, error) {
	var out []string
	err := read.Range(ctx, r.opt.Kafka, tp.Topic, tp.Partition, r.starts[tp], r.ends[tp], func(rec *kafka.Record) error {
		e, err := kafka.ParseRecorded(rec)
		if err != nil {
			return refuse("%s-%d holds something that is no event at offset %d", tp.Topic, tp.Partition, rec.Offset)
		}
		if rec.Offset != r.starts[tp]+int64(len(out)) {
			return refuse("%s-%d was written by transactions: it is not of an interrupted reseed", tp.Topic, tp.Partition)
		}
		out = append(out, name(&e))
		return nil
	})
	var refused *Refused
	if err != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("read what is there: %w", err)
	}
	return out, err
}

func name(e *event.Recorded) string {
	return fmt.Sprintf("%s/%d %s of log %s", e.TenantID, e.Sequence, e.ID, e.LogID)
}
