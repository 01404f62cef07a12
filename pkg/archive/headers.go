package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/neuronx/engine/pkg/event"
)

// EncodeHeaders writes headers of any bytes: for each its key and its value, each behind its length as a varint. It is how
// neuronx.dead_letters keeps them; JSON would change keys that are not UTF-8.
func EncodeHeaders(headers []event.Header) []byte {
	b := []byte{} // no headers are no NULL
	for _, h := range headers {
		b = binary.AppendUvarint(b, uint64(len(h.Key)))
		b = append(b, h.Key...)
		b = binary.AppendUvarint(b, uint64(len(h.Value)))
		b = append(b, h.Value...)
	}
	return b
}

// DecodeHeaders reads what EncodeHeaders wrote.
func DecodeHeaders(b []byte) ([]event.Header, error) {
	var out []event.Header
	next := func() ([]byte, bool) {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, false
		}
		part := b[w : w+int(n)] //nolint:gosec // bounded by len(b)
		b = b[w+int(n):]        //nolint:gosec // bounded by len(b)
		return part, true
	}
	for len(b) > 0 {
		key, ok := next()
		if !ok {
			return nil, errors.New("decode headers: a key is cut off")
		}
		value, ok := next()
		if !ok {
			return nil, errors.New("decode headers: a value is cut off")
		}
		out = append(out, event.Header{Key: string(key), Value: value})
	}
	return out, nil
}

// HashLetter is the SHA-256 over what was received of a dead letter: key, encoded headers and value, each behind its length.
func HashLetter(key, headers, value []byte) [32]byte {
	h := sha256.New()
	for _, part := range [][]byte{key, headers, value} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}
