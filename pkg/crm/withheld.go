package crm

import (
	"fmt"
	"time"
)

// ReachesPerson reports whether commands of a kind reach a person, who may have said that nobody should.
func ReachesPerson(kind string) bool { return kind == KindMessage || kind == KindEnrol }

// AnyChannel is the channel of what was said about all of them.
const AnyChannel = "*"

// Said is what the log tells of contact with a lead over a channel.
type Said struct {
	Lead, Channel   string
	Code            string    // of the last revocation: CodeRevoked or CodeErased
	Revoked         time.Time // when the last revocation happened; zero: none did
	RevokedSequence int64     // of the one that was recorded last
	Granted         time.Time // when the last live grant happened; zero: none did
	GrantedSequence int64
}

// Withheld tells why a command that reaches a person must not be carried out: one of the leads that the person is said so, and no later grant lifts
// it. A grant of the lead that all are lifts what another one said if it came after their merge. merged gives the sequence of that merge. What
// was said before a command with a consent basis was known to who asked for it under that basis. code is empty when nothing speaks against it.
func Withheld(c Command, sequence int64, p Person, merged func(lead string) int64, said []Said) (code, detail string) {
	for _, lead := range p {
		var stop, grant Said
		var recorded int64
		for _, s := range said {
			if s.Channel != AnyChannel && s.Channel != c.Channel && c.Channel != "" { // rows of before kept no channel
				continue
			}
			if s.Lead == lead && !s.Revoked.IsZero() {
				recorded = max(recorded, s.RevokedSequence)
				if stop.Revoked.IsZero() || s.Revoked.After(stop.Revoked) {
					stop = s
				}
			}
			own := s.Lead == lead || s.Lead == p[0] && s.GrantedSequence > merged(lead)
			if own && s.Granted.After(grant.Granted) {
				grant = s
			}
		}
		switch {
		case stop.Revoked.IsZero() || grant.Granted.After(stop.Revoked):
		case c.ConsentBasis != "" && recorded < sequence:
		case stop.Code == CodeErased:
			return CodeErased, fmt.Sprintf("lead %s was erased: nothing was sent", lead)
		default:
			return CodeRevoked, fmt.Sprintf("lead %s revoked its consent to be reached over the channel %s (%s): nothing was sent", lead, c.Channel, stop.Revoked.UTC().Format(time.RFC3339))
		}
	}
	return "", ""
}
