package sequencer

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func TestReceipt_SaysTheVerdictAndCountsOnlyWhenSigned(t *testing.T) {
	d := newDoor(t).tenant("a")
	grafted := waited(d.keys, "a", "graft", "w0")
	grafted.Receipt = "w1" // another waiter under a signature that was made without it
	unsigned := lead("a", "bare")
	unsigned.Receipt = "w2"
	conflict := waited(d.keys, "a", "1", "w5")
	conflict.Fingerprint = strings.Repeat("0b", 32)
	conflict.Subject, conflict.Value = "lead/other", lead("a", "other").Value
	for _, tc := range []struct {
		name string
		e    *event.Event
		want event.Receipt
	}{
		{"a grafted waiter", grafted, event.Receipt{}},
		{"an unsigned waiter", unsigned, event.Receipt{}},
		{"nobody waits", lead("a", "alone"), event.Receipt{}},
		{"admitted", waited(d.keys, "a", "1", "w3"), event.Receipt{ID: "1", Tenant: "a", Outcome: event.OutcomeAdmitted, Sequence: 5}},
		{"a repeat", waited(d.keys, "a", "1", "w4"), event.Receipt{ID: "1", Tenant: "a", Outcome: event.OutcomeDuplicate, Of: 5}},
		{"a conflict", signed(d.keys, conflict), event.Receipt{
			ID: "1", Tenant: "a", Outcome: event.OutcomeRefused, Code: event.CodeConflict, Detail: `source "/test" and id "1" were used by an event with another type, subject or data: sequence 5 (another event needs another id)`,
		}},
	} {
		got := d.put(tc.e)
		r, waits := receiptOf(&got)
		if tc.want.Sequence > 0 {
			tc.want.Position = got.recorded.Position
		}
		if waits != (tc.want.Outcome != "") || waits && got.receipt != tc.e.Receipt || r != tc.want {
			t.Errorf("%s: %v for %q, %+v, want %+v", tc.name, waits, got.receipt, r, tc.want)
		}
	}
}

func TestReceipt_WaiterStaysOutOfLogAndDeadLetters(t *testing.T) {
	d := newDoor(t).tenant("a")
	got := d.put(waited(d.keys, "a", "1", "w"))
	for _, h := range got.recorded.Headers() {
		if h.Key == hdrReceipt {
			t.Error("the waiter stands in the log")
		}
	}
	bad := lead("a", "2")
	bad.Receipt, bad.Value = "w", append(bad.Value, 0)
	got = d.put(signed(d.keys, bad))
	if _, waits := receiptOf(&got); got.outcome != refused || !waits {
		t.Fatalf("%+v", got)
	}
	letter, err := event.Parse(got.dead.key, got.dead.headers, got.dead.value)
	if err != nil || letter.Receipt != "" {
		t.Fatalf("%q %v", letter.Receipt, err)
	}
	if ok, err := d.keys.Verify(&letter); !ok {
		t.Errorf("the dead letter's signature no longer fits: %v", err)
	}
}

func TestReceipt_ComesWhereAForwardedRecordIsJudged(t *testing.T) {
	away, home := newDoor(t), newDoor(t)
	home.keys, home.env.verify, home.env.sign = away.keys, away.keys.Verify, away.keys.Sign
	home.tenant("a")
	away.env.partitionOf = func([]byte, int32) int32 { return 4 }
	got := away.put(waited(away.keys, "a", "1", "w"))
	if _, waits := receiptOf(&got); got.outcome != forwarded || waits {
		t.Fatalf("%+v", got)
	}
	at := home.raw(input{ms: home.ms, stamped: true, key: got.forward.key, headers: got.forward.headers, value: got.forward.value})
	if _, waits := receiptOf(&at); at.outcome != admitted || !waits || at.receipt != "w" {
		t.Fatalf("%+v", at)
	}
}
