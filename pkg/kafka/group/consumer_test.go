package group_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

func TestGroup_FreshGroupReadsFromTheStart(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 100)...)
	m := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "all records", func(context.Context) bool { return m.count() >= 100 })
	m.leave(t)
	if got := m.offsets(0); !slices.Equal(got, upTo(0, 100)) {
		t.Fatalf("read %v", got)
	}
	if c := committed(t, admin, "g")[0]; c.Offset != 100 {
		t.Fatalf("committed %d, want the offset behind the last record, 100", c.Offset)
	}
}

func TestGroup_CommitMetadataIsReadableAndTellsOurCommitsFromResets(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	m := join(t, group.Config{Config: cfg, Metadata: func(tp kafka.TopicPartition) string {
		return fmt.Sprintf("nx1:7:log-%d", tp.Partition)
	}}, nil)
	kafkatest.WaitFor(t, "all records", func(context.Context) bool { return m.count() == 10 })
	m.leave(t)
	if c := committed(t, admin, "g")[0]; c.Metadata != "nx1:7:g:10:log-0" || !c.Ours() {
		t.Fatalf("metadata is %q", c.Metadata)
	}

	// A foreign tool resets without metadata or with what it copied, ours with a session.
	tp := kafka.TopicPartition{Topic: "t"}
	for _, meta := range []string{"", "nx-reset:s1", "nx1:7:g:10:log-0", "nx1:7:h:3:log-0"} {
		if err := admin.Commit(context.Background(), "g", map[kafka.TopicPartition]kafka.Committed{tp: {Offset: 3, Metadata: meta}}); err != nil {
			t.Fatal(err)
		}
		asked := make(chan kafka.Committed, 1)
		m := join(t, group.Config{Config: cfg, Resume: func(_ context.Context, at map[kafka.TopicPartition]kafka.Committed, ids map[string][16]byte) (map[kafka.TopicPartition]int64, error) {
			if ids["t"] == [16]byte{} {
				return nil, errors.New("no topic id")
			}
			asked <- at[tp]
			return nil, nil
		}}, nil)
		kafkatest.WaitFor(t, "the records after the reset", func(context.Context) bool { return m.count() == 7 })
		m.leave(t)
		c := <-asked
		if c.Ours() || c.Offset != 3 || !c.Present || c.Metadata != meta {
			t.Fatalf("Resume was told %+v", c)
		}
		if session, ok := c.ResetSession(); ok != (meta == "nx-reset:s1") || ok && session != "s1" {
			t.Fatalf("session %q, %v", session, ok)
		}
	}
}

func TestGroup_ResumeOverridesTheCommit(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 2)
	kafkatest.Produce(t, cfg, append(kafkatest.Numbered(0, 0, 20), kafkatest.Numbered(1, 0, 20)...)...)
	err := admin.Commit(context.Background(), "g", map[kafka.TopicPartition]kafka.Committed{
		{Topic: "t", Partition: 0}: {Offset: 15, Metadata: "nx1:0:l"},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := join(t, group.Config{Config: cfg, Resume: func(_ context.Context, at map[kafka.TopicPartition]kafka.Committed, _ map[string][16]byte) (map[kafka.TopicPartition]int64, error) {
		if len(at) != 2 || at[kafka.TopicPartition{Topic: "t", Partition: 1}].Present {
			return nil, fmt.Errorf("asked about %v", at)
		}
		return map[kafka.TopicPartition]int64{{Topic: "t", Partition: 0}: 5, {Topic: "t", Partition: 1}: 18}, nil
	}}, nil)
	kafkatest.WaitFor(t, "both partitions", func(context.Context) bool { return m.count() >= 17 })
	m.leave(t)
	if !slices.Equal(m.offsets(0), upTo(5, 20)) || !slices.Equal(m.offsets(1), upTo(18, 20)) {
		t.Fatalf("read %v and %v", m.offsets(0), m.offsets(1))
	}
}

func TestGroup_FailedResumeIsAskedAgain(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 5)...)
	var mu sync.Mutex
	calls := 0
	m := join(t, group.Config{Config: cfg, Resume: func(context.Context, map[kafka.TopicPartition]kafka.Committed, map[string][16]byte) (map[kafka.TopicPartition]int64, error) {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls == 1 {
			return nil, errors.New("the database is away")
		}
		return nil, nil
	}}, nil)
	kafkatest.WaitFor(t, "the records", func(context.Context) bool { return m.count() == 5 })
}

