package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
)

// recordVersion is the first byte of a stored record. A newer form gets a new number, and this one stays readable: rows outlive
// the binary that wrote them.
const recordVersion = 1

// ErrNewer says that a row was written by a newer build than this one, in a format that it does not know.
var ErrNewer = errors.New("outbox: the record was written by a newer build")

// MaxRecord is the largest stored record, in bytes: what ingress takes (1 MiB), less its framing and the signature.
const MaxRecord = 1<<20 - 2048

// encodeRecord stores an event without its signature: version, number of headers, each name and value with its length, then the
// value. Lengths are unsigned varints.
func encodeRecord(e *event.Event) ([]byte, error) {
	unsigned := *e
	unsigned.Signature = ""
	headers := unsigned.Headers()
	out := binary.AppendUvarint([]byte{recordVersion}, uint64(len(headers)))
	for _, h := range headers {
		out = binary.AppendUvarint(out, uint64(len(h.Key)))
		out = append(out, h.Key...)
		out = binary.AppendUvarint(out, uint64(len(h.Value)))
		out = append(out, h.Value...)
	}
	out = append(out, e.Value...)
	if len(out) > MaxRecord {
		return nil, event.Refuse(event.CodeTooLarge, "the derived event %s has %d bytes, more than %d", e.Type, len(out), MaxRecord)
	}
	return out, nil
}

var errRecord = errors.New("not a stored record")

// Decode reads what encodeRecord wrote: the event of a row's record, as it will be sent but for the signature.
func Decode(tenant string, b []byte) (event.Event, error) {
	switch {
	case len(b) == 0 || b[0] == 0:
		return event.Event{}, fmt.Errorf("%w: it has no version", errRecord)
	case b[0] > recordVersion:
		return event.Event{}, fmt.Errorf("%w: format %d, this one reads up to %d; the row waits for a sender of that build", ErrNewer, b[0], recordVersion)
	}
	count, b, err := readUvarint(b[1:])
	if err != nil || count > uint64(len(b)) {
		return event.Event{}, errRecord
	}
	headers := make([]event.Header, 0, min(count, 64))
	for range count {
		var key, value []byte
		if key, b, err = readBytes(b); err != nil {
			return event.Event{}, err
		}
		if value, b, err = readBytes(b); err != nil {
			return event.Event{}, err
		}
		headers = append(headers, event.Header{Key: string(key), Value: value})
	}
	e, err := event.ParseExact([]byte(tenant), headers, b)
	if err != nil {
		return event.Event{}, fmt.Errorf("read stored record: %w", err)
	}
	return e, nil
}

func readUvarint(b []byte) (uint64, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, errRecord
	}
	return n, b[size:], nil
}

func readBytes(b []byte) ([]byte, []byte, error) {
	n, b, err := readUvarint(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, errRecord
	}
	return b[:n], b[n:], nil
}
