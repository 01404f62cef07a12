package kafka

import (
	"github.com/neuronx/engine/pkg/event"
)

// ToRecord makes the record of an event: key = tenant, binary CloudEvents headers, value as framed. Its partition is left
// to the producer.
func ToRecord(topic string, e *event.Event) *Record {
	return &Record{Topic: topic, Key: []byte(e.TenantID), Headers: event.HeadersAs[RecordHeader](e), Value: e.Value}
}

// ToRecords makes the records of events in one piece of memory.
func ToRecords(topic string, events []event.Event) []Record {
	recs := make([]Record, len(events))
	var key []byte
	for i := range events {
		e := &events[i]
		if string(key) != e.TenantID {
			key = []byte(e.TenantID)
		}
		recs[i] = Record{Topic: topic, Key: key, Headers: event.HeadersAs[RecordHeader](e), Value: e.Value}
	}
	return recs
}

// RecordedToRecord makes the log's record of an admitted event, for the partition that the event names.
func RecordedToRecord(r *event.Recorded) *Record {
	return &Record{
		Topic: TopicEvents, Partition: r.Partition,
		Key: []byte(r.TenantID), Headers: event.RecordedHeadersAs[RecordHeader](r), Value: r.Value,
	}
}

// ParseRecord reads an event from a record of ingress (or of a topic with the same form). What is wrong is a
// *event.Refusal. Value and extra headers share the record's memory, which pins the batch it was fetched in: copy what
// is kept.
func ParseRecord(r *Record) (event.Event, error) {
	return event.Parse(r.Key, fromHeaders(r.Headers), r.Value)
}

// ParseRecorded reads an event from a record of the log.
func ParseRecorded(r *Record) (event.Recorded, error) {
	rec, err := event.ParseRecorded(r.Key, fromHeaders(r.Headers), r.Value)
	rec.Partition, rec.Offset = r.Partition, r.Offset
	return rec, err
}

// Header returns the value of the first header of that name, and whether there is one.
func Header(r *Record, name string) (string, bool) {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value), true
		}
	}
	return "", false
}

func fromHeaders(hs []RecordHeader) []event.Header {
	out := make([]event.Header, len(hs))
	for i, h := range hs {
		out[i] = event.Header(h)
	}
	return out
}
