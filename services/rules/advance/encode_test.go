package advance

import (
	"bytes"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/flow"
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

// Each part stays within its own limit.
func TestDecode_ReadsTheLargestInstanceThatAFileCanMake(t *testing.T) {
	text := strings.Repeat("x", MaxVarsBytes-100)
	in := Instance{ID: "x", Tenant: "t1", Workflow: "w", Status: Waiting, LastToken: MaxTokens, Vars: State{"v": text}}
	for id := range int64(MaxTokens) {
		tok := &Token{ID: id + 1, Task: "a", Rest: AtWait}
		for range flow.MaxDepth {
			tok.Frames = append(tok.Frames, &Frame{Task: "a", Values: Values{text}})
		}
		in.Tokens = append(in.Tokens, tok)
		in.Slots = append(in.Slots, &Slot{Task: "a", Match: int(id), Filled: true, Set: State{"v": text}})
		in.Undo = append(in.Undo, Undo{Task: "a", Locals: State{"v": text}})
	}
	state, personal, err := in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(state, personal); err != nil {
		t.Errorf("%d bytes: %v", len(state), err)
	}
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

// What a build stored, later builds read: a change of these texts needs a new version of the form, and Decode must go on reading this one.
func TestEncode_WritesTheFormThatIsStored(t *testing.T) {
	const state = `{"v":1,"instance":{"id":"i","tenant":"t1","workflow":"w","key":"7","subject":"lead/7","contact":"7","zone":"UTC","origin":"live","correlation":"e0","trigger":"lead.created",` +
		`"bundle":4,"number":2,"started":"2026-03-02T12:00:00Z","sequence":5,"status":"incident","suspended":true,"held":{"id":"h","task":"until/u","code":"data","detail":"d","attempt":1},"hops":1,"path":["a.b\u003cr@1"],` +
		`"resumed":true,"activation":3,"steps":9,"last_token":2,"deadline":{"id":"d","task":"limit","due":"2027-04-06T12:00:00Z","armed":5},"tokens":[{"id":1,"task":"f","visit":1,"rest":"fork","frames":[{"task":"l","index":1,` +
		`"values":[2.0,{"$decimal":"1.50"}]},{"task":"t","attempts":2,"caught":{"type":"raised/x"},"personal":true},{"task":"p","personal":true}]},{"id":2,"parent":1,"task":"f/c","visit":3,"rest":"call","timer":{"id":"x","token":2,"task":"f/c",` +
		`"due":"2026-03-02T13:00:00Z","armed":6},"command":"c","heard":[0,2],"reserved":77,"incident":{"id":"n","task":"f/c","code":"timeout"},"next":{"task":"z"}}],"visits":{"f":1,"f/c":3},"slots":[{"task":"q","match":1,"filled":true,` +
		`"set":{"a":null},"personal":["b"]},{"task":"q","failed":{"type":"data"}}],"undo":[{"task":"e","visit":1,"command":"c","personal":true}],"vars":{"at":{"$time":"2026-03-02T12:00:00Z"},"n":1}}}`
	const personal = `{"vars":{"name":"Ann"},"loops":{"1/2":["Ann","Bob"]},"errors":{"1/1":{"type":"raised/x","detail":"Ann"}},"slots":{"0":{"b":"Ann"}},"undo":{"0":{"n":"Ann"}}}`
	in, err := Decode([]byte(state), []byte(personal))
	if err != nil {
		t.Fatal(err)
	}
	a, b, err := in.Encode()
	if err != nil || string(a) != state || string(b) != personal {
		t.Errorf("%v\n%s\n%s", err, a, b)
	}
	if in.Personal["name"] != "Ann" || in.Tokens[0].Frames[2].Values[1] != "Bob" || in.Tokens[0].Frames[1].Caught.Detail != "Ann" || in.Slots[0].Set["b"] != "Ann" || in.Undo[0].Locals["n"] != "Ann" {
		t.Errorf("%+v: personal values did not come back to their places", in)
	}
	if alone, err := Decode([]byte(state), nil); err != nil || len(alone.Personal) > 0 {
		t.Errorf("%v %v: an instance can't be read without what was erased", alone.Personal, err)
	}
}
