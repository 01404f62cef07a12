package read_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

func readRange(t *testing.T, cfg kafka.Config, from, to int64) ([]int64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.Patience)
	defer cancel()
	var got []int64
	err := read.Range(ctx, cfg, "t", 0, from, to, func(r *kafka.Record) error {
		got = append(got, r.Offset)
		return nil
	})
	return got, err
}

func TestReadRange_EndsAtTheEndEvenBehindControlAndAbortedRecords(t *testing.T) {
	cfg, _, adm := kafkatest.StartTopic(t, 1)
	kafkatest.Commit(t, cfg, "tx", kafkatest.Numbered(0, 0, 3)...) // 0 1 2, end at 3
	kafkatest.Abort(t, cfg, "tx", kafkatest.Numbered(0, 3, 3)...)  // 4 5 6, end at 7
	ends, err := adm.EndOffsets(context.Background(), admin.ReadUncommitted, "t")
	if err != nil || ends[kafka.TopicPartition{Topic: "t"}] != 8 {
		t.Fatalf("ends %v, %v", ends, err)
	}
	for _, c := range []struct {
		from, to int64
		want     []int64
	}{{0, 8, []int64{0, 1, 2}}, {0, 4, []int64{0, 1, 2}}, {1, 2, []int64{1}}, {3, 8, nil}, {4, 6, nil}, {8, 8, nil}, {5, 2, nil}} {
		got, err := readRange(t, cfg, c.from, c.to)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("from %d to %d: %v, %v; want %v", c.from, c.to, got, err, c.want)
		}
	}
}

func TestReadRange_TrimmedStartIsAnErrorAndNoJump(t *testing.T) {
	cfg, c, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 100)...)
	if err := c.DeleteRecords("t", 0, 50); err != nil {
		t.Fatal(err)
	}
	got, err := readRange(t, cfg, 10, 100)
	var stopped *read.StoppedError
	if !errors.As(err, &stopped) || len(got) != 0 || !strings.Contains(err.Error(), "trimmed: the log begins at 50") {
		t.Fatalf("read %v, %v", got, err)
	}
}

func TestReadRange_StopsWithTheCallbacksError(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 3)...)
	broken := errors.New("broken")
	err := read.Range(context.Background(), cfg, "t", 0, 0, 3, func(*kafka.Record) error { return broken })
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestFollow_SeesWhatComesAndLeavesOutWhatWas(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 5)...)
	for _, fromStart := range []bool{true, false} {
		ctx, cancel := context.WithCancel(context.Background())
		seen := make(chan int64, 1000)
		done := make(chan error, 1)
		go func() {
			done <- read.Follow(ctx, cfg, "t", fromStart, func(r *kafka.Record) error { seen <- r.Offset; return nil })
		}()
		var first int64 = -1
		kafkatest.WaitFor(t, "a record", func(context.Context) bool {
			kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 1)...)
			select {
			case first = <-seen:
				return true
			default:
				return false
			}
		})
		if fromStart != (first == 0) {
			t.Errorf("from start %v: the first record was %d", fromStart, first)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
