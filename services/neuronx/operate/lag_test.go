package operate

import (
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
)

func TestBehind_CountsWhatTheArchiveLacks(t *testing.T) {
	at := func(p int32) kafka.TopicPartition {
		return kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p}
	}
	starts := map[kafka.TopicPartition]int64{at(0): 5, at(1): 7, at(2): 0}
	ends := map[kafka.TopicPartition]int64{at(0): 9, at(1): 7, at(2): 3}
	done := map[kafka.TopicPartition]kafka.Committed{at(0): {Offset: 8, Present: true}, at(2): {Offset: 4, Present: true}}
	if lag := Behind(starts, ends, done); lag != 1 {
		t.Errorf("lag %d: partition 0 lacks one record, 1 is empty, 2 is ahead of what was asked", lag)
	}
	if lag := Behind(starts, ends, nil); lag != 7 {
		t.Errorf("lag %d without commits, want all 7 records that are left", lag)
	}
}
