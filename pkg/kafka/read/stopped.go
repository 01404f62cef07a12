package read

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// StoppedError says why a partition is not read any more. Reading on would skip records without a word, so it waits for a
// person (or for an owner that resumes it elsewhere).
type StoppedError struct {
	kafka.TopicPartition
	Next   int64  // the offset that should have come
	Reason string // what happened, and what to do
	Err    error  // the client's error, if any
}

// Error implements error.
func (e *StoppedError) Error() string {
	s := fmt.Sprintf("%s stopped at offset %d: %s", e.TopicPartition, e.Next, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the client's error.
func (e *StoppedError) Unwrap() error { return e.Err }

// OutOfRange says on which side of the log an offset lies that a broker has answered with OFFSET_OUT_OF_RANGE.
func OutOfRange(ctx context.Context, adm *kadm.Client, tp kafka.TopicPartition, next int64) string {
	starts, err := adm.ListStartOffsets(ctx, tp.Topic)
	if err == nil {
		if o, ok := starts.Lookup(tp.Topic, tp.Partition); ok && o.Err == nil && o.Offset > next {
			return trimmed(next, o.Offset)
		}
		ends, err := adm.ListEndOffsets(ctx, tp.Topic)
		if o, ok := ends.Lookup(tp.Topic, tp.Partition); err == nil && ok && o.Err == nil && o.Offset < next {
			return fmt.Sprintf("the log ends at %d, before that offset: it was wiped, truncated or restored from an older copy", o.Offset)
		}
	}
	return "the offset is outside the log"
}

// Jumped says that the client has gone on behind records that were trimmed: where it lists offsets before it fetches, it moves one that
// lies before the log's beginning there, and tells nobody.
func Jumped(ft kgo.FetchTopicPartition, next int64) *StoppedError {
	if len(ft.Records) == 0 || ft.Records[0].Offset <= next || ft.LogStartOffset <= next {
		return nil
	}
	return &StoppedError{TopicPartition: kafka.TopicPartition{Topic: ft.Topic, Partition: ft.Partition}, Next: next, Reason: trimmed(next, ft.LogStartOffset)}
}

func trimmed(next, start int64) string {
	return fmt.Sprintf("trimmed: the log begins at %d, records %d to %d are gone; take them from the archive, or accept their loss by a reset",
		start, next, start-1)
}
