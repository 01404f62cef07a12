package archive

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
)

// Format is the number that Stored writes into every record. 1: the body is as in the log, nothing is encrypted.
const Format = 1

//go:embed stored_event.avsc
var schemaText []byte

// Schema returns the schema of the stored bytes, neuronx.core.v1.StoredEvent.
var Schema = sync.OnceValues(func() (*avro.Schema, error) { return avro.Parse(schemaText) })

// ErrFormat means that the bytes are of a format that this version does not know.
var ErrFormat = errors.New("unknown format of a stored event")

// Headers that are fields of StoredEvent of their own, and so are no attributes; ce_specversion and content-type are constants.
var ownFields = map[string]bool{
	"ce_specversion": true, "content-type": true, "ce_tenantid": true, "ce_id": true, "ce_source": true, "ce_type": true,
	"ce_subject": true, "ce_time": true, "ce_sequence": true, "ce_position": true, "ce_recordedtime": true, "ce_logid": true,
}

// Stored returns the bytes that the archive keeps of r, whose value was written with the schema of that fingerprint. It is pure.
// Times are kept in microseconds, which is what the log carries. The error is that of event.Unframe.
func Stored(r event.Recorded, fingerprint [32]byte) ([]byte, error) {
	id, body, err := event.Unframe(r.Value)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", r.ID, err)
	}
	attributes := make([]event.Header, 0, 16)
	size := 160 + len(r.ID) + len(r.Source) + len(r.Subject) + len(body)
	for _, h := range r.Headers() {
		if !ownFields[h.Key] {
			attributes = append(attributes, h)
			size += 20 + len(h.Key) + len(h.Value)
		}
	}
	slices.SortStableFunc(attributes, func(a, b event.Header) int { return strings.Compare(a.Key, b.Key) })

	b := make([]byte, 0, size)
	b = appendLong(b, Format)
	b = appendString(b, r.TenantID)
	b = appendLong(b, r.Sequence)
	b = appendLong(b, r.Position)
	b = appendLong(b, r.RecordedTime.UnixMicro())
	b = appendString(b, r.LogID)
	b = appendString(b, r.ID)
	b = appendString(b, r.Source)
	b = appendString(b, r.Type)
	b = appendString(b, r.Subject)
	if r.Time.IsZero() {
		b = appendLong(b, 0) // branch null
	} else {
		b = appendLong(b, 1)
		b = appendLong(b, r.Time.UnixMicro())
	}
	b = appendLong(b, int64(id))
	b = appendString(b, string(fingerprint[:]))
	if len(attributes) > 0 {
		b = appendLong(b, int64(len(attributes))) // one block; more would be another encoding of the same array
		for _, h := range attributes {
			b = appendString(b, h.Key)
			b = appendString(b, string(h.Value))
		}
	}
	b = appendLong(b, 0) // end of the array
	return appendString(b, string(body)), nil
}

// appendLong writes an Avro int or long: zigzag, then base-128 varint (Avro 1.12, Binary Encoding).
func appendLong(b []byte, v int64) []byte {
	return binary.AppendUvarint(b, uint64(v)<<1^uint64(v>>63)) //nolint:gosec // the bits, not the number
}

func appendString(b []byte, s string) []byte { return append(appendLong(b, int64(len(s))), s...) }

// ParseStored reads what Stored wrote: the event, whose value is framed with the schema id it had, and the fingerprint of its
// schema. Partition is -1 and Offset -1: the bytes do not say where the record stood. Bytes that are not exactly one StoredEvent are
// refused without cost beyond their size (avro.Schema.Decode); another format is ErrFormat.
func ParseStored(stored []byte) (r event.Recorded, fingerprint [32]byte, err error) {
	schema, err := Schema()
	if err != nil {
		return r, fingerprint, fmt.Errorf("parse schema of stored events: %w", err)
	}
	m, err := schema.Decode(stored)
	if err != nil {
		return r, fingerprint, fmt.Errorf("parse stored event: %w", err)
	}
	f := fields{m: m}
	if format := f.long("format"); format != Format {
		return r, fingerprint, fmt.Errorf("%w: %d", ErrFormat, format)
	}
	hash, schemaID := f.bytes("schema_sha256"), f.long("schema_id")
	if len(hash) != len(fingerprint) || schemaID < 1 || schemaID > 1<<31-1 {
		return r, fingerprint, errors.New("parse stored event: schema id or fingerprint is none")
	}
	copy(fingerprint[:], hash)
	headers := []event.Header{
		{Key: "ce_id", Value: []byte(f.text("id"))}, {Key: "ce_type", Value: []byte(f.text("type"))},
		{Key: "ce_sequence", Value: []byte(event.FormatNumber(f.long("sequence")))},
		{Key: "ce_position", Value: []byte(event.FormatNumber(f.long("position")))},
		{Key: "ce_recordedtime", Value: []byte(event.FormatTime(f.time("recorded_time")))},
		{Key: "ce_logid", Value: []byte(f.text("log_id"))},
	}
	for _, name := range []string{"source", "subject"} {
		if v := f.text(name); v != "" {
			headers = append(headers, event.Header{Key: "ce_" + name, Value: []byte(v)})
		}
	}
	if m["time"] != nil {
		headers = append(headers, event.Header{Key: "ce_time", Value: []byte(event.FormatTime(f.time("time")))})
	}
	for _, a := range f.list("attributes") {
		am, ok := a.(map[string]any)
		if !ok {
			return r, fingerprint, errors.New("parse stored event: attributes")
		}
		af := fields{m: am}
		headers = append(headers, event.Header{Key: af.text("name"), Value: af.bytes("value")})
		f.err = errors.Join(f.err, af.err)
	}
	tenant, body := f.text("tenant_id"), f.bytes("body")
	if f.err != nil {
		return r, fingerprint, fmt.Errorf("parse stored event: %w", f.err)
	}
	r, err = event.ParseRecorded([]byte(tenant), headers, event.Frame(int32(schemaID), body)) //nolint:gosec // in range
	if err != nil {
		return r, fingerprint, fmt.Errorf("parse stored event: %w", err)
	}
	r.ContentType, r.Partition, r.Offset = event.ContentTypeAvro, -1, -1
	// An event has one form: attributes out of order, or a header smuggled in as an attribute, would give two events one meaning.
	if again, err := Stored(r, fingerprint); err != nil || !bytes.Equal(again, stored) {
		return r, fingerprint, errors.New("parse stored event: not in the form that Stored writes")
	}
	return r, fingerprint, nil
}

// fields reads a decoded record; the first value of an unexpected kind is kept in err.
type fields struct {
	m   map[string]any
	err error
}

func get[T any](f *fields, name string) T {
	v, ok := f.m[name].(T)
	if !ok && f.err == nil {
		f.err = fmt.Errorf("field %s is %T", name, f.m[name])
	}
	return v
}

func (f *fields) long(name string) int64     { return get[int64](f, name) }
func (f *fields) text(name string) string    { return get[string](f, name) }
func (f *fields) bytes(name string) []byte   { return get[[]byte](f, name) }
func (f *fields) time(name string) time.Time { return get[time.Time](f, name) }
func (f *fields) list(name string) []any     { return get[[]any](f, name) }
