package kafkatest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// Virtual is a cluster on a network in memory, for tests inside a synctest bubble: there a minute of time-outs takes a millisecond.
// The broker is kfake: a seed replays the schedule of faults, not the order in which goroutines ran.
type Virtual struct {
	Cluster *Cluster
	net     kfake.VirtualNetwork

	mu      sync.Mutex
	lag     time.Duration
	history []stable // oldest first
}

// stable is where the last stable offsets stood at a time.
type stable struct {
	at  time.Time
	lso map[kafka.TopicPartition]int64
}

const (
	sampleEvery = 100 * time.Millisecond
	maxLag      = 5 * time.Second
)

// StartVirtual runs brokers with the engine's topics. It must be called inside a synctest bubble.
func StartVirtual(t testing.TB, brokers int, partitions int32) *Virtual {
	t.Helper()
	v := &Virtual{}
	ports := make([]int, brokers)
	for i := range ports {
		ports[i] = 9092 + i
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.Ports(ports...), kfake.ListenFn(v.net.Listen), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatalf("start a virtual cluster: %v", err)
	}
	t.Cleanup(c.Close)
	v.Cluster = c
	// Clients push metrics to a broker that asks for them, compressed again each time: more work than all the rest of a seed.
	c.ControlKey(int16(kmsg.GetTelemetrySubscriptions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.GetTelemetrySubscriptionsResponse)
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		return resp, nil, true
	})
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if _, err := topology.Provision(ctx, v.Config(v.Link(nil)), topology.Options{Partitions: partitions, Laptop: true}); err != nil {
		t.Fatalf("provision the virtual cluster: %v", err)
	}
	return v
}

// Config is how a client reaches the cluster over a link.
func (v *Virtual) Config(l *Link) kafka.Config {
	return kafka.Config{Brokers: v.Cluster.ListenAddrs(), ClientID: "test", Dialer: l.Dial}
}

// Link makes a way to the cluster that can be cut and stalled. decide, which may be nil, is asked for every request what happens to it.
func (v *Virtual) Link(decide func(Request) Trouble) *Link {
	return &Link{dial: v.net.DialContext, decide: decide, conns: map[*conn]struct{}{}}
}

// LagStable lets the last stable offsets that are listed lag what is true, as they do on a real cluster for as long as a broker has not
// got the markers of a transaction whose commit is already confirmed, and never by themselves on kfake. It ends with ctx; wait with
// the function that is returned.
func (v *Virtual) LagStable(ctx context.Context) (set func(time.Duration), wait func()) {
	v.Cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		v.Cluster.KeepControl()
		r := req.(*kmsg.ListOffsetsRequest)
		v.mu.Lock()
		defer v.mu.Unlock()
		if r.IsolationLevel != 1 || v.lag == 0 || len(v.history) == 0 || !latest(r) {
			return nil, nil, false
		}
		return v.lagged(r), nil, true
	})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			v.sample()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func(d time.Duration) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.lag = min(d, maxLag)
	}, done.Wait
}

// Stray lets a broker answer some fetches of a topic from further on than they ask, as one would whose fetch session is not the client's:
// by as many offsets as by says, which is asked once for a partition and offset. Something is left to be answered: a client that is told
// nothing asks for nothing else. LagStable must have been called.
func (v *Virtual) Stray(topic string, by func() int64) {
	id := v.Cluster.TopicInfo(topic).TopicID
	asked := map[kafka.TopicPartition]int64{}
	v.Cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		v.Cluster.KeepControl()
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, t := range req.(*kmsg.FetchRequest).Topics {
			for i := range t.Partitions {
				p, tp := &t.Partitions[i], kafka.TopicPartition{Topic: topic, Partition: t.Partitions[i].Partition}
				if t.TopicID != id || p.FetchOffset <= asked[tp] || len(v.history) == 0 {
					continue
				}
				asked[tp] = p.FetchOffset
				p.FetchOffset = max(p.FetchOffset, min(p.FetchOffset+by(), v.history[len(v.history)-1].lso[tp]-1))
			}
		}
		return nil, nil, false
	})
}

func (v *Virtual) sample() {
	s := stable{at: time.Now(), lso: map[kafka.TopicPartition]int64{}}
	for _, topic := range []string{kafka.TopicIngress, kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicState} {
		for _, p := range v.Cluster.PartitionInfos(topic) {
			s.lso[kafka.TopicPartition{Topic: topic, Partition: p.Partition}] = p.LastStableOffset
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.history = append(v.history, s)
	if extra := len(v.history) - int(maxLag/sampleEvery) - 1; extra > 0 {
		v.history = slices.Delete(v.history, 0, extra)
	}
}

// latest reports whether a request asks for nothing but last stable offsets: where a log begins, a lag changes nothing.
func latest(r *kmsg.ListOffsetsRequest) bool {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.Timestamp != -1 {
				return false
			}
		}
	}
	return true
}

// lagged answers a request for last stable offsets with those of some time ago. The caller holds mu.
func (v *Virtual) lagged(r *kmsg.ListOffsetsRequest) kmsg.Response {
	then := v.history[0]
	for _, s := range v.history {
		if time.Since(s.at) >= v.lag {
			then = s
		}
	}
	resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range r.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch = p.Partition, p.CurrentLeaderEpoch
			rp.Offset = then.lso[kafka.TopicPartition{Topic: t.Topic, Partition: p.Partition}]
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// Move gives every partition and every coordinator another broker.
func (v *Virtual) Move() {
	v.Cluster.ShufflePartitionLeaders()
	v.Cluster.RehashCoordinators()
}