func TestGroup_TrimBelowTheCommitStopsThePartitionAndNoOther(t *testing.T) {
	cfg, c, admin := kafkatest.StartTopic(t, 2)
	kafkatest.Produce(t, cfg, append(kafkatest.Numbered(0, 0, 100), kafkatest.Numbered(1, 0, 100)...)...)
	at := map[kafka.TopicPartition]kafka.Committed{{Topic: "t", Partition: 0}: {Offset: 10}, {Topic: "t", Partition: 1}: {Offset: 10}}
	if err := admin.Commit(context.Background(), "g", at); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteRecords("t", 0, 50); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	m := join(t, group.Config{Config: cfg, Reg: reg}, nil)
	kafkatest.WaitFor(t, "the other partition and the stop", func(context.Context) bool {
		return len(m.offsets(1)) == 90 && len(m.Stopped()) == 1
	})
	err := m.Stopped()[kafka.TopicPartition{Topic: "t"}]
	var stopped *read.StoppedError
	if !errors.As(err, &stopped) || stopped.Next != 10 || !strings.Contains(err.Error(), "trimmed: the log begins at 50, records 10 to 49 are gone") {
		t.Fatalf("stopped with %v", err)
	}
	if got := m.offsets(0); len(got) != 0 {
		t.Fatalf("read %v over the gap", got)
	}
	want := `# HELP neuronx_consumer_partition_stopped 1 when a partition is not read any more because records would be skipped.
# TYPE neuronx_consumer_partition_stopped gauge
neuronx_consumer_partition_stopped{consumergroup="g",partition="0",topic="t"} 1
neuronx_consumer_partition_stopped{consumergroup="g",partition="1",topic="t"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "neuronx_consumer_partition_stopped"); err != nil {
		t.Fatal(err)
	}
	m.leave(t)
	if c := committed(t, admin, "g"); c[0].Offset != 10 || c[1].Offset != 100 {
		t.Fatalf("committed %v", c)
	}
}

func TestGroup_OffsetBeyondTheEndStopsThePartition(t *testing.T) { // a wiped or restored Kafka
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	if err := admin.Commit(context.Background(), "g", map[kafka.TopicPartition]kafka.Committed{{Topic: "t"}: {Offset: 500}}); err != nil {
		t.Fatal(err)
	}
	m := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "the stop", func(context.Context) bool { return len(m.Stopped()) == 1 })
	if err := m.Stopped()[kafka.TopicPartition{Topic: "t"}]; !strings.Contains(err.Error(), "the log ends at 10") {
		t.Fatal(err)
	}
}

func TestGroup_TwoMembersShareAndHandOverWithoutLossOrDoubles(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 6)
	var mu sync.Mutex
	times := make(map[string]int)
	count := func(batch []*kafka.Record) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range batch {
			times[fmt.Sprintf("%d/%d", r.Partition, r.Offset)]++
		}
		return nil
	}
	produce := func() {
		for p := range int32(6) {
			kafkatest.Produce(t, cfg, kafkatest.Numbered(p, 0, 50)...)
		}
	}
	total := func() int { mu.Lock(); defer mu.Unlock(); return len(times) }
	produce()
	a := join(t, group.Config{Config: cfg}, count)
	kafkatest.WaitFor(t, "a to read alone", func(context.Context) bool { return total() == 300 })
	b := join(t, group.Config{Config: cfg}, count)
	kafkatest.WaitFor(t, "both to own three", func(context.Context) bool { return len(a.Owned()) == 3 && len(b.Owned()) == 3 })
	produce()
	kafkatest.WaitFor(t, "both to read", func(context.Context) bool { return total() == 600 })
	a.leave(t)
	kafkatest.WaitFor(t, "b to own all", func(context.Context) bool { return len(b.Owned()) == 6 })
	produce()
	kafkatest.WaitFor(t, "b to read alone", func(context.Context) bool { return total() == 900 })
	b.leave(t)
	for at, n := range times {
		if n != 1 {
			t.Errorf("record %s was handled %d times", at, n)
		}
	}
	for p, c := range committed(t, admin, "g") {
		if c.Offset != 150 {
			t.Errorf("partition %d committed at %d", p, c.Offset)
		}
	}
}

// A member that holds its batch while the group puts it out (a pause of the process beyond the session time-out) must
// not move the offsets that the next owner has committed since, and must not die of it.
func TestGroup_PausedMemberDoesNotMoveOthersOffsetsAndRejoins(t *testing.T) {
	cfg, c, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 20)...)
	holding, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a := join(t, group.Config{Config: cfg, MaxRecords: 5, SessionTimeout: time.Second}, func([]*kafka.Record) error {
		once.Do(func() { close(holding); <-release })
		return nil
	})
	<-holding
	// The group forgets a: from now on its heartbeats and commits are refused.
	forgetMembers(c)
	b := join(t, group.Config{Config: cfg, SessionTimeout: time.Second}, nil)
	kafkatest.WaitFor(t, "b to take over and commit", func(context.Context) bool { return committed(t, admin, "g")[0].Offset == 20 })
	close(release)
	kafkatest.WaitFor(t, "a to be a member again", func(ctx context.Context) bool {
		d, err := admin.DescribeGroup(ctx, "g")
		return err == nil && len(d.Members) == 2 && d.State == "Stable"
	})
	if at := committed(t, admin, "g")[0].Offset; at != 20 {
		t.Fatalf("the group went from 20 to %d", at)
	}
	select {
	case err := <-a.err:
		t.Fatalf("a ended: %v", err)
	default:
	}
	if got := b.offsets(0); !slices.Equal(got, upTo(0, 20)) {
		t.Fatalf("b read %v", got)
	}
}

// forgetMembers makes the broker refuse the heartbeats of the members that it knows now, as if their process were stopped.
func forgetMembers(c *kafkatest.Cluster) {
	gone := make(map[string]bool)
	for _, m := range c.GroupInfo("g").Members {
		gone[m.MemberID] = true
	}
	c.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := req.(*kmsg.HeartbeatRequest)
		if !gone[r.MemberID] {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
}

func TestGroup_ARefusedCommitIsTriedAgain(t *testing.T) {
	cfg, c, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	var fail sync.Map
	fail.Store("on", true)
	refuseCommits(c, func() bool { _, on := fail.Load("on"); return on })
	m := join(t, group.Config{Config: cfg}, nil)
	kafkatest.WaitFor(t, "the first reading", func(context.Context) bool { return m.count() >= 10 })
	if at := committed(t, admin, "g"); len(at) != 0 {
		t.Fatalf("committed %v", at)
	}
	fail.Delete("on")
	kafkatest.WaitFor(t, "a commit after all", func(context.Context) bool { return committed(t, admin, "g")[0].Offset == 10 })
}

func TestGroup_FailedBatchIsNotCommittedAndEndsRun(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	broken := errors.New("the database is away")
	n := 0
	m := join(t, group.Config{Config: cfg, MaxRecords: 4}, func([]*kafka.Record) error {
		if n++; n == 2 {
			return broken
		}
		return nil
	})
	err := <-m.err
	m.err <- err
	if !errors.Is(err, broken) {
		t.Fatalf("Run returned %v", err)
	}
	if at := committed(t, admin, "g")[0].Offset; at != 4 {
		t.Fatalf("committed %d, want only the first batch, 4", at)
	}
}

func TestGroup_StopFinishesTheBatchAndCommitsIt(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	holding, release := make(chan struct{}), make(chan struct{})
	m := join(t, group.Config{Config: cfg}, func([]*kafka.Record) error {
		close(holding)
		<-release
		return nil
	})
	<-holding
	m.stop()
	close(release)
	m.leave(t)
	if at := committed(t, admin, "g")[0].Offset; at != 10 {
		t.Fatalf("committed %d", at)
	}
	if d, err := admin.DescribeGroup(context.Background(), "g"); err != nil || !d.Inactive() {
		t.Fatalf("after a graceful stop the group is %+v, %v", d, err)
	}
}

func TestGroup_TicksWhileIdleAndWhileRecordsFlow(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	m := join(t, group.Config{Config: cfg}, nil)
	ticks := func() int { m.mu.Lock(); defer m.mu.Unlock(); return m.tick }
	kafkatest.WaitFor(t, "idle ticks", func(context.Context) bool { return ticks() >= 2 })
	from := ticks()
	kafkatest.WaitFor(t, "ticks between records", func(context.Context) bool {
		kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 1)...)
		return ticks() >= from+2
	})
}

// A transaction's end occupies an offset. The group's offset has to pass it, or an idle group would seem to lag for ever; and
// aborted records must not look like a trimmed log.
func TestGroup_PassesTransactionEndsAndAbortedRecords(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	kafkatest.Abort(t, cfg, "tx", kafkatest.Numbered(0, 0, 3)...)
	kafkatest.Commit(t, cfg, "tx", kafkatest.Numbered(0, 3, 3)...)
	kafkatest.Abort(t, cfg, "tx", kafkatest.Numbered(0, 6, 3)...)
	if err := admin.Commit(context.Background(), "g", map[kafka.TopicPartition]kafka.Committed{{Topic: "t"}: {Offset: 1}}); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	m := join(t, group.Config{Config: cfg, Reg: reg}, nil)
	kafkatest.WaitFor(t, "the commit of the end", func(context.Context) bool { return committed(t, admin, "g")[0].Offset == 12 })
	if got := m.offsets(0); !slices.Equal(got, []int64{4, 5, 6}) {
		t.Fatalf("read %v", got)
	}
	if len(m.Stopped()) != 0 {
		t.Fatal(m.Stopped())
	}
	m.leave(t)
	if lag := maps.Collect(gather(t, reg)); len(lag) != 0 {
		t.Fatalf("a group that has left still reports %v", lag)
	}
}

func TestGroup_LagIsTheDistanceToTheEnd(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	release := make(chan struct{})
	reg := prometheus.NewRegistry()
	m := join(t, group.Config{Config: cfg, Reg: reg, MaxRecords: 4}, func([]*kafka.Record) error { <-release; return nil })
	kafkatest.WaitFor(t, "the first batch", func(context.Context) bool { return m.count() == 4 })
	if lag := maps.Collect(gather(t, reg)); lag["neuronx_consumer_lag_seconds"] <= 0 || lag["neuronx_consumer_lag_records"] != 10 {
		t.Fatalf("while the first batch is held: %v", lag)
	}
	close(release)
	kafkatest.WaitFor(t, "no lag", func(context.Context) bool {
		lag := maps.Collect(gather(t, reg))
		return m.count() == 10 && lag["neuronx_consumer_lag_records"] == 0 && lag["neuronx_consumer_lag_seconds"] == 0
	})
}
