package reach

import (
	"maps"
	"slices"
	"time"
)

// Join is the contact after another one was merged into it at a time: the strictest of both. A revocation of the other counts as one said at
// the merge, so only a later grant lifts it. A grant of the other does not count: if the merge is a mistake, it was somebody else's. What was
// sent to either counts against the caps. It also returns the channels that the other one revoked, and how many of its sends were added.
func (c Contact) Join(other Contact, at time.Time) (joined Contact, revoked []string, sends int) {
	joined = c
	joined.Consents, joined.Sends = maps.Clone(c.Consents), maps.Clone(c.Sends)
	for _, channel := range slices.Sorted(maps.Keys(other.Consents)) {
		if _, _, stopped := other.consent(channel); !stopped {
			continue
		}
		if joined.Consents == nil {
			joined.Consents = map[string]Consent{}
		}
		kept, _ := joined.keeps(channel)
		own := joined.Consents[kept]
		own.Revoked = later(later(own.Revoked, other.Consents[channel].Revoked), at)
		joined.Consents[kept] = own
		revoked = append(revoked, channel)
	}
	for _, channel := range slices.Sorted(maps.Keys(other.Sends)) {
		times := other.Sends[channel]
		if len(times) == 0 {
			continue
		}
		if joined.Sends == nil {
			joined.Sends = map[string][]time.Time{}
		}
		kept := joined.counts(channel)
		all := slices.Concat(joined.Sends[kept], times)
		slices.SortFunc(all, time.Time.Compare)
		joined.Sends[kept] = all[max(0, len(all)-maxSends):] // more than any cap can ask for
		sends += len(times)
	}
	return joined, revoked, sends
}
