package kafka

import "github.com/twmb/franz-go/pkg/kgo"

const (
	ingressBatchBytes = 1 << 20
	logBatchBytes     = ingressBatchBytes + 128<<10
)

// MaxBatchBytes is the largest batch, and so the largest record with its framing, that a topic takes: max.message.bytes of
// topics.yaml. The log, the dead letters and the state take 128 KiB more than ingress, so that what the sequencer adds to
// a record always fits.
func MaxBatchBytes(topic string) int32 {
	switch topic {
	case TopicEvents, TopicDeadLetter, TopicState, TopicSchemas:
		return logBatchBytes
	}
	return ingressBatchBytes
}

// Framing of a record batch v2 (KIP-98): 61 bytes a batch; a record has seven varints of at most 5 bytes (the timestamp
// delta 10) and an attribute byte, and two more varints a header.
const (
	BatchOverhead  = 61 // bytes before the first record
	recordOverhead = 6*5 + 10 + 1
	headerOverhead = 2 * 5
)

// BatchSize is an upper bound, in bytes, of a batch that holds only this record, before compression.
func BatchSize(r *Record) int {
	n := BatchOverhead + recordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += headerOverhead + len(h.Key) + len(h.Value)
	}
	return n
}

// Fits reports whether a record can be written to its topic. What does not fit must be refused before it is produced:
// inside a transaction one fat record would abort its batch for ever.
func Fits(r *Record) bool { return BatchSize(r) <= int(MaxBatchBytes(r.Topic)) }

// partitioner sends a record with a key where Java's default would. Records that name their partition (forwarded ones,
// the sequencer's) are produced by clients with kgo.ManualPartitioner.
func partitioner() kgo.Opt { return kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)) }
