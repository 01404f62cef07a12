package embedded_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/embedded"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, opt embedded.Options) (*embedded.Cluster, kafka.Config) {
	t.Helper()
	c, err := embedded.Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, kafka.Config{Brokers: c.Brokers()}
}

func TestEmbedded_RestartKeepsRecordsTopicIDsAndOffsets(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	c, cfg := start(t, embedded.Options{DataDir: dir})
	if _, err := topology.Provision(ctx, cfg, topology.Options{Laptop: true}); err != nil {
		t.Fatal(err)
	}
	tp := kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: 2}
	kafkatest.Produce(t, cfg, &kafka.Record{Topic: tp.Topic, Partition: tp.Partition, Value: []byte("kept")})
	look := func(cfg kafka.Config) (id [16]byte, at kafka.Committed) {
		adm, err := admin.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer adm.Close()
		ids, err := adm.TopicIDs(ctx, tp.Topic)
		if err != nil {
			t.Fatal(err)
		}
		all, err := adm.Committed(ctx, "g")
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			if err := adm.Commit(ctx, "g", map[kafka.TopicPartition]kafka.Committed{tp: {Offset: 1, Metadata: "nx1:0:l"}}); err != nil {
				t.Fatal(err)
			}
		}
		return ids[tp.Topic], all[tp]
	}
	before, _ := look(cfg)
	if _, err := embedded.Start(embedded.Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Fatalf("a second broker over the same data: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	_, cfg = start(t, embedded.Options{DataDir: dir})
	if err := topology.Check(ctx, cfg, true); err != nil {
		t.Fatal(err)
	}
	after, at := look(cfg)
	if before != after || at.Offset != 1 || at.Metadata != "nx1:0:l" {
		t.Fatalf("topic id %x became %x, offset %+v", before, after, at)
	}
	recs := kafkatest.Consume(t, cfg, tp.Topic)
	if len(recs) != 1 || string(recs[0].Value) != "kept" || recs[0].Partition != 2 {
		t.Fatalf("records %v", recs)
	}
}

func TestEmbedded_ListsGroupsAsKafkasOwnToolsAskForThem(t *testing.T) {
	c, cfg := start(t, embedded.Options{})
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	if err := c.Fake().CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := adm.Commit(t.Context(), "g", map[kafka.TopicPartition]kafka.Committed{{Topic: "t"}: {Offset: 0}}); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, filter := range []struct {
		types, states []string
		found         int
	}{
		{nil, nil, 1}, {[]string{"Classic", "Consumer"}, nil, 1}, {[]string{"CLASSIC"}, []string{"EMPTY"}, 1}, {nil, []string{"empty", "stable"}, 1},
		{[]string{"Share"}, nil, 0}, {nil, []string{"Stable"}, 0}, {nil, []string{"Nonsense"}, 0},
	} {
		for range 2 { // the second request is read as the first one is
			req := kmsg.NewPtrListGroupsRequest()
			req.TypesFilter, req.StatesFilter = slices.Clone(filter.types), slices.Clone(filter.states)
			res, err := req.RequestWith(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Groups) != filter.found {
				t.Errorf("types %q, states %q: %v", filter.types, filter.states, res.Groups)
			}
		}
	}
}

func TestEmbedded_TakesAFixedPortAndNamesOneThatIsTaken(t *testing.T) {
	_, cfg := start(t, embedded.Options{})
	if _, err := embedded.Start(embedded.Options{Addr: cfg.Brokers[0]}); err == nil || !strings.Contains(err.Error(), cfg.Brokers[0]) {
		t.Fatalf("on a taken port: %v", err)
	}
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", "example.org:1", "127.0.0.1", "127.0.0.1:99999"} {
		if c, err := embedded.Start(embedded.Options{Addr: addr}); err == nil {
			_ = c.Close()
			t.Errorf("%s is taken", addr)
		}
	}
}
