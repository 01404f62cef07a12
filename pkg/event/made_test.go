package event

import "testing"

func TestMade_IsWhatTheEngineSignedForItself(t *testing.T) {
	var topic [16]byte
	own, other := Event{}, Event{}
	own.ForwardFrom(topic, 3, 17, true)
	other.ForwardFrom(topic, 3, 17, false)
	sent := Event{Fingerprint: "f"}
	sent.ForwardFrom(topic, 3, 17, true)
	for what, c := range map[string]struct {
		e    Event
		made bool
	}{
		"it stands where it was written":               {Event{}, true},
		"a client sent it over HTTP":                   {Event{Fingerprint: "f"}, false},
		"the engine's, forwarded":                      {own, true},
		"somebody's, forwarded":                        {other, false},
		"a client sent it over HTTP, then forwarded":   {sent, false},
		"forwarded, in the form that is in every log":  {Event{Forwarded: "00000000000000000000000000000000/3/17/signed"}, true},
		"somebody's, in the form that is in every log": {Event{Forwarded: "00000000000000000000000000000000/3/17"}, false},
	} {
		if c.e.Made() != c.made {
			t.Errorf("%s: made by the engine is %v", what, !c.made)
		}
	}
	if own.Forwarded != "00000000000000000000000000000000/3/17/signed" || other.Forwarded != "00000000000000000000000000000000/3/17" {
		t.Errorf("forwarded from %q and %q", own.Forwarded, other.Forwarded)
	}
}
