package sequencer

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// waited is an outside event that somebody waits for, signed as the HTTP door does.
func waited(k *event.Keyring, tenant, id, waiter string) *event.Event {
	e := lead(tenant, id)
	e.Receipt, e.Fingerprint = waiter, strings.Repeat("0a", 32)
	return signed(k, e)
}

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
		rec := receiptOf(&got, 3)
		if tc.want.Outcome == "" {
			if rec != nil {
				t.Errorf("%s: a receipt %s", tc.name, rec.Value)
			}
			continue
		}
		if rec == nil || rec.Topic != kafka.TopicReceipts || rec.Partition != 3 || string(rec.Key) != tc.e.Receipt {
			t.Fatalf("%s: %+v", tc.name, rec)
		}
		r, err := event.ParseReceipt(rec.Value)
		if tc.want.Sequence > 0 {
			tc.want.Position = got.recorded.Position
		}
		if err != nil || r != tc.want {
			t.Errorf("%s: %+v, want %+v (%v)", tc.name, r, tc.want, err)
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
	if got.outcome != refused || receiptOf(&got, 0) == nil {
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
	if got.outcome != forwarded || receiptOf(&got, 0) != nil {
		t.Fatalf("%+v", got)
	}
	at := home.raw(input{ms: home.ms, stamped: true, key: got.forward.key, headers: got.forward.headers, value: got.forward.value})
	rec := receiptOf(&at, 4)
	if at.outcome != admitted || rec == nil || string(rec.Key) != "w" {
		t.Fatalf("%+v %+v", at, rec)
	}
}

func TestRun_ReceiptsAreCommittedWithTheVerdicts(t *testing.T) {
	cfg, cluster := kafkatest.StartCluster(t)
	keys := event.NewKeyring()
	start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"))
	waitLogged(t, cfg, 1)
	hits := kafkatest.FailTxn(cluster, kafkatest.TxnFaults()[0], 2)
	const n = 40
	for i := range n {
		send(t, cfg, waited(keys, "a", fmt.Sprint(i), fmt.Sprintf("w-%d", i)))
	}
	misplaced := kafka.ToRecord(kafka.TopicIngress, waited(keys, "a", "away", "w-away"))
	home := kafka.PartitionFor(misplaced.Key, kafkatest.Partitions)
	misplaced.Partition = (home + 1) % kafkatest.Partitions
	kafkatest.Misplace(t, cfg, misplaced)
	log := waitLogged(t, cfg, n+2)
	kafkatest.WaitFor(t, "the faults", func(context.Context) bool { return hits() > 0 })
	sequence := map[string]int64{}
	for _, e := range log["a"] {
		sequence[e.ID] = e.Sequence
	}
	seen := map[string]int{}
	for _, r := range kafkatest.Consume(t, cfg, kafka.TopicReceipts) {
		got, err := event.ParseReceipt(r.Value)
		if err != nil || got.Sequence == 0 || got.Sequence != sequence[got.ID] || string(r.Key) != "w-"+got.ID || r.Partition != home {
			t.Errorf("%s-%d %s: %s (%v)", r.Topic, r.Partition, r.Key, r.Value, err)
		}
		seen[got.ID]++
	}
	if len(seen) != n+1 || seen["away"] != 1 || seen["0"] != 1 {
		t.Errorf("receipts of %d events, want %d: %v", len(seen), n+1, seen)
	}
}
