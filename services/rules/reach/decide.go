package reach

import (
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/rules/flow"
)

// Times of a decision.
const (
	ShortestWait = time.Minute      // no deferral is shorter, so that none is a timer under a minute
	notAfter     = 15 * time.Minute // a command that was not carried out by then must not be any more
	openSpread   = 15 * time.Minute // how far deferrals to an opening are spread
	zoneWait     = 24 * time.Hour   // until the zone of a person is asked for again
	maxSends     = 1000             // of one channel that are remembered for caps
)

// Kind is what becomes of a command.
type Kind string

// Kinds of answers.
const (
	Send     Kind = "send"
	Suppress Kind = "suppress" // never: no consent, or hours that never open
	Skip     Kind = "skip"     // over a cap that leaves out
	Defer    Kind = "defer"    // ask again at Until
)

// Reasons of answers that are not to send.
const (
	NoConsent   = "no_consent"   // nothing was said, and the channel asks for opt-in
	Revoked     = "revoked"      // consent was taken back
	OverCap     = "cap"          // too many messages
	Closed      = "hours"        // outside the channel's hours
	NeverOpen   = "never_open"   // the calendar does not open again, or does not exist
	ZoneUnknown = "zone_unknown" // nobody said in which zone the person lives
	OverPace    = "pace"         // too many messages of all people of the tenant
)

// Ask is a command that would reach a person.
type Ask struct {
	Channel       string
	Transactional bool
	Zone          string // of the instance, where the contact has none
	Key           string // what deferrals are spread by
	Reserved      int64  // slot of the pace that was given to it by the answer before; 0: none
	Now           time.Time
}

// Slot is the state of a channel's pace: all slots before Number are gone, and Used of it are taken. Numbers count from 1970.
type Slot struct {
	Number int64 `json:"number,omitzero"`
	Used   int64 `json:"used,omitzero"`
}

// Answer is what becomes of a command. Contact and Pace are to be kept; they are as they were unless the command is sent or a slot was
// reserved.
type Answer struct {
	Kind     Kind
	Reason   string
	Until    time.Time // of a deferral
	Reserved int64     // of a deferral by pace
	NotAfter time.Time // of what is sent
	Basis    string    // of the consent of what is sent: what was recorded, or opt_out where silence is consent
	Contact  Contact
	Pace     Slot
}

// Decide answers a command by a policy; nil: the bases hold alone. The pace is that of the channel.
func Decide(policy *flow.Policy, contact Contact, pace Slot, ask Ask, cals Calendars) Answer {
	a := Answer{Contact: contact, Pace: pace}
	if !a.consented(policy, ask) {
		return a
	}
	if policy == nil {
		policy = &flow.Policy{}
	}
	loc, known := zoneOf(contact.Zone, ask.Zone)
	if !ask.Transactional && !a.underCaps(policy, ask, loc, cals) {
		return a
	}
	ends, open := a.inHours(policy, ask, loc, known, cals)
	if !open || !a.inPace(policy, ask) {
		return a
	}
	a.Kind, a.Reserved = Send, 0
	a.NotAfter = ask.Now.Add(notAfter)
	if !ends.IsZero() && ends.Before(a.NotAfter) {
		a.NotAfter = ends
	}
	a.Contact = contact.sent(policy, ask.Channel, ask.Now)
	return a
}

// BasisOf is what a channel asks of a person.
func BasisOf(policy *flow.Policy, channel string) flow.Basis {
	if policy != nil {
		if b, said := policy.Basis[channel]; said {
			return b
		}
	}
	if channel == "email" {
		return flow.OptOut
	}
	return flow.OptIn
}

func (a *Answer) consented(policy *flow.Policy, ask Ask) bool {
	granted, basis, revoked := a.Contact.consent(ask.Channel)
	switch {
	case revoked:
		a.Kind, a.Reason = Suppress, Revoked
	case granted:
		a.Basis = basis
		return true
	case BasisOf(policy, ask.Channel) == flow.OptOut:
		a.Basis = string(flow.OptOut)
		return true
	default:
		a.Kind, a.Reason = Suppress, NoConsent
	}
	return false
}

// zoneOf is the recipient's zone, else the instance's. A name that is none says nothing.
func zoneOf(names ...string) (*time.Location, bool) {
	for _, name := range names {
		if name == "" {
			continue
		}
		if loc, err := zone.Load(name); err == nil {
			return loc, true
		}
	}
	return time.UTC, false
}

