package reset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// facts is what the broker said.
type facts struct {
	partitions map[string]int32 // count, by topic
	committed  map[kafka.TopicPartition]kafka.Committed
	start, end map[kafka.TopicPartition]int64
	after      map[kafka.TopicPartition]admin.OffsetAt // only for a reset by time
	file       []Row                                   // only for a reset from a file
}

// check reports everything that is wrong with a specification.
func (s Spec) check() error {
	var errs []error
	if s.Group == "" {
		errs = append(errs, errors.New("no group is given"))
	}
	targets := 0
	for _, set := range []bool{s.ToEarliest, s.ToLatest, s.ToCurrent, s.ToOffset != nil, s.ShiftBy != nil, s.ToDatetime != nil, s.ByDuration != nil, s.FromFile != nil} {
		if set {
			targets++
		}
	}
	if targets != 1 {
		errs = append(errs, fmt.Errorf("%d targets are given, exactly one is needed: to-earliest, to-latest, to-current, to-offset, shift-by, to-datetime, by-duration or from-file", targets))
	}
	switch scoped := s.AllTopics || len(s.Topics) > 0; {
	case s.AllTopics && len(s.Topics) > 0:
		errs = append(errs, errors.New("all-topics and topic exclude each other"))
	case s.FromFile != nil && scoped:
		errs = append(errs, errors.New("a file names its partitions itself; give no topic as well"))
	case s.FromFile == nil && !scoped:
		errs = append(errs, errors.New("one of the reset scopes should be defined: all-topics or topic"))
	}
	if s.ByDuration != nil && *s.ByDuration < 0 {
		errs = append(errs, errors.New("by-duration is negative"))
	}
	return errors.Join(errs...)
}

// instant is the time that a reset by time means.
func (s Spec) instant(now time.Time) (time.Time, bool) {
	switch {
	case s.ToDatetime != nil:
		return *s.ToDatetime, true
	case s.ByDuration != nil:
		return now.Add(-*s.ByDuration), true
	}
	return time.Time{}, false
}

// topicNames lists the topics in scope.
func (s Spec) topicNames(f facts) ([]string, error) {
	names := make(map[string]bool)
	switch {
	case s.FromFile != nil:
		for _, r := range f.file {
			names[r.Topic] = true
		}
	case s.AllTopics:
		for tp := range f.committed {
			names[tp.Topic] = true
		}
	default:
		for _, t := range s.Topics {
			name, _, err := parseTopic(t)
			if err != nil {
				return nil, err
			}
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// parseTopic splits "t:0,1,2"; no partitions means all.
func parseTopic(s string) (name string, partitions []int32, err error) {
	name, list, some := strings.Cut(s, ":")
	if name == "" || some && list == "" {
		return "", nil, fmt.Errorf("topic %q: write t or t:0,1,2", s)
	}
	if !some {
		return name, nil, nil
	}
	for p := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(p), 10, 32)
		if err != nil || n < 0 {
			return "", nil, fmt.Errorf("topic %q: %q is not a partition number", s, p)
		}
		partitions = append(partitions, int32(n))
	}
	return name, partitions, nil
}

// plan is the arithmetic.
func plan(s Spec, f facts) ([]Row, []Warning, error) {
	scope, err := s.scope(f)
	if err != nil {
		return nil, nil, err
	}
	var rows []Row
	var warnings []Warning
	var errs []error
	for _, tp := range scope {
		at, warning, err := s.target(tp, f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
		prior := int64(-1)
		if c := f.committed[tp]; c.Present {
			prior = c.Offset
		}
		rows = append(rows, Row{Group: s.Group, Topic: tp.Topic, Partition: tp.Partition, Prior: prior, NewOffset: at})
	}
	return rows, warnings, errors.Join(errs...)
}

// scope lists the partitions to be reset, sorted.
func (s Spec) scope(f facts) ([]kafka.TopicPartition, error) {
	in := make(map[kafka.TopicPartition]bool)
	switch {
	case s.FromFile != nil:
		for _, r := range f.file {
			in[kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}] = true
		}
	case s.AllTopics:
		for tp := range f.committed {
			in[tp] = true
		}
	default:
		for _, t := range s.Topics {
			name, partitions, err := parseTopic(t)
			if err != nil {
				return nil, err
			}
			if partitions == nil {
				for p := range f.partitions[name] {
					partitions = append(partitions, p)
				}
			}
			for _, p := range partitions {
				in[kafka.TopicPartition{Topic: name, Partition: p}] = true
			}
		}
	}
	out := slices.Collect(maps.Keys(in))
	slices.SortFunc(out, func(a, b kafka.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, tp := range out {
		if tp.Partition >= f.partitions[tp.Topic] {
			return nil, fmt.Errorf("partition %s does not exist: the topic has %d", tp, f.partitions[tp.Topic])
		}
	}
	return out, nil
}

// target works out one partition's new offset.
func (s Spec) target(tp kafka.TopicPartition, f facts) (int64, Warning, error) {
	start, end, committed := f.start[tp], f.end[tp], f.committed[tp]
	switch {
	case s.ToEarliest:
		return start, "", nil
	case s.ToLatest:
		return end, "", nil
	case s.ToCurrent:
		if committed.Present {
			return committed.Offset, "", nil
		}
		return end, "", nil
	case s.ToOffset != nil:
		at, w := clamp(tp, *s.ToOffset, start, end)
		return at, w, nil
	case s.ShiftBy != nil:
		if !committed.Present {
			return 0, "", fmt.Errorf("Cannot shift offset for partition %s since there is no current committed offset", tp) //nolint:staticcheck // Kafka's sentence
		}
		at := committed.Offset + *s.ShiftBy
		if *s.ShiftBy > 0 && at < committed.Offset || *s.ShiftBy < 0 && at > committed.Offset {
			return 0, "", fmt.Errorf("a shift by %d from offset %d of partition %s is beyond every offset", *s.ShiftBy, committed.Offset, tp)
		}
		at, w := clamp(tp, at, start, end)
		return at, w, nil
	case s.FromFile != nil:
		i := slices.IndexFunc(f.file, func(r Row) bool { return r.Topic == tp.Topic && r.Partition == tp.Partition })
		if f.file[i].NewOffset == NoOffset {
			return NoOffset, "", nil
		}
		at, w := clamp(tp, f.file[i].NewOffset, start, end)
		return at, w, nil
	default: // by time
		if at := f.after[tp]; at.Found {
			return at.Offset, "", nil
		}
		return end, Warning(fmt.Sprintf("Partition %d from topic %s is empty. Falling back to latest known offset.", tp.Partition, tp.Topic)), nil
	}
}

// clamp moves an offset into the log, with Kafka's warnings.
func clamp(tp kafka.TopicPartition, at, start, end int64) (int64, Warning) {
	switch {
	case at > end:
		return end, Warning(fmt.Sprintf("New offset (%d) is higher than latest offset for topic partition %s. Value will be set to %d", at, tp, end))
	case at < start:
		return start, Warning(fmt.Sprintf("New offset (%d) is lower than earliest offset for topic partition %s. Value will be set to %d", at, tp, start))
	}
	return at, ""
}
