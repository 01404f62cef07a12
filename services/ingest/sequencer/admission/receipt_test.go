package admission

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

func TestReceipt_SaysTheVerdictAndCountsOnlyWhenSigned(t *testing.T) {
	d := newJudge(t).tenant("a")
	grafted := sequencertest.Waited(d.keys, "a", "graft", "w0")
	grafted.Receipt = "w1" // another waiter under a signature that was made without it
	unsigned := sequencertest.Lead("a", "bare")
	unsigned.Receipt = "w2"
	conflict := sequencertest.Waited(d.keys, "a", "1", "w5")
	conflict.Fingerprint = strings.Repeat("0b", 32)
	conflict.Subject, conflict.Value = "lead/other", sequencertest.Lead("a", "other").Value
	for _, tc := range []struct {
		name string
		e    *event.Event
		want event.Receipt
	}{
		{"a grafted waiter", grafted, event.Receipt{}},
		{"an unsigned waiter", unsigned, event.Receipt{}},
		{"nobody waits", sequencertest.Lead("a", "alone"), event.Receipt{}},
		{"admitted", sequencertest.Waited(d.keys, "a", "1", "w3"), event.Receipt{ID: "1", Tenant: "a", Outcome: event.OutcomeAdmitted, Sequence: 5}},
		{"a repeat", sequencertest.Waited(d.keys, "a", "1", "w4"), event.Receipt{ID: "1", Tenant: "a", Outcome: event.OutcomeDuplicate, Of: 5}},
		{"a conflict", sequencertest.Signed(d.keys, conflict), event.Receipt{
			ID: "1", Tenant: "a", Outcome: event.OutcomeRefused, Code: event.CodeConflict, Detail: `source "/test" and id "1" were used by an event with another type, subject or data: sequence 5 (another event needs another id)`,
		}},
	} {
		got := d.put(tc.e)
		r, waits := ReceiptOf(&got)
		if tc.want.Sequence > 0 {
			tc.want.Position = got.Recorded.Position
		}
		if waits != (tc.want.Outcome != "") || waits && got.Receipt != tc.e.Receipt || r != tc.want {
			t.Errorf("%s: %v for %q, %+v, want %+v", tc.name, waits, got.Receipt, r, tc.want)
		}
	}
}

func TestReceipt_WaiterStaysOutOfLogAndDeadLetters(t *testing.T) {
	d := newJudge(t).tenant("a")
	got := d.put(sequencertest.Waited(d.keys, "a", "1", "w"))
	for _, h := range got.Recorded.Headers() {
		if h.Key == hdrReceipt {
			t.Error("the waiter stands in the log")
		}
	}
	bad := sequencertest.Lead("a", "2")
	bad.Receipt, bad.Value = "w", append(bad.Value, 0)
	got = d.put(sequencertest.Signed(d.keys, bad))
	if _, waits := ReceiptOf(&got); got.Outcome != Refused || !waits {
		t.Fatalf("%+v", got)
	}
	letter, err := event.Parse(got.Dead.Key, got.Dead.Headers, got.Dead.Value)
	if err != nil || letter.Receipt != "" {
		t.Fatalf("%q %v", letter.Receipt, err)
	}
	if ok, err := d.keys.Verify(&letter); !ok {
		t.Errorf("the dead letter's signature no longer fits: %v", err)
	}
}

func TestReceipt_ComesWhereAForwardedRecordIsJudged(t *testing.T) {
	away, home := newJudge(t), newJudge(t)
	home.keys, home.env.Verify, home.env.Sign = away.keys, away.keys.Verify, away.keys.Sign
	home.tenant("a")
	away.env.PartitionOf = func([]byte, int32) int32 { return 4 }
	got := away.put(sequencertest.Waited(away.keys, "a", "1", "w"))
	if _, waits := ReceiptOf(&got); got.Outcome != forwarded || waits {
		t.Fatalf("%+v", got)
	}
	at := home.raw(Input{MS: home.ms, Stamped: true, Key: got.Forward.Key, Headers: got.Forward.Headers, Value: got.Forward.Value})
	if _, waits := ReceiptOf(&at); at.Outcome != Admitted || !waits || at.Receipt != "w" {
		t.Fatalf("%+v", at)
	}
}
