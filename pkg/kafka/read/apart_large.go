package read

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// bigRecord is a record beyond maxInflated of which the beginning was read.
type bigRecord struct {
	kept kmsg.Record
	rest *bounded // of the record, behind the part of the value that is kept
	next int64    // the offset behind it
	why  string
	read bool // what is kept of its headers, too
}

// beginLarge reads the key of a record that is beyond maxInflated, and what is kept of its value. The rest of the value is passed over in
// the turns that follow.
func (a *apart) beginLarge(length, offset int64) (*OversizeError, error) {
	b := &bigRecord{rest: &bounded{in: a.in, left: length}, next: offset + 1}
	b.why = fmt.Sprintf("it inflates to a record of %d bytes, more than %d", length, maxInflated)
	kept, beyond, err := b.rest.beginning()
	if errors.Is(err, errWindow) {
		return nil, err
	}
	b.kept = kept
	if err == nil {
		err = a.getPast(beyond)
	}
	if err != nil {
		return a.cutShort(b, err), nil
	}
	a.big = b
	return nil, nil
}

// endLarge reads what is kept of the headers, and ends the record when all of it was passed over.
func (a *apart) endLarge() (*OversizeError, error) {
	b := a.big
	if !b.read {
		left := b.rest.left
		headers, err := b.rest.headers()
		if errors.Is(err, errWindow) {
			b.rest.left = left
			return nil, err
		}
		b.kept.Headers, b.read = headers, true
		if err == nil {
			err = a.getPast(b.rest.left)
		}
		if err != nil {
			return a.cutShort(b, err), nil
		}
		return nil, nil
	}
	a.read++
	a.big = nil
	return a.stand(b), nil
}

// getPast lets n bytes of a record beyond maxInflated be passed over.
func (a *apart) getPast(n int64) error {
	if a.passed += n; a.passed > maxPassed {
		return errPassed
	}
	a.skip = n
	return nil
}

// cutShort refuses a record and all behind it in its batch.
func (a *apart) cutShort(b *bigRecord, err error) *OversizeError {
	a.read++
	a.big = nil
	b.next, b.why = a.end, b.why+"; what follows it in its batch is not read: "+a.why(err)
	if b.kept.Key == nil {
		return a.refuse(b.next, nil, b.why)
	}
	return a.stand(b)
}

// stand refuses a record of which the beginning is kept.
func (a *apart) stand(b *bigRecord) *OversizeError {
	recs := a.records(frame(b.kept), 1)
	if len(recs) == 0 {
		return a.refuse(b.next, nil, b.why)
	}
	return a.refuse(b.next, recs[0], fmt.Sprintf("%s; the first %d bytes of its value are kept", b.why, len(recs[0].Value)))
}

// crowded refuses a record whose headers would take more memory than a batch may.
func (a *apart) crowded(body []byte, offset int64) *OversizeError {
	b := &bigRecord{rest: &bounded{in: bufio.NewReader(bytes.NewReader(body)), left: int64(len(body))}, next: offset + 1}
	b.why = fmt.Sprintf("it has %d headers", countHeaders(body))
	kept, beyond, err := b.rest.beginning()
	if err == nil {
		_, err = io.CopyN(io.Discard, b.rest.in, beyond)
	}
	if err == nil {
		kept.Headers, _ = b.rest.headers()
	}
	b.kept = kept
	return a.stand(b)
}

// countHeaders is how many headers a record claims to have; 0 if it is malformed.
func countHeaders(body []byte) int {
	at := 1 // behind the attributes
	for range 2 {
		if at = behindVarint(body, at); at < 0 {
			return 0
		}
	}
	for range 2 { // the key and the value
		if at > len(body) {
			return 0
		}
		n, used := binary.Varint(body[at:])
		if used <= 0 || n > int64(len(body)-at-used) {
			return 0
		}
		at += used + int(max(n, 0))
	}
	n, used := binary.Varint(body[at:])
	if used <= 0 || n < 0 || n > int64(len(body)) {
		return 0
	}
	return int(n)
}

func behindVarint(b []byte, at int) int {
	if at > len(b) {
		return -1
	}
	_, used := binary.Varint(b[at:])
	if used <= 0 {
		return -1
	}
	return at + used
}

// frame is a record as in a batch, behind room for the batch's head.
func frame(k kmsg.Record) []byte {
	k.Length = 0
	k.Length = int32(len(k.AppendTo(nil)) - 1) // a length of 0 takes one byte
	return k.AppendTo(make([]byte, kafka.BatchOverhead))
}

// bounded reads the parts of one record.
type bounded struct {
	in   *bufio.Reader
	left int64
}

// ReadByte implements io.ByteReader.
func (r *bounded) ReadByte() (byte, error) {
	if r.left <= 0 {
		return 0, errRecord
	}
	r.left--
	return r.in.ReadByte()
}

func (r *bounded) int8() (int8, error) {
	b, err := r.ReadByte()
	return int8(b), err
}

// beginning reads a record up to the part of its value that is kept; beyond is how much of the value follows.
func (r *bounded) beginning() (k kmsg.Record, beyond int64, err error) {
	if k.Attributes, err = r.int8(); err != nil {
		return k, 0, err
	}
	if k.TimestampDelta64, err = binary.ReadVarint(r); err != nil {
		return k, 0, err
	}
	delta, err := binary.ReadVarint(r)
	if err != nil {
		return k, 0, err
	}
	k.OffsetDelta = int32(delta)
	key, beyond, err := r.bytes(maxKept)
	if err == nil && beyond > 0 {
		err = errPassed
	}
	if err != nil {
		return k, 0, err
	}
	if k.Key = key; key == nil {
		k.Key = []byte{}
	}
	k.Value, beyond, err = r.bytes(maxKept)
	return k, beyond, err
}

// bytes reads what stands behind its length, null as nil: up to keep bytes of it. It returns how many follow.
func (r *bounded) bytes(keep int64) (kept []byte, beyond int64, err error) {
	n, err := binary.ReadVarint(r)
	if err != nil || n < 0 {
		return nil, 0, err
	}
	if n > r.left {
		return nil, 0, errRecord
	}
	kept = make([]byte, min(n, keep))
	if _, err := io.ReadFull(r.in, kept); err != nil {
		return nil, 0, err
	}
	r.left -= n
	return kept, n - int64(len(kept)), nil
}

// headers reads the headers that follow the value, as many as are kept. What is left then follows.
func (r *bounded) headers() (out []kmsg.Header, err error) {
	n, err := binary.ReadVarint(r)
	if err != nil {
		return nil, err
	}
	for room := int64(maxKeptHeaders); n > 0 && room > 0; n-- {
		room -= recordCost
		key, value := []byte(nil), []byte(nil)
		for _, part := range []*[]byte{&key, &value} {
			var beyond int64
			if *part, beyond, err = r.bytes(max(room, 0)); err != nil {
				return out, err
			}
			if beyond > 0 {
				r.left += beyond // it is passed over with the rest
				return out, nil
			}
			room -= int64(len(*part))
		}
		if room >= 0 {
			out = append(out, kmsg.Header{Key: string(key), Value: value})
		}
	}
	return out, nil
}
