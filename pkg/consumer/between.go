package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

var errRecord = errors.New("a record")

// NothingBetween reports whether a partition of a topic has no record from one offset up to, excluding, another: control records and aborted ones at
// most. They move no row, so a row that stands before them is at the end all the same. A range that is trimmed is an error.
func NothingBetween(ctx context.Context, cfg kafka.Config, topic string, p int32, from, to int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := read.Range(ctx, cfg, topic, p, from, to, func(*kafka.Record) error { return errRecord })
	if errors.Is(err, errRecord) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read partition %d of %s from %d to %d: %w", p, topic, from, to, err)
	}
	return true, nil
}
