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
		own := joined.Consents[channel]
		own.Revoked = later(later(own.Revoked, other.Consents[channel].Revoked), at)
		joined.Consents[channel] = own
		revoked = append(revoked, channel)
	}
	for channel, times := range other.Sends {
		if len(times) == 0 {
			continue
		}
		if joined.Sends == nil {
			joined.Sends = map[string][]time.Time{}
		}
		all := slices.Concat(joined.Sends[channel], times)
		slices.SortFunc(all, time.Time.Compare)
		joined.Sends[channel] = all
		sends += len(times)
	}
	return joined, revoked, sends
}
