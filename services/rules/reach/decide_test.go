package reach

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/flow"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// open is a calendar that is open every day from one hour to another.
type open struct {
	from, to int
	loc      *time.Location
}

type calendars map[string][2]int

func (c calendars) Hours(name string, in *time.Location) (Hours, bool) {
	h, ok := c[name]
	if in == nil {
		in = time.UTC
	}
	return open{h[0], h[1], in}, ok
}
func (c calendars) Zone(string) (*time.Location, bool) { return time.UTC, true }
func (c calendars) Add(t time.Time, d calendar.Duration, in *time.Location) time.Time {
	return t.In(in).AddDate(0, d.Months, d.Days).Add(d.Elapsed).UTC()
}
func (c calendars) Next(t time.Time, _ calendar.TimeOfDay, _ *time.Location) time.Time { return t }
func (c calendars) Spread(key string, most time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return time.Duration(h.Sum64() % uint64(most))
}

func (o open) at(t time.Time, day, hour int) time.Time {
	l := t.In(o.loc)
	return time.Date(l.Year(), l.Month(), l.Day()+day, hour, 0, 0, 0, o.loc).UTC()
}
func (o open) Open(t time.Time) bool {
	return !t.Before(o.at(t, 0, o.from)) && t.Before(o.at(t, 0, o.to))
}
func (o open) NextOpen(t time.Time) (time.Time, bool) {
	switch {
	case o.from >= o.to:
		return t, false
	case o.Open(t):
		return t, true
	case t.Before(o.at(t, 0, o.from)):
		return o.at(t, 0, o.from), true
	}
	return o.at(t, 1, o.from), true
}
func (o open) Closes(t time.Time) (time.Time, bool)                 { return o.at(t, 0, o.to), o.Open(t) }
func (o open) After(t time.Time, d time.Duration) (time.Time, bool) { return t.Add(d), true }

var hours = calendars{"day": {8, 21}, "short": {9, 10}, "never": {9, 9}}

func hour(n int) calendar.Duration { return calendar.Duration{Elapsed: time.Duration(n) * time.Hour} }

