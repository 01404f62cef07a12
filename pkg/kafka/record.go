package kafka

import (
	"unsafe"

	"github.com/neuronx/engine/pkg/event"
)

// ToRecord makes the record of an event: key = tenant, binary CloudEvents headers, value as framed. Its partition is left
// to the producer.
func ToRecord(topic string, e *event.Event) *Record {
	return &Record{Topic: topic, Key: []byte(e.TenantID), Headers: event.HeadersAs[RecordHeader](e), Value: e.Value}
}

// ToRecords makes the records of events in one piece of memory. They share that of the events' attributes.
func ToRecords(topic string, events []event.Event) []Record {
	recs, pages := make([]Record, len(events)), event.PagesFor[RecordHeader](events)
	var key []byte
	for i := range events {
		e := &events[i]
		if string(key) != e.TenantID {
			key = []byte(e.TenantID)
		}
		recs[i] = Record{Topic: topic, Key: key, Headers: pages.Event(e), Value: e.Value}
	}
	return recs
}

// RecordedToRecord makes the log's record of an admitted event, for the partition that the event names.
func RecordedToRecord(r *event.Recorded) *Record {
	return &Record{Topic: TopicEvents, Partition: r.Partition, Key: []byte(r.TenantID), Headers: event.RecordedHeadersAs[RecordHeader](r), Value: r.Value}
}

// Pages has the headers of many records.
type Pages = event.Pages[RecordHeader]

// FillRecorded is RecordedToRecord for a record that is there already and a key that needs no copy: the tenant's id. The record shares the
// memory of the event's attributes.
func FillRecorded(rec *Record, r *event.Recorded, key []byte, pages *Pages) {
	*rec = Record{Topic: TopicEvents, Partition: r.Partition, Key: key, Headers: pages.Recorded(r), Value: r.Value}
}

// ParseRecord reads an event from a record of ingress (or of a topic with the same form). What is wrong is a
// *event.Refusal. Value and extra headers share the record's memory, which pins the batch it was fetched in: copy what
// is kept.
func ParseRecord(r *Record) (event.Event, error) {
	return event.Parse(r.Key, FromHeaders(r.Headers), r.Value)
}

// ParseRecorded reads an event from a record of the log.
func ParseRecorded(r *Record) (event.Recorded, error) {
	rec, err := event.ParseRecorded(r.Key, FromHeaders(r.Headers), r.Value)
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

// FromHeaders gives a record's headers the other name, without copying: every record passes here on its way in. The two types are
// convertible (which the compiler checks below), so they are laid out alike.
func FromHeaders(hs []RecordHeader) []event.Header {
	return unsafe.Slice((*event.Header)(unsafe.Pointer(unsafe.SliceData(hs))), len(hs)) //nolint:gosec // see above
}

var _ = event.Header(RecordHeader{})
