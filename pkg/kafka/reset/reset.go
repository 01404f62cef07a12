package reset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Spec says which group, which partitions, and where to. Exactly one target is set; FromFile names the partitions itself, every
// other target needs Topics or AllTopics.
type Spec struct {
	Group     string
	Topics    []string // "t" or "t:0,1,2"
	AllTopics bool     // every topic for which the group has a committed offset

	ToEarliest, ToLatest bool
	ToCurrent            bool // the committed offset, or the end of the log without one
	ToOffset             *int64
	ShiftBy              *int64         // from the committed offset, in records
	ToDatetime           *time.Time     // the first record at or after it
	ByDuration           *time.Duration // that long before now
	FromFile             []byte         // CSV: topic,partition,offset or group,topic,partition,offset; NoOffset deletes the offset
}

// NoOffset stands for no committed offset. As a new offset, which only a file can ask for, it deletes the one that there is: so what was
// committed before a reset can be brought back as a whole.
const NoOffset = -1

// Row is one partition of a plan.
type Row struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Prior     int64  `json:"prior_offset"` // committed when the plan was made, -1 if nothing was
	NewOffset int64  `json:"new_offset"`   // NoOffset: the committed one is deleted
}

// Warning is something that an operator should read before executing.
type Warning string

// ActiveError says that a group has members, in Kafka's words.
type ActiveError struct{ Group, State string }

// Error implements error.
func (e *ActiveError) Error() string {
	return fmt.Sprintf("Assignments can only be reset if the group '%s' is inactive, but the current state is %s.", e.Group, e.State)
}

// Is makes errors.Is(err, admin.ErrGroupActive) true.
func (e *ActiveError) Is(target error) bool { return target == admin.ErrGroupActive }

// Plan works out the rows, sorted by topic and partition. It changes nothing, and unlike Kafka's tool it also plans for a group
// that is active, with a warning.
func Plan(ctx context.Context, adm *admin.Client, spec Spec) ([]Row, []Warning, error) {
	if err := spec.check(); err != nil {
		return nil, nil, err
	}
	facts, err := gather(ctx, adm, spec)
	if err != nil {
		return nil, nil, err
	}
	rows, warnings, err := plan(spec, facts)
	if err != nil {
		return nil, nil, err
	}
	group, err := adm.DescribeGroup(ctx, spec.Group)
	if err != nil {
		return nil, nil, err
	}
	if !group.Inactive() {
		warnings = append(warnings, Warning((&ActiveError{spec.Group, group.State}).Error()))
	}
	return rows, warnings, nil
}

// Execute commits rows with metadata ("nx-reset:<session>"), one group after the other. A group with members is an *ActiveError;
// all groups are looked at before the first one is changed.
func Execute(ctx context.Context, adm *admin.Client, rows []Row, metadata string) error {
	groups := make(map[string]map[kafka.TopicPartition]kafka.Committed)
	gone := make(map[string][]kafka.TopicPartition)
	for _, r := range rows {
		if groups[r.Group] == nil {
			groups[r.Group] = make(map[kafka.TopicPartition]kafka.Committed)
		}
		tp := kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}
		if r.NewOffset == NoOffset {
			gone[r.Group] = append(gone[r.Group], tp)
			continue
		}
		groups[r.Group][tp] = kafka.Committed{Offset: r.NewOffset, Metadata: metadata}
	}
	names := slices.Sorted(maps.Keys(groups))
	for _, name := range names {
		g, err := adm.DescribeGroup(ctx, name)
		if err != nil {
			return err
		}
		if !g.Inactive() {
			return &ActiveError{name, g.State}
		}
	}
	for _, name := range names {
		err := adm.Commit(ctx, name, groups[name])
		if err == nil {
			err = adm.DeleteOffsets(ctx, name, gone[name])
		}
		if errors.Is(err, admin.ErrGroupActive) { // a member joined since
			state := "Stable"
			if g, derr := adm.DescribeGroup(ctx, name); derr == nil && !g.Inactive() {
				state = g.State
			}
			return &ActiveError{name, state}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gather asks the broker for what the planner needs.
func gather(ctx context.Context, adm *admin.Client, spec Spec) (facts, error) {
	var f facts
	var err error
	if f.committed, err = adm.Committed(ctx, spec.Group); err != nil {
		return f, err
	}
	if spec.FromFile != nil {
		if f.file, err = ParseCSV(spec.FromFile, spec.Group); err != nil {
			return f, err
		}
	}
	names, err := spec.topicNames(f)
	if err != nil || len(names) == 0 {
		return f, err
	}
	topics, err := adm.Topics(ctx, names...)
	if err != nil {
		return f, err
	}
	f.partitions = make(map[string]int32)
	for _, name := range names {
		t, ok := topics[name]
		if !ok {
			return f, fmt.Errorf("topic %s does not exist", name)
		}
		f.partitions[name] = t.Partitions
	}
	if f.start, err = adm.StartOffsets(ctx, names...); err != nil {
		return f, err
	}
	if f.end, err = adm.EndOffsets(ctx, admin.ReadUncommitted, names...); err != nil {
		return f, err
	}
	if at, ok := spec.instant(time.Now()); ok {
		f.after, err = adm.OffsetsAfter(ctx, at, names...)
	}
	return f, err
}
