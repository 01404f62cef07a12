package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func TestJudgeState_NamesStraysAndSaysWhatWasNotRead(t *testing.T) {
	stray := []statelog.Stray{{Partition: 3, Records: 2, Offset: 17, Why: "it was not written in a transaction"}}
	for _, tc := range []struct {
		found  []statelog.Stray
		whole  bool
		err    error
		result string
		detail string
	}{
		{nil, true, nil, OK, "all of it"},
		{nil, false, nil, OK, "not all of it could be read"},
		{stray, true, nil, Failed, "2 records to partition 3, the first at offset 17: it was not written in a transaction"},
		{nil, false, errors.New("torn"), Failed, "torn"},
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
		looked operate.LookedAt
		want   []string // results
	}{
		{"everything was seen", nil, operate.LookedAt{Partitions: 30}, []string{OK}},
		{"a part was hidden", nil, operate.LookedAt{Partitions: 30, Hidden: []string{"_schemas"}}, []string{Skipped, OK}},
		{"everything was hidden", nil, operate.LookedAt{Hidden: []string{"neuronx.events"}}, []string{Skipped}},
		{"one hangs where a part was hidden", []hanging.Txn{{}}, operate.LookedAt{Partitions: 30, Hidden: []string{"_schemas"}}, []string{Skipped, Failed}},
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
		x := session(nil)
		x.env.Timeout = 10 * time.Second
		hangs := check{name: "x", part: partPostgres, run: func(ctx context.Context) []Finding {
			<-ctx.Done()
			return []Finding{fail(ctx.Err(), "")}
		}}
		began := time.Now()
		found := x.examine(t.Context(), []check{hangs, hangs, hangs, hangs, hangs, {name: "other", run: func(context.Context) []Finding { return []Finding{{Result: OK}} }}})
		var got []string
		for _, f := range found {
			got = append(got, f.Result)
		}
		if want := []string{Failed, Failed, Skipped, Skipped, Skipped, OK}; !slices.Equal(got, want) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %s, want %v", got, time.Since(began), want)
		}
	})
}

func TestExamine_StopsAskingAPartThatIsSlowAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := session(nil)
		x.env.Timeout = 10 * time.Second
		takes := func(d time.Duration) check {
			return check{name: "x", part: partPostgres, run: func(context.Context) []Finding { time.Sleep(d); return []Finding{{Result: OK}} }}
		}
		count := func(n int, d time.Duration) (asked int) {
			var checks []check
			for range n {
				checks = append(checks, takes(d))
			}
			for _, f := range x.examine(t.Context(), checks) {
				if f.Result == OK {
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
