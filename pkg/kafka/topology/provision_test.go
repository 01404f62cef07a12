package topology_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

var laptop = topology.Options{Laptop: true}

func TestProvision_IsIdempotentAndAPlanChangesNothing(t *testing.T) {
	ctx := context.Background()
	cfg, _ := kafkatest.StartEmpty(t)
	plan, err := topology.Plan(ctx, cfg, laptop)
	if err != nil || len(plan) != 6 || plan[0].Action != topology.ActionCreate {
		t.Fatalf("plan %v, %v", plan, err)
	}
	if err := topology.Check(ctx, cfg, true); err == nil || !strings.Contains(err.Error(), "neuronx provision --execute") {
		t.Fatalf("check of an empty cluster: %v", err)
	}
	done, err := topology.Provision(ctx, cfg, laptop)
	if err != nil || len(done) != 6 {
		t.Fatalf("provisioned %v, %v", done, err)
	}
	if again, err := topology.Provision(ctx, cfg, laptop); err != nil || len(again) != 0 {
		t.Fatalf("the second time: %v, %v", again, err)
	}
	if err := topology.Check(ctx, cfg, true); err != nil {
		t.Fatal(err)
	}
	// One replica is no production cluster.
	if err := topology.Check(ctx, cfg, false); err == nil || !strings.Contains(err.Error(), "replication factor 1 instead of 3") || !strings.Contains(err.Error(), "min.insync.replicas 1 instead of 2") {
		t.Fatalf("strict check of a laptop: %v", err)
	}
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	topics, err := adm.Topics(ctx)
	if err != nil || topics[kafka.TopicState].Partitions != 6 || topics[kafka.TopicSchemas].Partitions != 1 {
		t.Fatalf("topics %v, %v", topics, err)
	}
}

// As after a broker's answer that came too late, upon which the client asks it again.
func TestProvision_ATopicThatIsThereWhenItIsCreatedMustBeAsDeclared(t *testing.T) {
	for partitions, want := range map[int32]string{6: "", 3: "made meanwhile, with 3 partitions"} {
		ctx := context.Background()
		cfg, _ := kafkatest.StartEmpty(t)
		var once sync.Once
		late := cfg
		late.Dialer = kafkatest.NewLink(func(r kafkatest.Request) (none kafkatest.Trouble) {
			if r == kafkatest.ReqCreateTopics {
				once.Do(func() {
					if _, err := topology.Provision(ctx, cfg, topology.Options{Laptop: true, Partitions: partitions}); err != nil {
						t.Error(err)
					}
				})
			}
			return none
		}).Dial
		_, err := topology.Provision(ctx, late, laptop)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d partitions: %v", partitions, err)
		}
	}
}

// TestProvision_EndsWhenEveryBrokerKnowsTheTopics: the last broker hears of each topic some requests later than the others.
func TestProvision_EndsWhenEveryBrokerKnowsTheTopics(t *testing.T) {
	cfg, c := kafkatest.StartBrokers(t, 3)
	var mu sync.Mutex
	asked := map[string]int{} // requests about each topic
	hears := func(topic string) bool { asked[topic]++; return asked[topic] > 3 }
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := req.(*kmsg.MetadataRequest)
		mu.Lock()
		defer mu.Unlock()
		if c.CurrentNode() != 2 || len(r.Topics) != 1 || r.Topics[0].Topic == nil || hears(*r.Topics[0].Topic) {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = r.Topics[0].Topic, kerr.UnknownTopicOrPartition.Code
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	done, err := topology.Provision(t.Context(), cfg, laptop)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, change := range done {
		if asked[change.Topic] <= 3 {
			t.Errorf("%s was not awaited on the last broker", change.Topic)
		}
	}
}

func TestProvision_RepairsSettingsAndRefusesOtherPartitionCounts(t *testing.T) {
	ctx := context.Background()
	cfg, c := kafkatest.StartEmpty(t)
	if err := c.CreateTopic(kafka.TopicEvents, 6, map[string]string{"retention.ms": "1000", "min.insync.replicas": "1", "max.message.bytes": "9999999"}); err != nil {
		t.Fatal(err)
	}
	done, err := topology.Provision(ctx, cfg, laptop)
	if err != nil {
		t.Fatal(err)
	}
	var altered string
	for _, c := range done {
		if c.Topic == kafka.TopicEvents {
			altered = c.Action + ": " + c.Detail
		}
	}
	if altered != "alter: set message.timestamp.type=LogAppendTime retention.ms=-1" {
		t.Fatalf("events: %s", altered)
	}
	if err := topology.Check(ctx, cfg, true); err != nil {
		t.Fatal(err)
	}
	done, err = topology.Provision(ctx, cfg, topology.Options{Laptop: true, Partitions: 12})
	if err == nil || !strings.Contains(err.Error(), "fixed for life") || len(done) != 5 {
		t.Fatalf("with another count: %v, %v", done, err)
	}
}

func TestCheckTopics_ComparesPartitionCounts(t *testing.T) {
	ctx := context.Background()
	cfg, c := kafkatest.StartEmpty(t)
	if err := c.CreateTopic(kafka.TopicDeadLetter, 3, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Provision(ctx, cfg, laptop); err == nil {
		t.Fatal("provisioned over another partition count")
	}
	if err := c.DeleteTopic(kafka.TopicDeadLetter); err != nil {
		t.Fatal(err)
	}
	if _, err := topology.Provision(ctx, cfg, laptop); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteTopic(kafka.TopicDeadLetter); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(kafka.TopicDeadLetter, 3, nil); err != nil {
		t.Fatal(err)
	}
	if err := topology.Check(ctx, cfg, true); err == nil || !strings.Contains(err.Error(), "neuronx.deadletter: has partitions 3 instead of 6") {
		t.Fatal(err)
	}
}

func TestDeclaredTopics_AgreeWithTheSizesInTheCode(t *testing.T) {
	declared, err := topology.Topics()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range declared {
		if got, want := d.Config["max.message.bytes"], kafka.MaxBatchBytes(d.Name); got != strconv.Itoa(int(want)) {
			t.Errorf("%s: topics.yaml says %s, size.go %d", d.Name, got, want)
		}
		if d.Config["unclean.leader.election.enable"] != "false" || d.Doc == "" {
			t.Errorf("%s: %+v", d.Name, d)
		}
	}
}
