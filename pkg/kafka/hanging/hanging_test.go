package hanging

import (
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

func TestHanging_IsOnlyWhatNoCoordinatorWillEnd(t *testing.T) {
	now := time.Unix(10_000, 0)
	here, elsewhere := kafka.TopicPartition{Topic: "log", Partition: 5}, kafka.TopicPartition{Topic: "log", Partition: 4}
	known := func(state string, tps ...kafka.TopicPartition) map[int64]coordinatedTxn {
		c := coordinatedTxn{id: "slot-0", state: state, timeout: 10 * time.Second, partitions: map[kafka.TopicPartition]bool{}}
		for _, tp := range tps {
			c.partitions[tp] = true
		}
		return map[int64]coordinatedTxn{7: c}
	}
	for name, c := range map[string]struct {
		age   time.Duration
		known map[int64]coordinatedTxn
		want  bool
	}{
		"a transaction that goes on":                           {time.Minute, known("Ongoing", here), false},
		"one whose markers are being written":                  {time.Minute, known("PrepareCommit", here), false},
		"one whose marker is here already, say, not elsewhere": {time.Minute, known("PrepareAbort", elsewhere), true},
		"the next transaction of the producer, elsewhere":      {time.Minute, known("Ongoing", elsewhere), true},
		"a late write, after the end":                          {time.Minute, known("CompleteCommit"), true},
		"a late write, within the time-out":                    {19 * time.Second, known("CompleteAbort"), false},
		"a completed one that lists the partition still":       {time.Minute, known("CompleteAbort", here), true},
		"a producer that nobody knows, young":                  {14 * time.Minute, nil, false},
		"a producer that nobody knows, old":                    {15 * time.Minute, nil, true},
		"another producer is known":                            {time.Minute, map[int64]coordinatedTxn{8: {state: "CompleteAbort"}}, false},
	} {
		open := []Txn{{TopicPartition: here, ProducerID: 7, ProducerEpoch: 3, StartOffset: 42, LastWrite: now.Add(-c.age)}}
		got := pick(now, open, c.known)
		if (len(got) == 1) != c.want {
			t.Errorf("%s: found %v", name, got)
		}
		if len(got) == 1 && (got[0].StartOffset != 42 || got[0].Reason == "" || (got[0].TransactionalID == "slot-0") != (c.known != nil)) {
			t.Errorf("%s: told as %+v", name, got[0])
		}
	}
}

func TestTxnHistory_DecidesAsTheCoordinatorDid(t *testing.T) {
	wrote := time.Unix(10_000, 0)
	tp, other := kafka.TopicPartition{Topic: "log", Partition: 4}, kafka.TopicPartition{Topic: "log", Partition: 5}
	entry := func(seconds int, status int8, epoch int16, tps ...kafka.TopicPartition) txnEntry {
		return txnEntry{at: wrote.Add(time.Duration(seconds) * time.Second), producer: 4, epoch: epoch, status: status, version: txnVersion2, partitions: tps}
	}
	// As a single broker left it that was killed after the second entry: complete, and no marker anywhere.
	killed := []txnEntry{
		entry(-1, txnCompleteCommit, 1313), entry(0, txnOngoing, 1313, tp), entry(0, txnPrepareCommit, 1314, tp), entry(16, txnCompleteCommit, 1314),
		entry(20, txnOngoing, 1314, other), entry(20, txnPrepareAbort, 1315, other), entry(20, txnCompleteAbort, 1315),
	}
	old := slices.Clone(killed)
	for i := range old {
		old[i].version = 1
	}
	foreign := entry(-1, txnOngoing, 1313, tp)
	foreign.producer = 3
	for name, c := range map[string]struct {
		history []txnEntry
		want    Outcome
	}{
		"committed, then an abort elsewhere":           {killed, Commit},
		"committed, but epochs are shared":             {old, Unknown},
		"aborted":                                      {[]txnEntry{entry(0, txnOngoing, 1313, tp), entry(1, txnPrepareAbort, 1314, tp)}, Abort},
		"fenced by the next process":                   {[]txnEntry{entry(0, txnOngoing, 1313, tp), entry(1, txnEpochFence, 1314, tp)}, Abort},
		"only the end is left of a commit":             {[]txnEntry{entry(0, txnOngoing, 1313, tp), entry(1, txnCompleteCommit, 1314)}, Commit},
		"committed without this partition: late write": {[]txnEntry{entry(-1, txnOngoing, 1313, other), entry(-1, txnPrepareCommit, 1314, other)}, Abort},
		"never part of a transaction":                  {[]txnEntry{entry(-5, txnEmpty, 1313)}, Abort},
		"of an earlier producer":                       {[]txnEntry{foreign, entry(0, txnPrepareCommit, 1314, tp)}, Abort},
		"still open":                                   {[]txnEntry{entry(0, txnOngoing, 1313, tp)}, Unknown},
		"the log does not reach back":                  {[]txnEntry{entry(30, txnCompleteCommit, 1400)}, Unknown},
		"nothing is left":                              {nil, Unknown},
	} {
		h := txnHistory{t: Txn{TopicPartition: tp, ProducerID: 4, ProducerEpoch: 1313, LastWrite: wrote}}
		for _, e := range c.history {
			h.add(e)
		}
		if got := h.end(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
