package read

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

func TestJumped_OnlyBehindWhatWasTrimmed(t *testing.T) {
	for name, x := range map[string]struct {
		first, start, next int64
		jumped             bool
	}{
		"goes on":                              {first: 7, start: 0, next: 7},
		"the batch begins before":              {first: 5, start: 0, next: 7},
		"aborted records lie between":          {first: 9, start: 0, next: 7},
		"trimmed up to where it goes on":       {first: 9, start: 9, next: 7, jumped: true},
		"trimmed, and aborted records as well": {first: 9, start: 8, next: 7, jumped: true},
		"trimmed behind what was read":         {first: 9, start: 7, next: 7},
	} {
		ft := kgo.FetchTopicPartition{Topic: "t", FetchPartition: kgo.FetchPartition{LogStartOffset: x.start, Records: []*kafka.Record{{Offset: x.first}}}}
		if err := Jumped(ft, x.next); (err != nil) != x.jumped {
			t.Errorf("%s: %v", name, err)
		}
	}
}
