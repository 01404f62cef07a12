package kafka

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// ResumeFunc decides where to read from when partitions are assigned.
type ResumeFunc func(ctx context.Context, committed map[TopicPartition]Committed, topicIDs map[string][16]byte) (map[TopicPartition]int64, error)

// GroupConfig says what a Group reads and how it resumes.
type GroupConfig struct {
	Config
	Group      string
	Topics     []string
	MaxRecords int // a batch; 0 means 2,000
	Log        *slog.Logger
	Reg        prometheus.Registerer // nil: no metrics
	// Resume is called at every assignment, with what the group has committed for the partitions assigned now and
	// the ids of their topics. It returns the offsets to read from; a partition it leaves out resumes at its
	// committed offset, or at the start of the log. Nil does that for all.
	Resume ResumeFunc
	// Metadata is written with every commit of a partition: "nx1:<slot>:<log id>". Nil writes none.
	Metadata func(TopicPartition) string
	// Assigned and Revoked are told of changes. Revoked may be skipped by the client (a process that was paused), so
	// correctness must not rest on it. Both are optional.
	Assigned, Revoked func(context.Context, []TopicPartition)
}

// Group is one member of a consumer group.
type Group struct{ cfg GroupConfig }

// NewGroup prepares a member; Run joins.
func NewGroup(cfg GroupConfig) (*Group, error) {
	return nil, errors.New("kafka: group not built yet")
}

// Run reads until ctx is done or handle fails. handle gets the records of one poll in order per partition; they are
// committed after it returned nil. A nil batch is a tick, at least once a second.
func (g *Group) Run(ctx context.Context, handle func(ctx context.Context, batch []*Record) error) error {
	return nil
}

// Owned lists the partitions assigned now, sorted.
func (g *Group) Owned() []TopicPartition { return nil }
