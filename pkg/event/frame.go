package event

import "encoding/binary"

// MaxValue is the largest value of an ingress record, in bytes; the ingress topic takes records of 1 MiB with their headers.
const MaxValue = 1 << 20

const frameHeader = 5

// Frame puts Confluent's header, a zero byte and the schema id in four bytes big-endian, before an Avro body.
func Frame(schemaID int32, body []byte) []byte {
	out := make([]byte, frameHeader+len(body))
	binary.BigEndian.PutUint32(out[1:], uint32(schemaID))
	copy(out[frameHeader:], body)
	return out
}

// AppendFrame appends that header to dst, for a body to follow.
func AppendFrame(dst []byte, schemaID int32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(schemaID))
}

// Unframe splits a value into schema id and Avro body, which shares the value's memory. A value that is empty or not framed is a
// *Refusal.
func Unframe(value []byte) (schemaID int32, body []byte, err error) {
	if len(value) == 0 {
		return 0, nil, Refuse(CodeEmptyValue, "the record has no value").Hint("an event's value is Avro in Confluent's framing; tombstones are not events")
	}
	if len(value) < frameHeader || value[0] != 0 {
		return 0, nil, Refuse(CodeInvalidFraming, "the value does not begin with 0x00 and a four-byte schema id").Hint("serialize with a Confluent Avro serializer, schema id in the payload")
	}
	id := binary.BigEndian.Uint32(value[1:])
	if id == 0 || id > 1<<31-1 {
		return 0, nil, Refuse(CodeInvalidFraming, "schema id %d is out of range", id)
	}
	return int32(id), value[frameHeader:], nil
}
