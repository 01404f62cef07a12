package kafka

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"github.com/twmb/franz-go/pkg/kmsg"
	"io"
)

// large reads what is kept of a record that is beyond maxInflated.
func (a *apart) large(length, offset int64) *OversizeError {
	why := fmt.Sprintf("it inflates to a record of %d bytes, more than %d", length, maxInflated)
	rec, err := a.keep(length)
	a.read++
	next := offset + 1
	if err != nil {
		next, why = a.end, why+"; what follows it in its batch is not read: "+a.why(err)
	}
	if rec == nil {
		return a.refuse(next, nil, why)
	}
	return a.refuse(next, rec, fmt.Sprintf("%s; the first %d bytes of its value are kept", why, len(rec.Value)))
}

// keep reads a record's key and headers, and the beginning of its value; rec is nil if not even the key can be read.
func (a *apart) keep(length int64) (rec *Record, err error) {
	r := &bounded{in: a.in, left: length}
	var k kmsg.Record
	if k.Attributes, err = r.int8(); err == nil {
		k.TimestampDelta64, err = binary.ReadVarint(r)
	}
	if err == nil {
		var delta int64
		delta, err = binary.ReadVarint(r)
		k.OffsetDelta = int32(delta)
	}
	if err == nil {
		k.Key, _, err = r.bytes(maxKept, 0)
	}
	if err != nil {
		return nil, err
	}
	var passed int64
	k.Value, passed, err = r.bytes(maxKept, maxPassed-a.passed)
	a.passed += passed
	if err == nil {
		k.Headers, err = r.headers()
	}
	if err == nil && r.left > 0 {
		err = errRecord
	}
	if recs := a.records(frame(k), 1); len(recs) > 0 {
		rec = recs[0]
	}
	return rec, err
}

// frame is a record as in a batch, behind room for the batch's head.
func frame(k kmsg.Record) []byte {
	k.Length = 0
	k.Length = int32(len(k.AppendTo(nil)) - 1) // a length of 0 takes one byte
	return k.AppendTo(make([]byte, batchOverhead))
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

// bytes reads what stands behind its length, null as nil: up to keep bytes of it. It passes over up to pass more and returns how many.
func (r *bounded) bytes(keep, pass int64) (kept []byte, passed int64, err error) {
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
	rest := n - int64(len(kept))
	if rest > pass {
		return kept, 0, errPassed
	}
	passed, err = io.CopyN(io.Discard, r.in, rest)
	return kept, passed, err
}

// headers reads the headers that follow the value, as many as are kept.
func (r *bounded) headers() (out []kmsg.Header, err error) {
	n, err := binary.ReadVarint(r)
	if err != nil {
		return nil, err
	}
	for kept := 0; n > 0; n-- {
		key, _, err := r.bytes(maxKeptHeaders, 0)
		if err != nil {
			return out, err
		}
		value, _, err := r.bytes(maxKeptHeaders, maxKeptHeaders)
		if err != nil {
			return out, err
		}
		if kept += len(key) + len(value) + recordCost; kept <= maxKeptHeaders {
			out = append(out, kmsg.Header{Key: string(key), Value: value})
		}
	}
	return out, nil
}
