package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// alone is a member without a broker that owns two partitions.
func alone(t *testing.T) (g *Consumer, first, second kafka.TopicPartition) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	first, second = kafka.TopicPartition{Topic: "x", Partition: 0}, kafka.TopicPartition{Topic: "x", Partition: 1}
	g = &Consumer{client: client, log: slog.New(slog.DiscardHandler), owned: map[kafka.TopicPartition]*partition{}}
	g.cfg.Group = "readers"
	g.assigned(t.Context(), client, map[string][]int32{"x": {1, 0}})
	return g, first, second
}

func TestPartition_LagsBehindWhatIsHandledOrWhereItBegan(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for name, x := range map[string]struct {
		p       partition
		lag     int64
		seconds float64
	}{
		"nothing is known":           {partition{from: -1, end: 9, done: kgo.EpochOffset{Offset: -1}}, 0, 0},
		"it began at the start":      {partition{from: 0, end: 9, done: kgo.EpochOffset{Offset: -1}}, 9, 0},
		"some is handled":            {partition{from: 2, end: 9, done: kgo.EpochOffset{Offset: 5}}, 4, 0},
		"all is handled":             {partition{from: 2, end: 9, done: kgo.EpochOffset{Offset: 9}}, 0, 0},
		"more than the end was seen": {partition{from: 2, end: 9, done: kgo.EpochOffset{Offset: 10}}, 0, 0},
		"a reset to the start":       {partition{from: 5, end: 9, done: kgo.EpochOffset{Offset: 0}}, 9, 0},
		"one waits":                  {partition{from: 0, end: 9, done: kgo.EpochOffset{Offset: 8}, waiting: now.Add(-3 * time.Second)}, 1, 3},
		"of a clock that is ahead":   {partition{from: 0, end: 9, done: kgo.EpochOffset{Offset: 8}, waiting: now.Add(time.Second)}, 1, 0},
	} {
		if lag, seconds := x.p.lag(), x.p.lagSeconds(now); lag != x.lag || seconds != x.seconds {
			t.Errorf("%s: %d records, %v s; want %d, %v", name, lag, seconds, x.lag, x.seconds)
		}
	}
}

func TestSawEnd_CountsTheWaitFromWhenItSawRecordsUntilNoneIsLeft(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := partition{from: 0, done: kgo.EpochOffset{Offset: 4}}
	for i, x := range []struct {
		end, seen int64
		waiting   time.Time
	}{{4, 4, time.Time{}}, {6, 6, now.Add(time.Second)}, {9, 9, now.Add(time.Second)}, {8, 9, now.Add(time.Second)}} { // the end never moves back
		if p.sawEnd(x.end, now.Add(time.Duration(i)*time.Second)); p.end != x.seen || p.waiting != x.waiting {
			t.Errorf("%d: end %d, waiting since %s; want %d, %s", i, p.end, p.waiting, x.seen, x.waiting)
		}
	}
	p.done.Offset = 9
	if p.sawEnd(9, now); !p.waiting.IsZero() {
		t.Errorf("nothing is left, and something waits since %s", p.waiting)
	}
}

func TestLag_IsToldForEachOwnedPartition(t *testing.T) {
	g, first, second := alone(t)
	reg := prometheus.NewRegistry()
	c, err := newLagCollector(g, reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newLagCollector(g, reg); err == nil {
		t.Error("two groups of one name are registered")
	}
	*g.owned[first] = partition{from: 0, end: 9, done: kgo.EpochOffset{Offset: 5}}
	g.stop(second, g.owned[second], &read.StoppedError{TopicPartition: second, Reason: "trimmed", Err: errors.New("x")})
	g.foreign.Store(2)
	told := func() map[string]float64 {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				out[name] = m.GetGauge().GetValue()
			}
		}
		return out
	}
	want := map[string]float64{
		"neuronx_consumer_lag_records readers 0 x": 4, "neuronx_consumer_lag_records readers 1 x": 0, "neuronx_consumer_lag_seconds readers 0 x": 0,
		"neuronx_consumer_lag_seconds readers 1 x": 0, "neuronx_consumer_partition_stopped readers 0 x": 0, "neuronx_consumer_partition_stopped readers 1 x": 1,
		"neuronx_group_foreign_members readers": 2,
	}
	if got := told(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	c.unregister()
	if got := told(); len(got) != 0 {
		t.Errorf("after the end: %v", got)
	}
	(&lagCollector{group: g}).unregister() // one that was never registered
}

