package registry

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// The outcome of a failed commit is unknown: the registry must forget what it holds, read the topic again, and give the
// same schema the same id when the client tries again.
func TestServer_ReadsItsTopicAgainWhenACommitFails(t *testing.T) {
	cfg, cluster := kafkatest.StartCluster(t)
	s, _ := start(t, cfg)
	first := register(t, s, "a", record("A", "x"))

	var failed atomic.Bool
	cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if failed.Swap(true) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code // fatal, unlike what the client retries
		return resp, nil, true
	})
	if status, body := call(t, s, "POST", "/subjects/b/versions", map[string]string{"schema": record("B", "x")}); status != 500 || body["error_code"] != 50001.0 {
		t.Fatalf("a failed commit was answered with %d %v", status, body)
	}
	kafkatest.WaitFor(t, "the registry reads its topic again", func(context.Context) bool { return s.Ready() == nil })
	if status, body := call(t, s, "GET", "/subjects/b/versions", nil); status != 404 {
		t.Errorf("an aborted version is there: %d %v", status, body)
	}
	if got := register(t, s, "b", record("B", "x")); got != first+1 {
		t.Errorf("tried again: id %d, want %d", got, first+1)
	}
	if got := register(t, s, "a", record("A", "x")); got != first {
		t.Errorf("id %d, was %d", got, first)
	}
}

// A record that the broker refuses as out of its turn was not written: the registry reads its topic again and writes it, and the
// client notices nothing.
func TestServer_WritesAgainWhatTheBrokerTookForOutOfTurn(t *testing.T) {
	cfg, cluster := kafkatest.StartCluster(t)
	s, _ := start(t, cfg)
	first := register(t, s, "a", record("A", "x"))
	var failed atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if failed.Swap(true) {
			return nil, nil, false
		}
		produce := req.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = topic.Topic, topic.TopicID
			for _, part := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = part.Partition, kerr.OutOfOrderSequenceNumber.Code
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	if got := register(t, s, "b", record("B", "x")); got != first+1 {
		t.Errorf("id %d, want %d", got, first+1)
	}
	if !failed.Load() {
		t.Error("nothing was refused")
	}
}

// A commit that is answered well and did not happen: the id must not be told before the record can be read.
func TestServer_WritesAgainWhatWasCalledCommittedAndIsNot(t *testing.T) {
	cfg, cluster := kafkatest.StartCluster(t)
	s, stop := start(t, cfg)
	first := register(t, s, "a", record("A", "x"))
	var lied atomic.Bool
	cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if lied.Swap(true) {
			return nil, nil, false
		}
		end := req.(*kmsg.EndTxnRequest)
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ProducerID, resp.ProducerEpoch = end.ProducerID, end.ProducerEpoch
		return resp, nil, true
	})
	if got := register(t, s, "b", record("B", "x")); got != first+1 || !lied.Load() {
		t.Errorf("id %d, want %d", got, first+1)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, cfg)
	if status, body := call(t, s, "GET", "/subjects/b/versions/1", nil); status != 200 {
		t.Errorf("what was answered is gone after a restart: %d %v", status, body)
	}
}

func TestState_RefusesRecordsThatContradictEachOther(t *testing.T) {
	key := func(subject string, version string) []byte {
		return []byte(`{"keytype":"SCHEMA","subject":"` + subject + `","version":` + version + `,"magic":1}`)
	}
	value := func(subject, version, id, name string) []byte {
		return []byte(`{"subject":"` + subject + `","version":` + version + `,"id":` + id +
			`,"schema":"{\"type\":\"record\",\"name\":\"` + name + `\",\"fields\":[]}","deleted":false}`)
	}
	for name, second := range map[string][2][]byte{
		"version left out":    {key("a", "3"), value("a", "3", "2", "A")},
		"version of no id":    {key("a", "2"), value("a", "2", "0", "A")},
		"id of two schemas":   {key("b", "1"), value("b", "1", "1", "B")},
		"version of two ids":  {key("a", "1"), value("a", "1", "2", "A")},
		"value of another":    {key("b", "1"), value("c", "1", "2", "B")},
		"not JSON":            {[]byte("x"), value("b", "1", "2", "B")},
		"tombstone":           {key("a", "1"), nil},
		"deleted":             {key("b", "1"), []byte(`{"subject":"b","version":1,"id":2,"schema":"{}","deleted":true}`)},
		"schema not accepted": {key("b", "1"), []byte(`{"subject":"b","version":1,"id":2,"schema":"\"string\""}`)},
		"of another registry": {[]byte(`{"keytype":"CLEAR_SUBJECT","subject":"a","magic":0}`), []byte(`{}`)},
	} {
		s := newState()
		if err := s.fold(key("a", "1"), value("a", "1", "1", "A")); err != nil {
			t.Fatal(err)
		}
		if err := s.fold(second[0], second[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := s.fold(key("a", "1"), value("a", "1", "1", "A")); err != nil {
			t.Errorf("%s: the same record again: %v", name, err)
		}
	}
}
