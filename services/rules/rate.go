package rules

import (
	"maps"

	"github.com/neuronx/engine/pkg/event"
)

// Sixteen hops end a loop, but a rule that answers each event with ten would derive 10^16 before that. So what is derived from
// derived events is counted per subject and minute of position time, which is in the log and so the same in every replay. Honest
// chains are far below; the first two hops are not counted, which keeps the counter out of most events.
const (
	rateHops  = 2
	rateLimit = 500 // events derived from one subject's events of rateHops or more in one minute
	rateKey   = "_rate"
)

// rate is the counter of a subject; it lives in the state under a name that no rule can set or see.
type rate struct {
	counts bool
	minute int64
	used   int64
	took   int
}

func rateOf(in Input) rate {
	r := rate{counts: in.Event.Hops >= rateHops, minute: event.PositionTime(in.effective().Position) / 60_000}
	if kept, ok := in.State[rateKey].([]any); ok && len(kept) == 2 && kept[0] == r.minute {
		r.used, _ = kept[1].(int64) // written by Evaluate
	}
	return r
}

// take counts outputs of one rule, or refuses them all.
func (r *rate) take(n int) error {
	if !r.counts || n == 0 {
		return nil
	}
	if r.used+int64(n) > rateLimit {
		return fail(codeRate, "more than %d events in a minute were derived from derived events of this subject; do the rules feed each other?", rateLimit)
	}
	r.used += int64(n)
	r.took += n
	return nil
}

// visible is the state as expressions see it.
func visible(s State) State {
	if _, counted := s[rateKey]; !counted {
		return s
	}
	s = maps.Clone(s)
	delete(s, rateKey)
	return s
}
