package kafka_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

func someRecorded() event.Recorded {
	return event.Recorded{
		Event: event.Event{
			TenantID: "acme", ID: "1", Source: "/test", Type: "lead.created", Subject: "lead/42",
			Time: time.Date(2026, 1, 31, 12, 0, 0, 1000, time.UTC), ContentType: event.ContentTypeAvro,
			CausationID: "0", Hops: 2, Origin: event.OriginLive, Deriver: "rules", DeriverNumber: 7,
			Path:  []string{"lead.updated<a@1", "lead.created<b@2"},
			Extra: []event.Header{{Key: "x-own", Value: []byte{0, 255}}},
			Value: event.Frame(3, []byte("body")),
		},
		Sequence: 12, Position: event.PositionAt(1_769_860_800_000), RecordedTime: time.Date(2026, 1, 31, 12, 0, 1, 0, time.UTC), LogID: "log",
		Partition: 4, Offset: 99,
	}
}

func TestRecords_ComeBackAsTheyWent(t *testing.T) {
	want := someRecorded()
	r := kafka.RecordedToRecord(&want)
	if r.Topic != kafka.TopicEvents || r.Partition != 4 || string(r.Key) != "acme" {
		t.Fatalf("made %+v", r)
	}
	r.Offset = 99 // the broker's
	got, err := kafka.ParseRecorded(r)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("recorded event came back as %+v, %v", got, err)
	}
	in := kafka.ToRecord(kafka.TopicIngress, &want.Event)
	e, err := kafka.ParseRecord(in)
	if err != nil || !reflect.DeepEqual(e, want.Event) {
		t.Fatalf("event came back as %+v, %v", e, err)
	}
	if v, ok := kafka.Header(in, "ce_id"); !ok || v != "1" {
		t.Fatalf("header ce_id: %q, %v", v, ok)
	}
	if _, ok := kafka.Header(in, "ce_sequence"); ok {
		t.Fatal("an ingress record has a sequence")
	}
}

func TestBatchSize_IsNeverBelowTheTruth(t *testing.T) {
	r := &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: make([]byte, 1<<20-200)}
	if !kafka.Fits(r) {
		t.Fatalf("a batch of %d bytes does not fit in %d", kafka.BatchSize(r), kafka.MaxBatchBytes(r.Topic))
	}
	r.Value = make([]byte, 1<<20)
	if kafka.Fits(r) {
		t.Fatal("a value of 1 MiB fits in a batch of 1 MiB")
	}
	if r.Topic = kafka.TopicEvents; !kafka.Fits(r) {
		t.Fatal("what ingress takes does not fit in the log")
	}
}

// fuzzRecord builds a record from fuzzed text: name and value pairs, line by line.
func fuzzRecord(key []byte, headers string, value []byte) *kafka.Record {
	r := &kafka.Record{Topic: kafka.TopicIngress, Key: key, Value: value}
	for line := range strings.SplitSeq(headers, "\n") {
		name, v, _ := strings.Cut(line, "=")
		r.Headers = append(r.Headers, kafka.RecordHeader{Key: name, Value: []byte(v)})
	}
	return r
}

func headerText(hs []event.Header) string {
	var lines []string
	for _, h := range hs {
		lines = append(lines, h.Key+"="+string(h.Value))
	}
	return strings.Join(lines, "\n")
}

// What is refused is refused by name; what is taken survives being written and read again.
func FuzzParseRecord(f *testing.F) {
	e := someRecorded()
	f.Add([]byte("acme"), headerText(e.Event.Headers()), e.Value)
	f.Add([]byte(""), "", []byte(nil))
	f.Add([]byte("acme"), "ce_hops=99999\nce_origin=x\nce_time=now\nce_id=\x00", []byte{0})
	f.Fuzz(func(t *testing.T, key []byte, headers string, value []byte) {
		got, err := kafka.ParseRecord(fuzzRecord(key, headers, value))
		if err != nil {
			var refusal *event.Refusal
			if !errors.As(err, &refusal) || refusal.Code == "" {
				t.Fatalf("refused without a code: %v", err)
			}
			return
		}
		again, err := kafka.ParseRecord(kafka.ToRecord(kafka.TopicIngress, &got))
		if err != nil {
			t.Fatalf("what was taken is refused when written again: %v", err)
		}
		if again.ID != got.ID || again.Type != got.Type || !again.Time.Equal(got.Time) || again.Key() != got.Key() || len(again.Extra) != len(got.Extra) {
			t.Fatalf("%+v became %+v", got, again)
		}
	})
}

func FuzzParseRecorded(f *testing.F) {
	e := someRecorded()
	f.Add([]byte("acme"), headerText(e.Headers()), e.Value)
	f.Add([]byte("acme"), "ce_sequence=-1\nce_position=0\nce_logid=l", []byte{})
	f.Fuzz(func(t *testing.T, key []byte, headers string, value []byte) {
		got, err := kafka.ParseRecorded(fuzzRecord(key, headers, value))
		if err != nil {
			var refusal *event.Refusal
			if !errors.As(err, &refusal) || refusal.Code == "" {
				t.Fatalf("refused without a code: %v", err)
			}
			return
		}
		if got.Sequence < 1 || got.Position < 1 || got.LogID == "" || !event.ValidTenant(got.TenantID) {
			t.Fatalf("taken: %+v", got)
		}
		again, err := kafka.ParseRecorded(kafka.RecordedToRecord(&got))
		if err != nil || again.Sequence != got.Sequence || again.Position != got.Position || again.ID != got.ID {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
	})
}