func TestFetchError_StopsAPartitionOnlyWhenRecordsWouldBeSkipped(t *testing.T) {
	for name, x := range map[string]struct {
		err    error
		reason string // empty: it is read on
	}{
		"the wait ended":        {context.DeadlineExceeded, ""},
		"the caller stopped":    {context.Canceled, ""},
		"the client closed":     {kgo.ErrClientClosed, ""},
		"too much is inflated":  {read.ErrInflateBudget, ""},
		"the session ended":     {&kgo.ErrGroupSession{Err: kerr.UnknownMemberID}, ""},
		"anything else":         {kerr.UnknownServerError, ""},
		"the log was truncated": {&kgo.ErrDataLoss{Topic: "x"}, "the log was truncated below what was read; compare it with the archive before going on"},
		"another topic":         {kerr.UnknownTopicID, "the topic was deleted and recreated; its offsets mean other records now"},
		"another topic's id":    {kerr.InconsistentTopicID, "the topic was deleted and recreated; its offsets mean other records now"},
		"a bomb":                {&kgo.ErrDecompressTooLarge{}, "a batch inflates to more than the allowed size"},
	} {
		g, first, second := alone(t)
		g.owned[first].next = 7
		g.fetchError(t.Context(), first, x.err)
		stopped := g.Stopped()
		var why *read.StoppedError
		if x.reason == "" {
			if len(stopped) != 0 {
				t.Errorf("%s: %v", name, stopped)
			}
			continue
		}
		if len(stopped) != 1 || !errors.As(stopped[first], &why) || why.Reason != x.reason || why.Next != 7 || !errors.Is(why, x.err) {
			t.Errorf("%s: %+v", name, stopped)
		}
		if paused := g.client.PauseFetchPartitions(nil); fmt.Sprint(paused) != "map[x:[0]]" {
			t.Errorf("%s: paused %v", name, paused)
		}
		g.fetchError(t.Context(), first, kerr.UnknownTopicID) // the first reason stays
		if got := g.Stopped()[first]; !errors.Is(got, stopped[first]) {
			t.Errorf("%s: then %v", name, got)
		}
		g.fetchError(t.Context(), kafka.TopicPartition{Topic: "x", Partition: 5}, x.err) // one that is not owned any more
		if got := g.Stopped(); len(got) != 1 || g.owned[second].stopped != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOffsetsFetched_KeepsWhatIsCommittedWithItsMetadata(t *testing.T) {
	g, _, _ := alone(t)
	mark := "nx1:readers:log"
	answer := kmsg.NewPtrOffsetFetchResponse()
	group := kmsg.NewOffsetFetchResponseGroup()
	topic := kmsg.NewOffsetFetchResponseGroupTopic()
	topic.Topic = "x"
	for i, x := range []struct {
		offset   int64
		code     int16
		metadata *string
	}{{7, 0, &mark}, {0, 0, nil}, {-1, 0, nil}, {9, kerr.UnstableOffsetCommit.Code, nil}} {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.ErrorCode, p.Metadata = int32(i), x.offset, x.code, x.metadata
		topic.Partitions = append(topic.Partitions, p)
	}
	group.Topics = append(group.Topics, topic)
	answer.Groups = append(answer.Groups, group)
	g.fetched = map[kafka.TopicPartition]kafka.Committed{{Topic: "before"}: {}}
	if err := g.offsetsFetched(t.Context(), g.client, answer); err != nil {
		t.Fatal(err)
	}
	want := map[kafka.TopicPartition]kafka.Committed{
		{Topic: "x", Partition: 0}: {Group: "readers", Offset: 7, Present: true, Metadata: mark},
		{Topic: "x", Partition: 1}: {Group: "readers", Offset: 0, Present: true},
	}
	if fmt.Sprint(g.fetched) != fmt.Sprint(want) || g.resumeClient != g.client {
		t.Errorf("%+v\nwant %+v", g.fetched, want)
	}
}