// A case for each answer, in the order in which they are asked.
func TestDecide_AsksInItsOrder(t *testing.T) {
	yes := Contact{Lead: "7", Zone: "UTC"}.Apply(Change{Channel: "sms", Granted: true, Basis: "form", At: noon.Add(-time.Hour)})
	stopped := yes.Apply(Change{Channel: "*", At: noon.Add(-time.Minute)})
	sent := func(c Contact, times ...time.Time) Contact { c.Sends = map[string][]time.Time{"sms": times}; return c }
	all := &flow.Policy{Quiet: map[string]string{"sms": "day"}, Caps: []flow.Cap{{Channel: "sms", Most: 2, Per: hour(24)}, {Channel: "*", Most: 3, Per: hour(48), Skip: true}}, Pace: map[string]flow.Pace{"sms": {Most: 1, Per: hour(1)}}}
	night := noon.Add(12 * time.Hour)
	for name, c := range map[string]struct {
		policy  *flow.Policy
		contact Contact
		pace    Slot
		ask     Ask
		kind    Kind
		reason  string
	}{
		"no policy, granted":        {nil, yes, Slot{}, Ask{Channel: "sms", Now: noon}, Send, ""},
		"no policy, nothing said":   {nil, Contact{}, Slot{}, Ask{Channel: "sms", Now: noon}, Suppress, NoConsent},
		"a channel nobody knows":    {nil, Contact{}, Slot{}, Ask{Channel: "pigeon", Now: noon}, Suppress, NoConsent},
		"e-mail, nothing said":      {nil, Contact{}, Slot{}, Ask{Channel: "email", Now: noon}, Send, ""},
		"e-mail, opt_in":            {&flow.Policy{Basis: map[string]flow.Basis{"email": flow.OptIn}}, Contact{}, Slot{}, Ask{Channel: "email", Now: noon}, Suppress, NoConsent},
		"e-mail, all revoked":       {nil, stopped, Slot{}, Ask{Channel: "email", Now: noon}, Suppress, Revoked},
		"revoked before closed":     {all, stopped, Slot{}, Ask{Channel: "sms", Now: night}, Suppress, Revoked},
		"transactional, revoked":    {all, stopped, Slot{}, Ask{Channel: "sms", Transactional: true, Now: noon}, Suppress, Revoked},
		"transactional, unsaid":     {all, Contact{Zone: "UTC"}, Slot{}, Ask{Channel: "sms", Transactional: true, Now: noon}, Suppress, NoConsent},
		"over a cap":                {all, sent(yes, noon.Add(-3*time.Hour), noon.Add(-2*time.Hour)), Slot{}, Ask{Channel: "sms", Now: night}, Defer, OverCap},
		"over the second cap":       {all, sent(yes, noon.Add(-40*time.Hour), noon.Add(-39*time.Hour), noon.Add(-time.Hour)), Slot{}, Ask{Channel: "sms", Now: noon}, Skip, OverCap},
		"transactional, over a cap": {all, sent(yes, noon.Add(-3*time.Hour), noon.Add(-2*time.Hour)), Slot{}, Ask{Channel: "sms", Transactional: true, Now: noon}, Send, ""},
		"transactional, closed":     {all, yes, Slot{}, Ask{Channel: "sms", Transactional: true, Now: night}, Defer, Closed},
		"closed":                    {all, yes, Slot{}, Ask{Channel: "sms", Now: night}, Defer, Closed},
		"own zone before the other": {all, Contact{Zone: "Asia/Tokyo", Consents: yes.Consents}, Slot{}, Ask{Channel: "sms", Zone: "UTC", Now: noon.Add(time.Hour)}, Defer, Closed},
		"the other where it is odd": {all, Contact{Zone: "Mars/Base", Consents: yes.Consents}, Slot{}, Ask{Channel: "sms", Zone: "UTC", Now: noon}, Send, ""},
		"zone unknown":              {all, Contact{Consents: yes.Consents}, Slot{}, Ask{Channel: "sms", Now: noon}, Defer, ZoneUnknown},
		"zone not needed":           {&flow.Policy{}, Contact{Consents: yes.Consents}, Slot{}, Ask{Channel: "sms", Now: noon}, Send, ""},
		"never open":                {&flow.Policy{Quiet: map[string]string{"sms": "never"}}, yes, Slot{}, Ask{Channel: "sms", Now: noon}, Suppress, NeverOpen},
		"no such calendar":          {&flow.Policy{Quiet: map[string]string{"sms": "no"}}, yes, Slot{}, Ask{Channel: "sms", Now: noon}, Suppress, NeverOpen},
		"slot is full":              {all, yes, Slot{noon.Unix() / 3600, 1}, Ask{Channel: "sms", Now: noon}, Defer, OverPace},
		"slot is its own":           {all, yes, Slot{noon.Unix() / 3600, 1}, Ask{Channel: "sms", Now: noon, Reserved: noon.Unix() / 3600}, Send, ""},
		"its slot is over":          {all, yes, Slot{noon.Unix() / 3600, 1}, Ask{Channel: "sms", Now: noon, Reserved: noon.Unix()/3600 - 1}, Defer, OverPace},
	} {
		a := Decide(c.policy, c.contact, c.pace, c.ask, hours)
		if a.Kind != c.kind || a.Reason != c.reason {
			t.Errorf("%s: %s %s, want %s %s", name, a.Kind, a.Reason, c.kind, c.reason)
		}
		if a.Kind == Defer && a.Until.Before(c.ask.Now.Add(ShortestWait)) {
			t.Errorf("%s: deferred to %s", name, a.Until)
		}
		if a.Kind != Send && !reflect.DeepEqual(a.Contact, c.contact) {
			t.Errorf("%s: what was not sent counts", name)
		}
	}
	if a := Decide(all, yes, Slot{}, Ask{Channel: "sms", Now: time.Date(2026, 3, 2, 20, 50, 0, 0, time.UTC)}, hours); !a.NotAfter.Equal(time.Date(2026, 3, 2, 21, 0, 0, 0, time.UTC)) || a.Basis != "form" {
		t.Errorf("%+v: it may leave after the end of the open time", a)
	}
}

