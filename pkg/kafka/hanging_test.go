package kafka

import (
	"testing"
	"time"
)

func TestHanging_IsOnlyWhatNoCoordinatorWillEnd(t *testing.T) {
	now := time.Unix(10_000, 0)
	here, elsewhere := TopicPartition{"log", 5}, TopicPartition{"log", 4}
	known := func(state string, tps ...TopicPartition) map[int64]coordinatedTxn {
		c := coordinatedTxn{id: "slot-0", state: state, timeout: 10 * time.Second, partitions: map[TopicPartition]bool{}}
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
		open := []HangingTxn{{TopicPartition: here, ProducerID: 7, ProducerEpoch: 3, StartOffset: 42, LastWrite: now.Add(-c.age)}}
		got := hanging(now, open, c.known)
		if (len(got) == 1) != c.want {
			t.Errorf("%s: found %v", name, got)
		}
		if len(got) == 1 && (got[0].StartOffset != 42 || got[0].Reason == "" || (got[0].TransactionalID == "slot-0") != (c.known != nil)) {
			t.Errorf("%s: told as %+v", name, got[0])
		}
	}
}
