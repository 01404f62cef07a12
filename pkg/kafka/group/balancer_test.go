package group_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// TestGroup_WhoBecomesAnotherMemberAsksWhereToResume stops a member between the answer that calls for a join and that join, until another
// has read on and has left, and an operator has reset the group. The client joins as a new member, claims what the old one had, and is
// given it, without a word.
func TestGroup_WhoBecomesAnotherMemberAsksWhereToResume(t *testing.T) {
	cfg, _, admin := kafkatest.StartTopic(t, 1)
	var armed, hit atomic.Bool
	var link *kafkatest.Link
	link = kafkatest.NewLink(func(r kafkatest.Request) (x kafkatest.Trouble) {
		if r == kafkatest.ReqJoinGroup && armed.CompareAndSwap(true, false) {
			hit.Store(true)
			x.CutBefore, x.Do = true, link.Stall
		}
		return x
	})
	defer link.Resume()
	behind := cfg
	behind.Dialer = link.Dial
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 20)...)
	a := join(t, group.Config{Config: behind, SessionTimeout: time.Second}, nil)
	kafkatest.WaitFor(t, "the first to commit", func(context.Context) bool { return committed(t, admin, "g")[0].Offset == 20 })
	armed.Store(true)
	b := join(t, group.Config{Config: cfg, SessionTimeout: time.Second}, nil)
	kafkatest.WaitFor(t, "the first to be stopped before it joins again", func(context.Context) bool { return hit.Load() })
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 20, 20)...)
	kafkatest.WaitFor(t, "the other to read on", func(context.Context) bool { return committed(t, admin, "g")[0].Offset == 40 })
	b.leave(t)
	const reset = 5
	kafkatest.WaitFor(t, "the reset to be taken", func(ctx context.Context) bool {
		return admin.Commit(ctx, "g", map[kafka.TopicPartition]kafka.Committed{{Topic: "t", Partition: 0}: {Offset: reset}}) == nil
	})
	link.Resume()
	// What it reads before it has joined again is at least once.
	again := upTo(reset, 40)
	kafkatest.WaitFor(t, "the first to read from the reset", func(context.Context) bool {
		seen := a.offsets(0)
		return len(seen) >= 20+len(again) && slices.Equal(seen[len(seen)-len(again):], again)
	})
	kafkatest.WaitFor(t, "the group's offset", func(context.Context) bool {
		c := committed(t, admin, "g")[0]
		return c.Offset == 40 && c.Ours()
	})
}

func TestGroup_SaysAtDebugLevelWhatItsClientSays(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 1)...)
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var said bytes.Buffer
		m := join(t, group.Config{Config: cfg, Group: level.String(), Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: level}))}, nil)
		kafkatest.WaitFor(t, "a record", func(context.Context) bool { return m.count() == 1 })
		m.leave(t)
		if got := strings.Contains(said.String(), "client: joining group"); got != (level == slog.LevelDebug) {
			t.Errorf("at level %v: %t\n%s", level, got, said.String())
		}
	}
}

func TestGroup_TellsOfAMemberThatIsNoneOfTheEngines(t *testing.T) {
	cfg, c, _ := kafkatest.StartTopic(t, 2)
	reg := prometheus.NewRegistry()
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 1)...)
	m := join(t, group.Config{Config: cfg, Reg: reg}, nil)
	kafkatest.WaitFor(t, "the engine's member to lead the group", func(context.Context) bool { return m.count() == 1 })
	told := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "neuronx_group_foreign_members" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no neuronx_group_foreign_members")
		return 0
	}
	if n := told(); n != 0 {
		t.Fatalf("%v foreign members before any is there", n)
	}
	other, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ClientID("rdkafka"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.Balancers(kgo.CooperativeStickyBalancer()))
	if err != nil {
		t.Fatal(err)
	}
	closed := sync.OnceFunc(other.Close)
	t.Cleanup(closed)
	kafkatest.WaitFor(t, "the foreign member to be told", func(context.Context) bool { return told() == 1 })
	closed()
	kafkatest.WaitFor(t, "its end to be told", func(context.Context) bool { return told() == 0 })
}