func TestContact_HearsTheSameInAnyOrder(t *testing.T) {
	changes := []Change{
		{Channel: "sms", Granted: true, Basis: "form", At: noon}, {Channel: "sms", At: noon.Add(time.Hour)}, {Channel: "*", Granted: true, Basis: "paper", At: noon.Add(2 * time.Hour)},
		{Channel: "*", At: noon.Add(-time.Hour)}, {Channel: "sms", Granted: true, Basis: "old list", At: noon.Add(9 * time.Hour), Old: true}, {Channel: "email", At: noon.Add(time.Hour), Old: true},
	}
	apply := func(order []int) Contact {
		var c Contact
		for _, i := range order {
			c = c.Apply(changes[i])
		}
		return c
	}
	first := apply([]int{0, 1, 2, 3, 4, 5})
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		order := r.Perm(len(changes))
		if got := apply(order); !reflect.DeepEqual(got, first) {
			t.Fatalf("%v: %+v, want %+v", order, got, first)
		}
	}
	for name, c := range map[string]struct {
		changes []int
		kind    Kind
	}{
		"granted": {[]int{0}, Send}, "revoked later": {[]int{0, 1}, Suppress}, "granted again for all": {[]int{0, 1, 2}, Send}, "an import grants": {[]int{4}, Send},
		"an import never grants over a revocation": {[]int{1, 4}, Suppress}, "a revocation at the moment of the grant": {nil, Suppress},
	} {
		contact := apply(c.changes)
		if c.changes == nil {
			contact = apply([]int{0}).Apply(Change{Channel: "*", At: noon})
		}
		if a := Decide(nil, contact, Slot{}, Ask{Channel: "sms", Now: noon.Add(24 * time.Hour)}, hours); a.Kind != c.kind {
			t.Errorf("%s: %s", name, a.Kind)
		}
	}
}

