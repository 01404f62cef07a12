package reset

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

func tp(p int32) kafka.TopicPartition { return kafka.TopicPartition{Topic: "t", Partition: p} }

func ptr[T any](v T) *T { return &v }

// The log of partition 0 begins at 30, both end at 100; partition 0 is committed at 50, partition 1 not at all.
func someFacts() facts {
	return facts{
		partitions: map[string]int32{"t": 2},
		committed:  map[kafka.TopicPartition]kafka.Committed{tp(0): {Offset: 50, Present: true}},
		start:      map[kafka.TopicPartition]int64{tp(0): 30, tp(1): 0},
		end:        map[kafka.TopicPartition]int64{tp(0): 100, tp(1): 100},
		after:      map[kafka.TopicPartition]admin.OffsetAt{tp(0): {Offset: 42, Found: true}, tp(1): {Offset: 100}},
		file:       []Row{{Group: "g", Topic: "t", Partition: 0, NewOffset: 5}, {Group: "g", Topic: "t", Partition: 1, NewOffset: 77}},
	}
}

// The expectations are what kafka-consumer-groups.sh of Kafka 4.3 printed for the same log and group.
func TestPlan_AnswersAsKafkasTool(t *testing.T) {
	lower := "New offset (%d) is lower than earliest offset for topic partition t-0. Value will be set to 30"
	for name, c := range map[string]struct {
		spec Spec
		want []int64
		warn []string
		err  string
	}{
		"earliest":       {spec: Spec{ToEarliest: true}, want: []int64{30, 0}},
		"latest":         {spec: Spec{ToLatest: true}, want: []int64{100, 100}},
		"current":        {spec: Spec{ToCurrent: true}, want: []int64{50, 100}},
		"offset":         {spec: Spec{ToOffset: ptr(int64(60))}, want: []int64{60, 60}},
		"offset below":   {spec: Spec{ToOffset: ptr(int64(10))}, want: []int64{30, 10}, warn: []string{fmt.Sprintf(lower, 10)}},
		"offset above":   {spec: Spec{Topics: []string{"t:1"}, ToOffset: ptr(int64(1000))}, want: []int64{100}, warn: []string{"New offset (1000) is higher than latest offset for topic partition t-1. Value will be set to 100"}},
		"shift":          {spec: Spec{Topics: []string{"t:0"}, ShiftBy: ptr(int64(3))}, want: []int64{53}},
		"shift below":    {spec: Spec{Topics: []string{"t:0"}, ShiftBy: ptr(int64(-100))}, want: []int64{30}, warn: []string{fmt.Sprintf(lower, -50)}},
		"shift past all": {spec: Spec{Topics: []string{"t:0"}, ShiftBy: ptr(int64(math.MaxInt64))}, err: "a shift by 9223372036854775807 from offset 50 of partition t-0 is beyond every offset"},
		"shift nothing":  {spec: Spec{ShiftBy: ptr(int64(1))}, err: "Cannot shift offset for partition t-1 since there is no current committed offset"},
		"all topics":     {spec: Spec{AllTopics: true, ToEarliest: true}, want: []int64{30}},
		"time":           {spec: Spec{ToDatetime: ptr(time.Unix(0, 0))}, want: []int64{42, 100}, warn: []string{"Partition 1 from topic t is empty. Falling back to latest known offset."}},
		"duration":       {spec: Spec{ByDuration: ptr(time.Hour)}, want: []int64{42, 100}, warn: []string{"Partition 1 from topic t is empty. Falling back to latest known offset."}},
		"file":           {spec: Spec{FromFile: []byte("…")}, want: []int64{30, 77}, warn: []string{fmt.Sprintf(lower, 5)}},
		"no partition":   {spec: Spec{Topics: []string{"t:2"}, ToLatest: true}, err: "partition t-2 does not exist: the topic has 2"},
		"bad topic":      {spec: Spec{Topics: []string{"t:x"}, ToLatest: true}, err: `"x" is not a partition number`},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Group = "g"
			if c.spec.Topics == nil && !c.spec.AllTopics && c.spec.FromFile == nil {
				c.spec.Topics = []string{"t"}
			}
			if err := c.spec.check(); err != nil {
				t.Fatal(err)
			}
			rows, warnings, err := plan(c.spec, someFacts())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, r := range rows {
				got = append(got, r.NewOffset)
				if want := map[int32]int64{0: 50, 1: -1}[r.Partition]; r.Prior != want {
					t.Errorf("partition %d: prior %d, want %d", r.Partition, r.Prior, want)
				}
			}
			var warn []string
			for _, w := range warnings {
				warn = append(warn, string(w))
			}
			if !slices.Equal(got, c.want) || !slices.Equal(warn, c.warn) {
				t.Fatalf("offsets %v, want %v; warnings %q, want %q", got, c.want, warn, c.warn)
			}
		})
	}
}

func TestSpec_RefusesWhatIsAmbiguous(t *testing.T) {
	for want, s := range map[string]Spec{
		"no group is given":           {Topics: []string{"t"}, ToLatest: true},
		"0 targets are given":         {Group: "g", Topics: []string{"t"}},
		"2 targets are given":         {Group: "g", Topics: []string{"t"}, ToLatest: true, ToEarliest: true},
		"exclude each other":          {Group: "g", Topics: []string{"t"}, AllTopics: true, ToLatest: true},
		"a file names its partitions": {Group: "g", Topics: []string{"t"}, FromFile: []byte("t,0,1")},
		"one of the reset scopes":     {Group: "g", ToLatest: true},
		"by-duration is negative":     {Group: "g", AllTopics: true, ByDuration: ptr(-time.Hour)},
	} {
		if err := s.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}

func TestCSV_IsKafkasExportAndReadsItBack(t *testing.T) {
	rows := []Row{{Group: "g", Topic: "t", Partition: 0, Prior: 7, NewOffset: 30}, {Group: "g", Topic: "t", Partition: 1, Prior: -1}}
	var one, prior bytes.Buffer
	if err := WriteCSV(&one, rows); err != nil {
		t.Fatal(err)
	}
	if one.String() != "t,0,30\nt,1,0\n" {
		t.Fatalf("wrote %q", one.String())
	}
	if err := PriorCSV(&prior, rows); err != nil || prior.String() != "t,0,7\nt,1,-1\n" {
		t.Fatalf("the way back is %q, %v", prior.String(), err)
	}
	// Kafka ends its export with an empty line, and puts the group first when there are several.
	for _, in := range []string{one.String() + "\n", "h,t,0,9\ng,t,0,30\ng,t,1,0\n\n"} {
		got, err := ParseCSV([]byte(in), "g")
		if err != nil || len(got) != 2 || got[0].NewOffset != 30 || got[1].Partition != 1 {
			t.Fatalf("%q read as %v, %v", in, got, err)
		}
	}
}

func TestParseCSV_ReportsEveryWrongLine(t *testing.T) {
	_, err := ParseCSV([]byte("t,0\nt,x,1\nt,1,-5\nt,2,3\nt,2,4\n,0,1\n"), "g")
	for _, want := range []string{"line 1: 2 columns", "line 2: partition", "line 3: offset", "line 5: t-2 is there twice", "line 6: the topic is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if _, err := ParseCSV(nil, "g"); err == nil {
		t.Error("an empty plan is taken")
	}
}
