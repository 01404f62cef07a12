package admission

import (
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

func FuzzAdmit(f *testing.F) {
	e := sequencertest.Lead("a", "1")
	for _, h := range e.Headers() {
		f.Add([]byte("a"), h.Key, h.Value, e.Value, int64(5))
	}
	f.Add([]byte("a"), "ce_deriver", []byte("rules"), []byte{0, 0, 0, 0, 1}, int64(-1))
	f.Add([]byte(""), "neuronx-sig", []byte("v1,k1,AAAA"), []byte{}, int64(1<<62))
	f.Fuzz(func(t *testing.T, key []byte, name string, header, value []byte, ms int64) {
		d := newJudge(t).tenant("a")
		o := NewOverlay(d.s, nil, 0)
		in := Input{Offset: 1, MS: ms, Stamped: ms%2 == 0, Key: key, Headers: []event.Header{{Key: name, Value: header}}, Value: value}
		got := Admit(&d.env, o, in)
		if (got.Outcome == Admitted) != (got.Recorded != nil) || (got.Outcome == Refused) != (got.Dead != nil) {
			t.Fatalf("%+v", got)
		}
		if got.Outcome == Paused {
			if o.Next != d.s.Next || len(o.tenants) != 0 || len(o.Keys.Entries) != 0 {
				t.Fatal("a pause left something")
			}
			return
		}
		if got.Recorded != nil {
			if _, err := event.ParseRecorded(key, got.Recorded.Headers(), value); err != nil {
				t.Fatalf("what was admitted can't be read: %v", err)
			}
		}
		r, err := parseState(packed(o))
		if err == nil {
			err = r.keys.each(r.position, func([]keys.Item) {})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