func TestChanges_AreWhatEventsSay(t *testing.T) {
	when, err := expr.CompileIn(expr.Edition2, "data.opted_in", "event", "data")
	if err != nil {
		t.Fatal(err)
	}
	policy := &flow.Policy{Grants: []flow.Grant{{On: []string{"lead.created"}, When: when, Channel: "sms", Basis: "web form"}}}
	ev := func(typ string, origin event.Origin) event.Recorded {
		return event.Recorded{Event: event.Event{Type: typ, Origin: origin, Time: noon}, RecordedTime: noon.Add(time.Hour)}
	}
	ahead, recorded := ev("consent.changed", ""), noon.Add(time.Hour)
	ahead.Time = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		ev   event.Recorded
		data map[string]any
		want []Change
		bad  bool
	}{
		"said in the future": {ahead, map[string]any{"lead_id": "7", "channel": "sms", "granted": true, "basis": "call"}, []Change{{"7", "sms", true, "call", recorded, false}}, false},
		"consent":            {ev("consent.changed", ""), map[string]any{"lead_id": "7", "channel": "sms", "granted": true, "basis": "call"}, []Change{{"7", "sms", true, "call", noon, false}}, false},
		"imported":           {ev("consent.changed", event.OriginImport), map[string]any{"lead_id": "7", "channel": "*", "granted": false, "basis": nil}, []Change{{"7", "*", false, "", noon, true}}, false},
		"of nobody":          {ev("consent.changed", ""), map[string]any{"lead_id": "", "channel": "sms", "granted": true}, nil, false},
		"a grant":            {ev("lead.created", ""), map[string]any{"lead_id": "7", "opted_in": true}, []Change{{"7", "sms", true, "web form", noon, false}}, false},
		"no grant":           {ev("lead.created", ""), map[string]any{"lead_id": "7", "opted_in": false}, nil, false},
		"null is no grant":   {ev("lead.created", ""), map[string]any{"lead_id": "7", "opted_in": nil}, nil, true},
		"grant of nobody":    {ev("lead.created", ""), map[string]any{"lead_id": nil, "opted_in": true}, nil, false},
		"another type":       {ev("lead.lost", ""), map[string]any{"lead_id": "7", "opted_in": true}, nil, false},
		"imported by grant":  {ev("lead.created", event.OriginBackfill), map[string]any{"lead_id": "7", "opted_in": true}, []Change{{"7", "sms", true, "web form", noon, true}}, false},
	} {
		got, _, err := Changes(t.Context(), policy, c.ev, c.data)
		if !reflect.DeepEqual(got, c.want) || (err != nil) != c.bad {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// oracle knows all that was said and sent, and judges what was sent by going through it, in another way than Decide does.
type oracle struct {
	policy *flow.Policy
	said   []Change
	sent   []struct {
		channel string
		at      time.Time
	}
	zone string
}

func (o *oracle) mayReach(channel string, transactional bool, now time.Time) error {
	var newest *Change
	imported, revoked := false, false
	for i, c := range o.said {
		if c.Channel != channel && c.Channel != "*" {
			continue
		}
		if c.Old && c.Granted {
			imported = true
			continue
		}
		revoked = revoked || !c.Granted
		if newest == nil || c.At.After(newest.At) || c.At.Equal(newest.At) && !c.Granted {
			newest = &o.said[i]
		}
	}
	granted := newest != nil && newest.Granted || imported && !revoked
	if newest != nil && !newest.Granted || !granted && (channel != "email" || o.policy.Basis[channel] == flow.OptIn) {
		return fmt.Errorf("no consent")
	}
	if !transactional {
		for _, c := range o.policy.Caps {
			n := int64(0)
			for _, s := range o.sent {
				if (c.Channel == "*" || c.Channel == s.channel) && (c.Channel == "*" || c.Channel == channel) && now.Sub(s.at) < c.Per.Elapsed {
					n++
				}
			}
			if (c.Channel == "*" || c.Channel == channel) && n >= c.Most {
				return fmt.Errorf("cap %+v is full", c)
			}
		}
	}
	if name, quiet := o.policy.Quiet[channel]; quiet {
		loc, err := time.LoadLocation(o.zone)
		if o.zone == "" || err != nil {
			return fmt.Errorf("zone %q", o.zone)
		}
		if h := now.In(loc).Hour(); h < hours[name][0] || h >= hours[name][1] {
			return fmt.Errorf("closed at %s", now.In(loc))
		}
	}
	if p, bounded := o.policy.Pace[channel]; bounded {
		n := int64(0)
		for _, s := range o.sent {
			if s.channel == channel && s.at.UnixNano()/int64(p.Per.Elapsed) == now.UnixNano()/int64(p.Per.Elapsed) {
				n++
			}
		}
		if n >= p.Most {
			return fmt.Errorf("the slot is full")
		}
	}
	return nil
}

// Nobody is reached without consent, out of hours, over a cap or faster than the pace, whatever is said and asked in which order.
// NEURONX_ROUNDS asks for more histories than the hundred thousand decisions of a plain run.
func TestDecide_NobodyIsReachedAgainstThePolicy(t *testing.T) {
	histories := 1000
	if more := os.Getenv("NEURONX_ROUNDS"); more != "" {
		var err error
		if histories, err = strconv.Atoi(more); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[string]int{}
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 7))
		policy := &flow.Policy{Basis: map[string]flow.Basis{}, Quiet: map[string]string{}, Pace: map[string]flow.Pace{}}
		if r.IntN(2) == 0 {
			policy.Quiet["sms"] = []string{"day", "short"}[r.IntN(2)]
		}
		if r.IntN(3) == 0 {
			policy.Basis["email"] = flow.OptIn
		}
		for range r.IntN(4) {
			policy.Caps = append(policy.Caps, flow.Cap{Channel: []string{"sms", "email", "*"}[r.IntN(3)], Most: int64(1 + r.IntN(4)), Per: hour(1 + r.IntN(72)), Skip: r.IntN(3) == 0})
		}
		if r.IntN(2) == 0 {
			policy.Pace["sms"] = flow.Pace{Most: int64(1 + r.IntN(3)), Per: calendar.Duration{Elapsed: time.Duration(1+r.IntN(180)) * time.Minute}}
		}
		o := &oracle{policy: policy, zone: []string{"", "UTC", "America/New_York", "Asia/Kolkata"}[r.IntN(4)]}
		contact, pace, now, held := Contact{Lead: "7", Zone: o.zone}, map[string]Slot{}, noon, map[string]int64{}
		for range 100 {
			now = now.Add(time.Duration(r.IntN(90)) * time.Minute)
			if r.IntN(6) == 0 {
				c := Change{Channel: []string{"sms", "email", "*"}[r.IntN(3)], Granted: r.IntN(3) > 0, At: now.Add(-time.Duration(r.IntN(3000)) * time.Minute), Old: r.IntN(3) == 0}
				contact = contact.Apply(c)
				o.said = append(o.said, c)
			}
			channel, transactional := []string{"sms", "email"}[r.IntN(2)], r.IntN(8) == 0
			a := Decide(policy, contact, pace[channel], Ask{Channel: channel, Transactional: transactional, Reserved: held[channel], Now: now, Key: strconv.Itoa(r.IntN(100))}, hours)
			answers[string(a.Kind)+" "+a.Reason]++
			why := o.mayReach(channel, transactional, now)
			held[channel], pace[channel], contact = a.Reserved, a.Pace, a.Contact
			switch a.Kind {
			case Send:
				if why != nil {
					t.Fatalf("seed %d: %s was sent at %s: %v", seed, channel, now, why)
				}
				if a.NotAfter.Before(now) || a.NotAfter.After(now.Add(15*time.Minute)) {
					t.Fatalf("seed %d: may leave until %s", seed, a.NotAfter)
				}
				o.sent = append(o.sent, struct {
					channel string
					at      time.Time
				}{channel, now})
			case Defer:
				if a.Until.Before(now.Add(ShortestWait)) || a.Until.After(now.Add(31*24*time.Hour)) {
					t.Fatalf("seed %d: deferred from %s to %s", seed, now, a.Until)
				}
				if a.Reason == Closed && r.IntN(2) == 0 {
					now = a.Until
				}
				if a.Reason == OverPace && r.IntN(2) == 0 {
					now = a.Until
				}
			}
			if why == nil && (a.Kind == Suppress || a.Kind == Skip) {
				t.Fatalf("seed %d: %s %s at %s, although nothing forbids it", seed, a.Kind, a.Reason, now)
			}
		}
	}
	for _, k := range []string{"send ", "suppress no_consent", "suppress revoked", "skip cap", "defer cap", "defer hours", "defer zone_unknown", "defer pace"} {
		if answers[k] == 0 {
			t.Errorf("no history had the answer %q: %v", k, answers)
		}
	}
}

