package event

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// forwardedMade ends neuronx-fwd of a record that the engine had made before it was forwarded.
const forwardedMade = "/signed"

// Made reports whether the engine made e, so that its system attributes count. It means nothing unless e's signature holds, which is the
// caller's to verify; and a signature alone does not mean it, because the engine also signs what is not its own: what HTTP clients send,
// for the sake of the fingerprint, which only the engine sets, and what it forwards.
func (e *Event) Made() bool {
	return e.Fingerprint == "" && (e.Forwarded == "" || strings.HasSuffix(e.Forwarded, forwardedMade))
}

// ForwardFrom marks e as forwarded and names the record it comes from. made says that its signature holds and that it was Made: that stays
// so, and the signature that is added on the way makes no other record the engine's.
func (e *Event) ForwardFrom(topicID [16]byte, partition int32, offset int64, made bool) {
	e.Forwarded = fmt.Sprintf("%s/%d/%d", hex.EncodeToString(topicID[:]), partition, offset)
	if made {
		e.Forwarded += forwardedMade
	}
}
