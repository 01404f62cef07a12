package reach

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/flow"
)

// Whatever is said of a lead's consent, and however many leads are merged into one, what is kept of it stays small, and nobody is reached who forbade it.
func TestContact_StaysSmallWhateverIsSaidOfIt(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	said := func(c Contact, channel string, granted bool, basis string) Contact {
		at = at.Add(time.Second)
		ev := event.Recorded{Event: event.Event{Type: "consent.changed", Time: at}, RecordedTime: at}
		changes, _, err := Changes(t.Context(), nil, ev, map[string]any{"lead_id": c.Lead, "channel": channel, "granted": granted, "basis": basis})
		if err != nil || len(changes) != 1 {
			t.Fatal(changes, err)
		}
		return c.Apply(changes[0])
	}
	size := func(c Contact) int {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	policy := &flow.Policy{Caps: []flow.Cap{{Channel: AnyChannel, Most: 3}}}
	c := said(Contact{Lead: "7"}, AnyChannel, true, "form")
	for i := range 500 {
		c = said(c, fmt.Sprintf("channel-%d", i), true, strings.Repeat("ä", 1<<10))
		c = said(c, strings.Repeat("long", 100+i), true, "")
		c = c.sent(policy, fmt.Sprintf("channel-%d", i), at)
	}
	if n := size(c); n > 64<<10 {
		t.Errorf("a contact has %d bytes", n)
	}
	c = said(c, "sms", true, "asked for it") // the channels that people are reached by always have room
	if granted, basis, _ := c.consent("sms"); !granted || basis != "asked for it" {
		t.Errorf("sms: %v %q", granted, basis)
	}
	if n := len(c.sent(policy, "sms", at).Sends["sms"]); n != 1 {
		t.Errorf("%d messages count against a cap of sms", n)
	}
	for _, channel := range []string{"channel-900", strings.Repeat("long", 100)} {
		c := said(c, channel, true, "never mind")
		if c = said(c, channel, false, ""); !stops(c, channel) || !stops(c, "sms") {
			t.Errorf("%.20s: a revocation that has no room is lost", channel)
		}
	}
	all := said(Contact{Lead: "1"}, "sms", true, "form")
	for i := range 100 {
		one := said(Contact{Lead: "2", Sends: map[string][]time.Time{fmt.Sprint("c", i): make([]time.Time, maxSends), "sms": make([]time.Time, maxSends)}}, fmt.Sprint("own-", i), false, "")
		all, _, _ = all.Join(one, at)
		if !stops(all, fmt.Sprint("own-", i)) {
			t.Fatalf("the revocation of the %dth is lost", i)
		}
	}
	if channels, sends := len(all.Consents), len(all.Sends); channels > maxChannels+8 || sends > maxChannels+8 || len(all.Sends["sms"]) > maxSends {
		t.Errorf("after 100 merges there are consents of %d channels, sends of %d, and %d of sms", channels, sends, len(all.Sends["sms"]))
	}
}

func stops(c Contact, channel string) bool {
	_, revoked := c.Said(channel)
	return revoked
}
