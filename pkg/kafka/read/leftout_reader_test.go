package read_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// TestTopicsReader_FetchesAgainWhatWasLeftOut: once, the broker answers from further on than it was asked, as one would whose fetch session
// is not the client's.
func TestTopicsReader_FetchesAgainWhatWasLeftOut(t *testing.T) {
	cfg, c, _ := kafkatest.StartTopic(t, 2)
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
	for p := range int32(2) {
		kafkatest.Produce(t, cfg, kafkatest.Numbered(p, 0, 5)...)
		kafkatest.Abort(t, cfg, "id", &kafka.Record{Topic: "t", Partition: p, Value: []byte("aborted")})
		kafkatest.Produce(t, cfg, kafkatest.Numbered(p, 5, 5)...)
	}
	var skips atomic.Int32
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, rt := range req.(*kmsg.FetchRequest).Topics {
			for i := range rt.Partitions {
				if p := &rt.Partitions[i]; p.Partition == 0 && p.FetchOffset == 2 && skips.Add(1) == 1 {
					p.FetchOffset = 9
				}
			}
		}
		return nil, nil, false
	})
	r, err := read.NewReader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	r.Add(kafka.TopicPartition{Topic: "t", Partition: 1}, 2) // nothing is left out but what is aborted
	values := map[int32][]string{}
	readOne := func(p int32) {
		for len(values[p]) < 8 && ctx.Err() == nil {
			recs, failed := r.Poll(ctx, 3)
			if len(failed) > 0 {
				t.Fatal(failed)
			}
			for _, rec := range recs {
				values[rec.Partition] = append(values[rec.Partition], string(rec.Value))
			}
		}
	}
	if readOne(1); log.Len() > 0 {
		t.Errorf("nothing but aborted records was left out:\n%s", &log)
	}
	r.Add(kafka.TopicPartition{Topic: "t", Partition: 0}, 2)
	readOne(0)
	want := []string{"2", "3", "4", "5", "6", "7", "8", "9"}
	if !slices.Equal(values[0], want) || !slices.Equal(values[1], want) {
		t.Errorf("read %v, want %v of both", values, want)
	}
	if skips.Load() < 2 || !strings.Contains(log.String(), "had left out committed records") {
		t.Errorf("asked %d times; said:\n%s", skips.Load(), &log)
	}
}

// TestTopicsReader_HandsNothingOnBehindAGapThatNobodyLookedAt: the second look has no fetch session, by which the broker knows it here.
func TestTopicsReader_HandsNothingOnBehindAGapThatNobodyLookedAt(t *testing.T) {
	cfg, c, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 1)...)
	kafkatest.Abort(t, cfg, "id", &kafka.Record{Topic: "t", Value: []byte("aborted")})
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 1, 1)...)
	var deaf atomic.Bool
	deaf.Store(true)
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if r := req.(*kmsg.FetchRequest); r.SessionEpoch == -1 && deaf.Load() {
			return nil, errors.New("cut"), true
		}
		return nil, nil, false
	})
	r, err := read.NewReader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	tp := kafka.TopicPartition{Topic: "t"}
	r.Add(tp, 0)
	recs, failed := r.Poll(ctx, 100)
	if len(recs) != 1 || failed[tp] == nil || !strings.Contains(failed[tp].Error(), "left out from offset 1 on") {
		t.Fatalf("%d records, %v", len(recs), failed)
	}
	deaf.Store(false)
	r.Add(tp, recs[0].Offset+1)
	if recs, failed = r.Poll(ctx, 100); len(recs) != 1 || string(recs[0].Value) != "1" || len(failed) > 0 {
		t.Errorf("then %d records, %v", len(recs), failed)
	}
}