// Of many who ask at once, each slot lets as many through as it may, in the order in which they asked.
func TestPace_ReservesSlotsInOrder(t *testing.T) {
	policy := &flow.Policy{Pace: map[string]flow.Pace{"sms": {Most: 30, Per: calendar.Duration{Elapsed: time.Minute}}}}
	yes := Contact{}.Apply(Change{Channel: "sms", Granted: true, At: noon})
	var pace Slot
	sent := map[time.Time]int{}
	last := noon
	for i := range 1000 {
		a := Decide(policy, yes, pace, Ask{Channel: "sms", Now: noon}, hours)
		pace = a.Pace
		at := noon
		if a.Kind == Defer {
			at = a.Until
			if again := Decide(policy, yes, pace, Ask{Channel: "sms", Now: at, Reserved: a.Reserved}, hours); again.Kind != Send {
				t.Fatalf("%d: its slot came and it was not sent: %+v", i, again)
			}
		}
		if at.Before(last) {
			t.Fatalf("%d overtook", i)
		}
		last = at
		sent[at]++
	}
	for at, n := range sent {
		if n > 30 {
			t.Errorf("%d at %s", n, at)
		}
	}
	if took := last.Sub(noon); took != 34*time.Minute && took != 33*time.Minute {
		t.Errorf("a thousand took %s", took)
	}
}
