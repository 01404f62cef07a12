package consumer

import (
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// batch is one poll, taken apart.
type batch struct {
	spans      []span
	tenants    []string // in the order met
	events     map[string][]event.Recorded
	partitions map[string]int32
	letters    []DeadLetter
	unreadable []unreadable
}

// unreadable is a record of the log that is no event. The sequencer writes none, so somebody else did, or a bug.
type unreadable struct {
	partition int32
	offset    int64
	err       error
}

// takeApart sorts records by what they are. next says where each partition's row stands.
func takeApart(records []*kafka.Record, next map[kafka.TopicPartition]int64) batch {
	b := batch{events: map[string][]event.Recorded{}, partitions: map[string]int32{}}
	spans := map[kafka.TopicPartition]*span{}
	for _, r := range records {
		tp := kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}
		s := spans[tp]
		if s == nil {
			s = &span{topic: r.Topic, partition: r.Partition, from: next[tp], to: next[tp]}
			spans[tp] = s
		}
		if r.Offset < s.to {
			continue // read again by the client: this one was counted before
		}
		s.to = r.Offset + 1
		if r.Topic == kafka.TopicDeadLetter {
			b.letters = append(b.letters, parseDeadLetter(r))
			continue
		}
		e, err := kafka.ParseRecorded(r)
		if err != nil {
			b.unreadable = append(b.unreadable, unreadable{r.Partition, r.Offset, err})
			continue
		}
		e.Partition, e.Offset = r.Partition, r.Offset
		s.logID = e.LogID
		if _, ok := b.events[e.TenantID]; !ok {
			b.tenants = append(b.tenants, e.TenantID)
		}
		b.events[e.TenantID] = append(b.events[e.TenantID], e)
		b.partitions[e.TenantID] = r.Partition
	}
	for _, s := range spans {
		b.spans = append(b.spans, *s)
	}
	// One order for all, so that two members that meet on the same rows wait instead of deadlocking.
	slices.SortFunc(b.spans, func(x, y span) int {
		if x.topic != y.topic {
			if x.topic < y.topic {
				return -1
			}
			return 1
		}
		return int(x.partition - y.partition)
	})
	slices.Sort(b.tenants)
	return b
}

// parseDeadLetter reads what can be read: a dead letter may be anything, that is why it is one.
func parseDeadLetter(r *kafka.Record) DeadLetter {
	d := DeadLetter{Offset: -1, Partition: -1, Key: r.Key, Value: r.Value, LetterPartition: r.Partition, LetterOffset: r.Offset,
		LetterRecordTime: r.Timestamp.UTC()}
	own := make([]event.Header, 0, len(r.Headers))
	for _, h := range r.Headers {
		d.Headers = append(d.Headers, event.Header{Key: h.Key, Value: h.Value})
		v := string(h.Value)
		switch h.Key {
		case event.DeadCode:
			d.Code = v
		case event.DeadDetail:
			d.Detail = v
		case event.DeadTopic:
			d.Topic = v
		case event.DeadPartition:
			if n, err := strconv.ParseInt(v, 10, 32); err == nil {
				d.Partition = int32(n)
			}
		case event.DeadOffset:
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				d.Offset = n
			}
		case event.DeadRecordedTime:
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
				d.RecordedTime = t.UTC()
			}
		case event.DeadTenant:
			// The refused producer may have written it; the key decides, as it does in the sequencer.
		default:
			own = append(own, event.Header{Key: h.Key, Value: h.Value})
		}
	}
	if e, err := event.Parse(r.Key, own, r.Value); err == nil {
		d.Event = e
	} else {
		d.Event = partial(r.Key, own, r.Value)
	}
	if event.ValidTenant(string(r.Key)) {
		d.TenantID = string(r.Key)
	}
	return d
}

// partial fills in the attributes by which people find a dead letter whose headers do not parse as a whole.
func partial(key []byte, headers []event.Header, value []byte) event.Event {
	e := event.Event{TenantID: string(key), Value: value}
	for _, h := range headers {
		switch h.Key {
		case "ce_id":
			e.ID = string(h.Value)
		case "ce_type":
			e.Type = string(h.Value)
		case "ce_source":
			e.Source = string(h.Value)
		case "ce_subject":
			e.Subject = string(h.Value)
		case "ce_deriver":
			e.Deriver = string(h.Value)
		case "ce_derivernumber":
			if n, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				e.DeriverNumber = n
			}
		}
	}
	return e
}
