package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strconv"
	"sync"

	"github.com/google/uuid"
)

var namespace = uuid.MustParse("6f1f6b5e-6c1c-4d53-9a2e-5b1f0a7f3c11")

// DerivedID is the UUIDv5 (RFC 9562, 5.5) of a tenant and parts: the same parts give the same id, for ever, on every machine.
func DerivedID(tenant string, parts ...string) string {
	b := appendPart(nil, tenant)
	for _, p := range parts {
		b = appendPart(b, p)
	}
	return uuid.NewSHA1(namespace, b).String()
}

// KeyID is the id of an event that brought an Idempotency-Key and no id, by HTTP as by Kafka: a retry names the same event.
func KeyID(tenant, key string) string { return DerivedID(tenant, key) }

// RecordID is the id of a bare Kafka record that brought none: its topic's id, partition and offset decide.
func RecordID(tenant string, topicID [16]byte, partition int32, offset int64) string {
	return DerivedID(tenant, "record", string(topicID[:]), strconv.Itoa(int(partition)), strconv.FormatInt(offset, 10))
}

// Fingerprint32 tells a repeat from a conflict: 32 bits over type, subject, source and Avro body. It is not over the number of the schema, nor over
// zero bytes at the body's end, so that the same data under a newer version of its schema, which adds fields that are null or empty, has the
// same one, whether it came as Avro or as JSON. Under one schema no two bodies differ in nothing but zeros at the end, because none is the
// beginning of another. It is a CRC-32C: only events of one tenant and key are compared, and only that tenant could make two alike.
func Fingerprint32(typ, subject, source string, body []byte) uint32 {
	room := fingerprintRoom.Get().(*[1024]byte)
	b := appendPart(appendPart(appendPart(room[:0], typ), subject), source)
	body = bytes.TrimRight(body, "\x00")
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, body)
	fingerprintRoom.Put(room)
	return sum
}

var (
	castagnoli      = crc32.MakeTable(crc32.Castagnoli)                     // which processors calculate
	fingerprintRoom = sync.Pool{New: func() any { return new([1024]byte) }} // crc32 calls through a variable, so a buffer on the stack would escape
)

// FingerprintJSON is what versions before Fingerprint32 told a repeat by, for an event that came as JSON: hex SHA-256 over type, subject, source and
// the data in canonical form (RFC 8785), as received and not as encoded. It marks what came by HTTP, and keys that such a
// version remembered are still compared with it.
func FingerprintJSON(typ, subject, source string, canonical []byte) string {
	sum := fingerprint(typ, subject, source, "json", canonical)
	return hexOf(&sum)
}

// FingerprintAvro is the same for an event that came as Avro: over the schema id and the body as received.
func FingerprintAvro(typ, subject, source string, schemaID int32, body []byte) string {
	sum := SumAvro(typ, subject, source, schemaID, body)
	return hexOf(&sum)
}

// SumAvro is FingerprintAvro before it becomes text.
func SumAvro(typ, subject, source string, schemaID int32, body []byte) [sha256.Size]byte {
	var room [len("avro:-2147483648")]byte
	form := strconv.AppendInt(append(room[:0], "avro:"...), int64(schemaID), 10)
	return fingerprint(typ, subject, source, textOf(form), body)
}

func fingerprint(typ, subject, source, form string, body []byte) (sum [sha256.Size]byte) {
	var room [1024]byte // of most events, on the stack
	b := appendPart(appendPart(appendPart(appendPart(room[:0], typ), subject), source), form)
	if len(b)+len(body) <= len(room) {
		return sha256.Sum256(append(b, body...))
	}
	h := sha256.New()
	h.Write(b)
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

func hexOf(sum *[sha256.Size]byte) string {
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// appendPart length-prefixes s, so that no two lists of parts give the same bytes.
func appendPart(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
