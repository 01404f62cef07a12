package group_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/logtest"
)

// refuseCommits answers commits as a broker that knows no such generation, as long as on says so.
func refuseCommits(c *kafkatest.Cluster, on func() bool) {
	c.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !on() {
			return nil, nil, false
		}
		r := req.(*kmsg.OffsetCommitRequest)
		resp := r.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range r.Topics {
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.IllegalGeneration.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

// A member that has handled records and could not commit them yet is told that it lost the partition: another member may have gone on
// from there, so this one commits nothing. The same member told to give the partition up commits, or the test would prove nothing.
func TestGroup_LosingAPartitionCommitsNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(*group.Consumer, context.Context, map[string][]int32)
		want map[int32]int64
	}{
		"lost":    {(*group.Consumer).Lose, map[int32]int64{}},
		"revoked": {(*group.Consumer).Revoke, map[int32]int64{0: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, c, admin := kafkatest.StartTopic(t, 1)
			kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
			var refused atomic.Bool
			refused.Store(true)
			refuseCommits(c, refused.Load)
			told := make(chan []kafka.TopicPartition, 1)
			g, err := group.New(group.Config{Config: cfg, Group: "g", Topics: []string{"t"},
				Revoked: func(_ context.Context, tps []kafka.TopicPartition) {
					select {
					case told <- tps:
					default: // at the end of the test
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			held, release := make(chan struct{}), make(chan struct{})
			handled, hold := 0, sync.OnceFunc(func() { close(held); <-release })
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- g.Run(ctx, func(_ context.Context, batch []*kafka.Record) error {
					if handled += len(batch); handled == 10 && batch == nil {
						hold() // a tick: from here on nothing else commits
					}
					return nil
				})
			}()
			<-held
			refused.Store(false)
			tc.end(g, t.Context(), map[string][]int32{"t": {0}})
			got := map[int32]int64{}
			for p, c := range committed(t, admin, "g") {
				got[p] = c.Offset
			}
			if len(got) != len(tc.want) || got[0] != tc.want[0] {
				t.Errorf("the group's offsets are %v, want %v", got, tc.want)
			}
			if owned := g.Owned(); len(owned) != 0 {
				t.Errorf("it still counts %v as its own", owned)
			}
			if tps := <-told; len(tps) != 1 || tps[0] != (kafka.TopicPartition{Topic: "t"}) {
				t.Errorf("it was told that %v went", tps)
			}
			cancel()
			close(release)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// The client calls what it was given for partitions that were lost; without that it would take the way of those that are given up, which
// commits.
func TestGroup_AMemberThatWasPutOutLosesItsPartitions(t *testing.T) {
	cfg, c, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 10)...)
	log := &logtest.Buffer{}
	m := join(t, group.Config{Config: cfg, SessionTimeout: time.Second, Log: slog.New(slog.NewTextHandler(log, nil))}, nil)
	kafkatest.WaitFor(t, "all records", func(context.Context) bool { return m.count() == 10 })
	forgetMembers(c)
	kafkatest.WaitFor(t, "the loss", func(context.Context) bool { return strings.Contains(log.String(), `msg="partitions lost"`) })
	if said := log.String(); strings.Contains(said, `msg="partitions revoked"`) {
		t.Errorf("the member was put out, and gave its partitions up as if it still had them:\n%s", said)
	}
}

// A member that is given nothing, as there are more members than partitions, is not told of new partitions.
func TestGroup_TellsOfNoPartitionsOnlyOnceThereAreSome(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	var mu sync.Mutex
	told := map[string]int{}
	empty := 0
	said := &logtest.Buffer{}
	member := func(name string) *member {
		return join(t, group.Config{Config: cfg, Log: slog.New(slog.NewTextHandler(said, nil)), Assigned: func(_ context.Context, tps []kafka.TopicPartition) {
			mu.Lock()
			defer mu.Unlock()
			if told[name] += len(tps); len(tps) == 0 {
				empty++
			}
		}}, nil)
	}
	first := member("first")
	kafkatest.WaitFor(t, "the first to have the partition", func(context.Context) bool { return len(first.Owned()) == 1 })
	second := member("second")
	kafkatest.WaitFor(t, "the second to be asked in turn", func(context.Context) bool {
		second.mu.Lock()
		defer second.mu.Unlock()
		return second.tick > 1
	})
	first.leave(t)
	// Owned has a partition a moment before Assigned is called with it.
	kafkatest.WaitFor(t, "the second to be told of it", func(context.Context) bool {
		mu.Lock()
		defer mu.Unlock()
		return told["second"] > 0
	})
	mu.Lock()
	defer mu.Unlock()
	if told["first"] != 1 || told["second"] != 1 || empty != 0 || strings.Contains(said.String(), "partitions=[]") {
		t.Errorf("told %v, %d times of none:\n%s", told, empty, said)
	}
}

// Where the row says that nothing was read, the group says so too, though it is the start of the log.
func TestGroup_CommitsTheStartWhereResumeDecidedForIt(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	tp := kafka.TopicPartition{Topic: "t"}
	if err := admin.Commit(t.Context(), "g", map[kafka.TopicPartition]kafka.Committed{tp: {Offset: 0, Metadata: "nx-reset:s1"}}); err != nil {
		t.Fatal(err)
	}
	join(t, group.Config{Config: cfg, Resume: func(context.Context, map[kafka.TopicPartition]kafka.Committed, map[string][16]byte) (map[kafka.TopicPartition]int64, error) {
		return map[kafka.TopicPartition]int64{tp: 0}, nil
	}}, nil)
	kafkatest.WaitFor(t, "the group's own mark", func(context.Context) bool {
		c := committed(t, admin, "g")[0]
		return c.Present && c.Offset == 0 && c.Ours()
	})
}