// underCaps asks the caps in the order of the policy; the first that is full decides. A message counts until its time and the cap's
// period are over.
func (a *Answer) underCaps(policy *flow.Policy, ask Ask, loc *time.Location, cals Calendars) bool {
	for _, c := range policy.Caps {
		if c.Channel != ask.Channel && c.Channel != AnyChannel {
			continue
		}
		var ends []time.Time
		for channel, sends := range a.Contact.Sends {
			if c.Channel != AnyChannel && channel != c.Channel {
				continue
			}
			for _, t := range sends {
				if end := cals.Add(t, c.Per, loc); end.After(ask.Now) {
					ends = append(ends, end)
				}
			}
		}
		most := min(c.Most, maxSends)
		if int64(len(ends)) < most {
			continue
		}
		if c.Skip || most < 1 {
			a.Kind, a.Reason = Skip, OverCap
			return false
		}
		slices.SortFunc(ends, time.Time.Compare)
		a.deferTo(ask, OverCap, ends[int64(len(ends))-most])
		return false
	}
	return true
}

// inHours gives the end of the open time; zero: the channel has no quiet hours.
func (a *Answer) inHours(policy *flow.Policy, ask Ask, loc *time.Location, known bool, cals Calendars) (time.Time, bool) {
	name, quiet := policy.Quiet[ask.Channel]
	if !quiet {
		return time.Time{}, true
	}
	if !known {
		a.deferTo(ask, ZoneUnknown, ask.Now.Add(zoneWait))
		return time.Time{}, false
	}
	hours, found := cals.Hours(name, loc)
	if !found {
		a.Kind, a.Reason = Suppress, NeverOpen
		return time.Time{}, false
	}
	if hours.Open(ask.Now) {
		ends, _ := hours.Closes(ask.Now)
		return ends, true
	}
	opens, ever := hours.NextOpen(ask.Now)
	if !ever {
		a.Kind, a.Reason = Suppress, NeverOpen
		return time.Time{}, false
	}
	most := openSpread
	if ends, ok := hours.Closes(opens); ok {
		most = min(most, ends.Sub(opens)/2)
	}
	if most > 0 {
		opens = opens.Add(cals.Spread(ask.Key, most).Truncate(time.Millisecond))
	}
	a.deferTo(ask, Closed, opens)
	return time.Time{}, false
}

// inPace takes a place in the slot of now, or reserves one in the first slot at least ShortestWait ahead that has room. A reservation
// counts while its slot lasts; one that comes too late asks as any other.
func (a *Answer) inPace(policy *flow.Policy, ask Ask) bool {
	pace, bounded := policy.Pace[ask.Channel]
	per := elapsed(pace.Per)
	if !bounded || per <= 0 {
		return true
	}
	now := number(ask.Now, per)
	if ask.Reserved != 0 && ask.Reserved == now {
		return true
	}
	if pace.Most < 1 {
		a.deferTo(ask, OverPace, ask.Now.Add(zoneWait))
		return false
	}
	if a.Pace.Number < now {
		a.Pace = Slot{Number: now}
	}
	if a.Pace.Number == now && a.Pace.Used < pace.Most {
		a.Pace.Used++
		return true
	}
	if first := number(ask.Now.Add(ShortestWait).Add(per-1), per); a.Pace.Number < first {
		a.Pace = Slot{Number: first}
	}
	if a.Pace.Used >= pace.Most {
		a.Pace = Slot{Number: a.Pace.Number + 1}
	}
	a.Pace.Used++
	a.deferTo(ask, OverPace, time.Unix(0, a.Pace.Number*int64(per)).UTC())
	a.Reserved = a.Pace.Number
	return false
}

func (a *Answer) deferTo(ask Ask, reason string, until time.Time) {
	if soonest := ask.Now.Add(ShortestWait); until.Before(soonest) {
		until = soonest
	}
	a.Kind, a.Reason, a.Until = Defer, reason, until
}

// number is the slot that t is in.
func number(t time.Time, per time.Duration) int64 { return t.UnixNano() / int64(per) }

// elapsed is a pace's period; a day is 24 hours and a month 30 days, because slots are the same for people of all zones.
func elapsed(d calendar.Duration) time.Duration {
	return d.Elapsed + time.Duration(d.Days+30*d.Months)*24*time.Hour
}

// sent remembers a message, as many of a channel as some cap can ask for.
func (c Contact) sent(policy *flow.Policy, channel string, now time.Time) Contact {
	var most int64
	for _, p := range policy.Caps {
		if p.Channel == channel || p.Channel == AnyChannel {
			most = max(most, p.Most)
		}
	}
	if most == 0 {
		return c
	}
	sends := make(map[string][]time.Time, len(c.Sends)+1)
	for k, v := range c.Sends {
		sends[k] = v
	}
	channel = c.counts(channel)
	own := append(slices.Clone(sends[channel]), now.UTC())
	if over := len(own) - int(min(most, maxSends)); over > 0 {
		own = own[over:]
	}
	sends[channel] = own
	c.Sends = sends
	return c
}

// counts is the channel under which a message is remembered. No cap can name a channel that no policy can, so where there are too many of those, they
// are counted together against the caps of all channels.
func (c Contact) counts(channel string) string {
	if _, there := c.Sends[channel]; there || room(channel, len(c.Sends)) {
		return channel
	}
	return AnyChannel
}
