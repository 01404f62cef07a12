package sequencer

import (
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func FuzzAdmit(f *testing.F) {
	e := lead("a", "1")
	for _, h := range e.Headers() {
		f.Add([]byte("a"), h.Key, h.Value, e.Value, int64(5))
	}
	f.Add([]byte("a"), "ce_deriver", []byte("rules"), []byte{0, 0, 0, 0, 1}, int64(-1))
	f.Add([]byte(""), "neuronx-sig", []byte("v1,k1,AAAA"), []byte{}, int64(1<<62))
	f.Fuzz(func(t *testing.T, key []byte, name string, header, value []byte, ms int64) {
		d := newDoor(t).tenant("a")
		o := newOverlay(d.s, nil, 0)
		in := input{offset: 1, ms: ms, stamped: ms%2 == 0, key: key, headers: []event.Header{{Key: name, Value: header}}, value: value}
		got := admit(&d.env, o, in)
		if (got.outcome == admitted) != (got.recorded != nil) || (got.outcome == refused) != (got.dead != nil) {
			t.Fatalf("%+v", got)
		}
		if got.outcome == paused {
			if o.next != d.s.next || len(o.tenants) != 0 || len(o.keys.entries) != 0 {
				t.Fatal("a pause left something")
			}
			return
		}
		if got.recorded != nil {
			if _, err := event.ParseRecorded(key, got.recorded.Headers(), value); err != nil {
				t.Fatalf("what was admitted can't be read: %v", err)
			}
		}
		r, err := parseState(packed(o))
		if err == nil {
			err = r.keys.each(r.position, func([]keyed) {})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
