package operate

import "github.com/neuronx/engine/pkg/kafka"

// Behind counts the records between the starts and the ends of partitions that a group has not consumed. A partition without a commit counts
// in full.
func Behind(starts, ends map[kafka.TopicPartition]int64, done map[kafka.TopicPartition]kafka.Committed) (lag int64) {
	for tp, end := range ends {
		from := starts[tp]
		if at := done[tp]; at.Present {
			from = max(from, at.Offset)
		}
		lag += max(0, end-from)
	}
	return lag
}
