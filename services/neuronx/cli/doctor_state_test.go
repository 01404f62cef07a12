package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

func TestJudgeState_NamesStraysAndSaysWhatWasNotRead(t *testing.T) {
	stray := []sequencer.Stray{{Partition: 3, Records: 2, Offset: 17, Why: "it was not written in a transaction"}}
	for _, tc := range []struct {
		found  []sequencer.Stray
		whole  bool
		err    error
		result string
		detail string
	}{
		{nil, true, nil, checkOK, "all of it"},
		{nil, false, nil, checkOK, "not all of it could be read"},
		{stray, true, nil, checkFail, "2 records to partition 3, the first at offset 17: it was not written in a transaction"},
		{nil, false, errors.New("torn"), checkFail, "torn"},
	} {
		got := judgeState(tc.found, tc.whole, tc.err)
		if len(got) != 1 || got[0].Result != tc.result || !strings.Contains(got[0].Detail, tc.detail) {
			t.Errorf("%+v", got)
		}
	}
}

func TestJudgeTxns_SaysNoneOnlyOfWhatWasLookedAt(t *testing.T) {
	for _, x := range []struct {
		name   string
		found  []kafka.HangingTxn
		looked lookedAt
		want   []string // results
	}{
		{"everything was seen", nil, lookedAt{partitions: 30}, []string{checkOK}},
		{"a part was hidden", nil, lookedAt{partitions: 30, hidden: []string{"_schemas"}}, []string{checkSkipped, checkOK}},
		{"everything was hidden", nil, lookedAt{hidden: []string{"neuronx.events"}}, []string{checkSkipped}},
		{"one hangs where a part was hidden", []kafka.HangingTxn{{}}, lookedAt{partitions: 30, hidden: []string{"_schemas"}}, []string{checkSkipped, checkFail}},
	} {
		var got []string
		for _, f := range judgeTxns(x.found, x.looked) {
			got = append(got, f.Result)
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
}
