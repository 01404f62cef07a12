package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// Seal returns `v1,<key id>,<base64 HMAC-SHA256>` over a purpose and parts, each length-prefixed, under the primary key. A seal shows
// that a process of the engine wrote bytes which lie where others can write. Purposes differ from each other and from the signature of
// events, so that neither passes for another.
func (k *Keyring) Seal(purpose string, parts ...[]byte) string {
	sum := k.keys[k.primary].seal(purpose, parts)
	return "v1," + k.primary + "," + base64.StdEncoding.EncodeToString(sum)
}

// Sealed reports whether seal is one of an accepted key over the same purpose and parts.
func (k *Keyring) Sealed(seal, purpose string, parts ...[]byte) bool {
	version, rest, _ := strings.Cut(seal, ",")
	id, sum, _ := strings.Cut(rest, ",")
	key := k.keys[id]
	got, err := base64.StdEncoding.DecodeString(sum)
	return version == "v1" && key != nil && err == nil && hmac.Equal(got, key.seal(purpose, parts))
}

// Knows reports whether seal names a key of the keyring, or none at all: one that names another key can't be judged with this keyring.
func (k *Keyring) Knows(seal string) bool {
	rest, ok := strings.CutPrefix(seal, "v1,")
	id, _, ok2 := strings.Cut(rest, ",")
	return !ok || !ok2 || !keyIDPattern.MatchString(id) || k.keys[id] != nil
}

func (k *signingKey) seal(purpose string, parts [][]byte) []byte {
	m := k.macs.Get().(*macer)
	m.hash.Reset()
	b := appendPart(m.buf[:0], "neuronx-seal "+purpose)
	for _, p := range parts {
		m.hash.Write(binary.AppendUvarint(b, uint64(len(p))))
		m.hash.Write(p)
		b = b[:0]
	}
	m.hash.Write(b)
	sum := m.hash.Sum(make([]byte, 0, sha256.Size))
	m.buf = b
	k.macs.Put(m)
	return sum
}
