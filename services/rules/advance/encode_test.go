package advance

import (
	"bytes"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for seed := range uint64(30) {
		history(f, seed, false, func(r *rig, _ Instance, _ Stimulus, res Result) {
			if state, personal, err := res.Instance.Encode(); err == nil {
				f.Add(state, personal)
			}
		})
	}
	f.Add([]byte(`{"v":1,"instance":{"id":"x","tokens":[null]}}`), []byte(nil))
	f.Add([]byte(`{"v":2,"instance":{"id":"x"}}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, state, personal []byte) {
		in, err := Decode(state, personal)
		if err != nil {
			return
		}
		a, b, err := in.Encode()
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		back, err := Decode(a, b)
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s\n%s", err, a, b)
		}
		a2, b2, err := back.Encode()
		if err != nil || !bytes.Equal(a, a2) || !bytes.Equal(b, b2) {
			t.Fatalf("%v\n%s\n%s\n%s\n%s", err, a, a2, b, b2)
		}
		r := newRig(t, program(callTask("c", nil), note("a")))
		for _, kind := range []Kind{Start, Heard, Fired, Retry, Skip, Suspend, Resume, Cancel} {
			on := r.event("activity.recorded", map[string]any{"lead_id": "7"})
			on.Kind = kind
			if in.Deadline != nil {
				on.Timer = in.Deadline.ID
			}
			for _, tok := range in.Tokens {
				if tok.Timer != nil {
					on.Timer = tok.Timer.ID
				}
				if tok.Incident != nil {
					on.Incident = tok.Incident.ID
				}
			}
			_, _ = Advance(t.Context(), r.p, in, on, r.env) // does not panic on a state that is not the program's
		}
	})
}

func TestDecode_RefusesWhatEncodeCannotHaveWritten(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "no id": `{"v":1,"instance":{}}`, "another version": `{"v":2,"instance":{"id":"x"}}`, "an unknown key": `{"v":1,"instance":{"id":"x","colour":1}}`,
		"tokens out of order": `{"v":1,"instance":{"id":"x","last_token":2,"tokens":[{"id":2},{"id":1}]}}`, "a missing token": `{"v":1,"instance":{"id":"x","tokens":[null]}}`,
		"a child before its parent": `{"v":1,"instance":{"id":"x","last_token":1,"tokens":[{"id":1,"parent":1}]}}`,
		"more behind it":            `{"v":1,"instance":{"id":"x"}} {}`, "a value of no kind": `{"v":1,"instance":{"id":"x","vars":{"a":{"$odd":"1"}}}}`,
	} {
		if in, err := Decode([]byte(text), nil); err == nil {
			t.Errorf("%s: %+v", name, in)
		}
	}
	if _, err := Decode([]byte(`{"v":1,"instance":{"id":"x","last_token":1,"tokens":[{"id":1,"task":"a"}]}}`), nil); err != nil {
		t.Error(err)
	}
}

func BenchmarkAdvance(b *testing.B) {
	r := newRig(b, program(waiting("w"), sms("m"), note("a"), waiting("v"), note("b")))
	r.start("Ann")
	on := r.event("timer.fired", nil)
	on.Kind, on.Timer = Fired, r.in.Tokens[0].Timer.ID
	on.Event.Position += 61 << 40
	b.ReportAllocs()
	for b.Loop() {
		state, personal, err := r.in.Encode()
		if err != nil {
			b.Fatal(err)
		}
		in, err := Decode(state, personal)
		if err != nil {
			b.Fatal(err)
		}
		if res, err := Advance(b.Context(), r.p, in, on, r.env); err != nil || len(res.Outputs) != 2 {
			b.Fatal(err, res.Ignored)
		}
	}
}
