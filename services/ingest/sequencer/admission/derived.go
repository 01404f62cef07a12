package admission

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/neuronx/engine/pkg/event"
)

// derivable refuses what the event's deriver may not derive. Its number is used up all the same, or an outbox whose row was forged would
// be blocked. An outside event that is sent again is none of the engine's: if its type is reserved, it is refused as that.
func (a *candidate) derivable() *event.Refusal {
	if a.e.Type == "" || !a.trusted && event.Reserved(a.e.Type) {
		return nil
	}
	return a.e.CheckDerived()
}

func hash32(s string) uint32 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint32(sum[:])
}

// shortFingerprint is the first 32 bits of a hex fingerprint; what is not hex is hashed.
func shortFingerprint(s string) uint32 {
	var b [4]byte
	if len(s) < 8 {
		return hash32(s)
	}
	if _, err := hex.Decode(b[:], []byte(s[:8])); err != nil {
		return hash32(s)
	}
	return binary.BigEndian.Uint32(b[:])
}
