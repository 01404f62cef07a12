// Package reset plans and executes offset resets.
package reset

import (
	"context"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

// Spec says which group, which partitions, and where to. Exactly one target is set.
type Spec struct {
	Group     string
	Topics    []string // "t" or "t:0,1,2"
	AllTopics bool     // every topic with a committed offset

	ToEarliest, ToLatest, ToCurrent bool
	ToOffset                        *int64
	ShiftBy                         *int64
	ToDatetime                      *time.Time
	ByDuration                      *time.Duration
	FromFile                        []byte // CSV
}

// Row is one partition of a plan.
type Row struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Prior     int64  `json:"prior"` // -1: none
	NewOffset int64  `json:"new_offset"`
}

// Warning is something that the operator should read before executing.
type Warning string

// Plan works out the rows. It changes nothing.
func Plan(ctx context.Context, admin *kafka.Admin, spec Spec) ([]Row, []Warning, error) {
	return nil, nil, nil
}

// Execute commits rows with metadata, refusing groups that have members.
func Execute(ctx context.Context, admin *kafka.Admin, rows []Row, metadata string) error { return nil }
