package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/kafka/hanging"
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
		found  []hanging.Txn
		looked lookedAt
		want   []string // results
	}{
		{"everything was seen", nil, lookedAt{partitions: 30}, []string{checkOK}},
		{"a part was hidden", nil, lookedAt{partitions: 30, hidden: []string{"_schemas"}}, []string{checkSkipped, checkOK}},
		{"everything was hidden", nil, lookedAt{hidden: []string{"neuronx.events"}}, []string{checkSkipped}},
		{"one hangs where a part was hidden", []hanging.Txn{{}}, lookedAt{partitions: 30, hidden: []string{"_schemas"}}, []string{checkSkipped, checkFail}},
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

func TestExamine_StopsAskingAPartThatTwiceDoesNotAnswerInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cli{timeout: 10 * time.Second}
		hangs := check{name: "x", part: partPostgres, run: func(ctx context.Context) []finding {
			<-ctx.Done()
			return []finding{fail(ctx.Err(), "")}
		}}
		began := time.Now()
		found := c.examine(t.Context(), []check{hangs, hangs, hangs, hangs, hangs, {name: "other", run: func(context.Context) []finding { return []finding{{Result: checkOK}} }}})
		var got []string
		for _, f := range found {
			got = append(got, f.Result)
		}
		if want := []string{checkFail, checkFail, checkSkipped, checkSkipped, checkSkipped, checkOK}; !slices.Equal(got, want) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %s, want %v", got, time.Since(began), want)
		}
	})
}

func TestExamine_StopsAskingAPartThatIsSlowAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cli{timeout: 10 * time.Second}
		takes := func(d time.Duration) check {
			return check{name: "x", part: partPostgres, run: func(context.Context) []finding { time.Sleep(d); return []finding{{Result: checkOK}} }}
		}
		count := func(n int, d time.Duration) (asked int) {
			var checks []check
			for range n {
				checks = append(checks, takes(d))
			}
			for _, f := range c.examine(t.Context(), checks) {
				if f.Result == checkOK {
					asked++
				}
			}
			return asked
		}
		if n := count(12, 8*time.Second); n != 3 {
			t.Errorf("%d checks of eight seconds each are made", n)
		}
		if n := count(30, 2*time.Second); n != 30 {
			t.Errorf("%d of 30 checks of two seconds are made: they are only thorough", n)
		}
	})
}
