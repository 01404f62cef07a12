package landing

import (
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

// full makes a queue of n records of size bytes.
func full(n, size int, l Limits) *queue {
	q := &queue{}
	q.limit(time.Unix(1_700_000_000, 0), l)
	for i := range n {
		q.push(&kafka.Record{Offset: int64(i), Value: make([]byte, size)})
	}
	return q
}

// rounds picks some transactions and takes what is picked; it returns how many records each got.
func rounds(r *ring, times, maxRecords, maxBytes int) map[*queue]int {
	got := map[*queue]int{}
	for range times {
		picked, _ := r.pick(time.Unix(1_700_000_000, 0), maxRecords, maxBytes)
		for q, n := range picked {
			got[q] += n
			q.take(n)
		}
	}
	return got
}

func TestPick_SharesEvenlyHoweverMuchOneHas(t *testing.T) {
	flood, modest, few := full(10_000, 1000, Limits{}), full(2000, 1000, Limits{}), full(3, 1000, Limits{})
	got := rounds(&ring{queues: []*queue{flood, modest, few}}, 3, 1000, 1<<30)
	if total := got[flood] + got[modest] + got[few]; total != 3000 {
		t.Fatalf("%d picked, there was room for 3000", total)
	}
	if got[few] != 3 || got[modest] < 1400 || got[flood] < 1400 {
		t.Errorf("flood %d, modest %d, few %d", got[flood], got[modest], got[few])
	}
}

func TestPick_SharesBytesAndNotRecords(t *testing.T) {
	big, small := full(40, 1<<20, Limits{}), full(50_000, 1000, Limits{})
	got := rounds(&ring{queues: []*queue{big, small}}, 4, 100_000, 8<<20)
	if ratio := float64(got[big]<<20) / float64(got[small]*1000); ratio < 0.7 || ratio > 2 {
		t.Errorf("the one with large records got %d MiB, the other %d kB", got[big], got[small])
	}
}

// A round gives a quantum, however the rounds fall into transactions: a tenant of large records saves for one over several rounds and has
// spent what it saved when it has sent it, and one whose queue ran dry saves nothing for its next flood.
func TestPick_ARecordIsPaidForAndWhatIsNotUsedIsNotSaved(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	const four = 4 * quantum
	extra := cost(&kafka.Record{Value: make([]byte, four)}) - four // what a record costs besides its value
	large, small := full(50, four-extra, Limits{}), full(20_000, 1000, Limits{})
	if c := cost(large.pending[0]); c != four {
		t.Fatalf("a record costs %d, want four quanta, %d", c, four)
	}
	r := &ring{queues: []*queue{large, small}}
	each := cost(small.pending[0])
	for n := range 10 { // transactions with room for four rounds each
		picked, _ := r.pick(now, 1<<20, 8*quantum)
		large.take(picked[large])
		small.take(picked[small])
		if bytes := picked[small] * each; picked[large] != 1 || bytes < 3*quantum || bytes > 5*quantum {
			t.Fatalf("transaction %d holds %d large records and %d bytes of small ones, want the same of both", n, picked[large], bytes)
		}
	}

	idle, busy := full(1, 1000, Limits{}), full(100_000, 1000, Limits{})
	r = &ring{queues: []*queue{idle, busy}}
	for range 20 { // it sends one small record at a time and could have sent more
		picked, _ := r.pick(now, 1<<20, 2*quantum)
		idle.take(picked[idle])
		busy.take(picked[busy])
		idle.push(&kafka.Record{Value: make([]byte, 1000)})
	}
	for range 1000 {
		idle.push(&kafka.Record{Value: make([]byte, 1000)})
	}
	picked, _ := r.pick(now, 1<<20, 2*quantum)
	if got := picked[idle] * each; got > 3*quantum/2 {
		t.Errorf("after a quiet time it may send %d of %d bytes at once: it saved what it did not use", got, 2*quantum)
	}
}

func TestPick_WeightsAreShares(t *testing.T) {
	heavy, light := full(20_000, 1000, Limits{Weight: 3}), full(20_000, 1000, Limits{})
	got := rounds(&ring{queues: []*queue{heavy, light}}, 10, 1000, 1<<30)
	if ratio := float64(got[heavy]) / float64(got[light]); ratio < 2.4 || ratio > 3.6 {
		t.Errorf("%d to %d, want 3 to 1", got[heavy], got[light])
	}
}

func TestPick_ARateHoldsUpItsOwnTenantOnly(t *testing.T) {
	slow, free := full(1000, 100, Limits{Events: 10}), full(990, 100, Limits{})
	r := &ring{queues: []*queue{slow, free}}
	now, sent := time.Unix(1_700_000_000, 0), 0
	for i := range 61 { // a minute and the first moment
		picked, wait := r.pick(now.Add(time.Duration(i)*time.Second), 1000, 1<<30)
		if i == 0 && picked[free] != 990 {
			t.Errorf("the other got %d of 990 at once", picked[free])
		}
		if !slow.throttled || wait <= 0 || wait > 200*time.Millisecond {
			t.Fatalf("second %d: throttled %v, wait %s", i, slow.throttled, wait)
		}
		sent += picked[slow]
		slow.take(picked[slow])
		free.take(picked[free])
	}
	if sent != 610 {
		t.Errorf("%d events at 10 a second, want 10 at once and 600 in a minute", sent)
	}
}

func TestPick_AByteRateIsKeptOverRecordsThatAreLargerThanItsSecond(t *testing.T) {
	q := full(100, 100_000, Limits{Bytes: 10_000})
	r := &ring{queues: []*queue{q}}
	now, sent := time.Unix(1_700_000_000, 0), 0
	for i := range 100 {
		picked, _ := r.pick(now.Add(time.Duration(i)*time.Second), 1000, 1<<30)
		sent += picked[q]
		q.take(picked[q])
	}
	if sent < 9 || sent > 12 {
		t.Errorf("%d records of 100 kB in 100 s at 10 kB/s", sent)
	}
}

func TestPick_ARecordThatCostsExactlyTheDeficitGoesInThisRound(t *testing.T) {
	over := cost(&kafka.Record{Value: make([]byte, quantum)}) - quantum
	exact, larger, small := full(1, quantum-over, Limits{}), full(1, quantum-over+1, Limits{}), full(1, 1, Limits{})
	if c := cost(exact.pending[0]); c != quantum || cost(larger.pending[0]) != quantum+1 {
		t.Fatalf("the record costs %d, want %d", c, quantum)
	}
	now := time.Unix(1_700_000_000, 0)
	for q, want := range map[*queue]int{exact: 1, larger: 0} { // the first to be picked is the first of the round, or else the small one
		picked, _ := (&ring{queues: []*queue{q, small}}).pick(now, 1, 1<<30)
		if picked[q] != want || picked[small] != 1-want {
			t.Errorf("a record of %d: %d picked and %d of the other, want %d", cost(q.pending[0]), picked[q], picked[small], want)
		}
	}
}

func TestPick_WhoHasNoTokenLeftWaitsForTheNextAndWhoHasAPartOfOneDoesNot(t *testing.T) {
	q := full(1000, 100, Limits{Events: 10})
	r := &ring{queues: []*queue{q}}
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		after, wait time.Duration
		want        int
	}{
		{0, time.Millisecond, 10},                         // a second's worth, and then none: 0 is not enough
		{0, time.Millisecond, 0},                          //
		{50 * time.Millisecond, 51 * time.Millisecond, 1}, // half a token lets one go, on credit of the other half
		{0, 51 * time.Millisecond, 0},                     //
		{50 * time.Millisecond, time.Millisecond, 0},      // the credit is paid back, and nothing is left
		{time.Second, time.Millisecond, 10},               //
		{time.Hour, time.Millisecond, 10},                 // no more than a second's worth is saved
		{100 * time.Millisecond, time.Millisecond, 1},     // a token is a record
	} {
		now = now.Add(c.after)
		picked, wait := r.pick(now, 1000, 1<<30)
		q.take(picked[q])
		if picked[q] != c.want || (wait-c.wait).Abs() > time.Microsecond {
			t.Errorf("after %s: %d picked, then a wait of %s; want %d and %s", c.after, picked[q], wait, c.want, c.wait)
		}
	}
}

func TestPick_ALargeRecordIsChargedInFullAndTheDebtIsWaitedFor(t *testing.T) {
	q := full(4, 100_000, Limits{Bytes: 10_000})
	bytes := cost(q.pending[0]) - recordCost
	r := &ring{queues: []*queue{q}}
	now := time.Unix(1_700_000_000, 0)
	picked, wait := r.pick(now, 1000, 1<<30)
	debt := time.Duration(float64(bytes-10_000) / 10_000 * float64(time.Second))
	if q.take(picked[q]); picked[q] != 1 || (wait-debt-time.Millisecond).Abs() > time.Microsecond {
		t.Fatalf("%d picked, then a wait of %s for a debt of %s", picked[q], wait, debt)
	}
	if picked, _ := r.pick(now.Add(debt), 1000, 1<<30); picked[q] != 0 {
		t.Error("sent before the debt was paid")
	}
	if picked, _ := r.pick(now.Add(debt+time.Millisecond), 1000, 1<<30); picked[q] != 1 {
		t.Error("held up after the debt was paid")
	}
	q.take(1)
	if _, wait := r.pick(now.Add(time.Hour), 1000, 1<<30); (wait - debt - time.Millisecond).Abs() > time.Microsecond {
		t.Errorf("after an hour a wait of %s, want %s: more than a second's worth was saved", wait, debt)
	}
}

func TestPick_WhoWaitsForItsRateSavesNoDeficit(t *testing.T) {
	large, small := full(2, 3*quantum, Limits{}), full(1, 1, Limits{})
	r := &ring{queues: []*queue{large, small}}
	now := time.Unix(1_700_000_000, 0)
	if r.pick(now, 1, 1<<30); large.deficit != quantum {
		t.Fatalf("%d saved towards a large record, want a quantum", large.deficit)
	}
	large.limit(now, Limits{Events: 1})
	charge(large.events, now, 1)
	r.turn = 0
	if picked, _ := r.pick(now, 1, 1<<30); large.deficit != 0 || !large.throttled || picked[large] != 0 {
		t.Errorf("%d saved while it waits for its rate", large.deficit)
	}
}

func TestLimit_ChangesWhatATenantMaySendFromThenOn(t *testing.T) {
	q := full(10_000, 100, Limits{})
	r := &ring{queues: []*queue{q}}
	now := time.Unix(1_700_000_000, 0)
	pick := func(want int) {
		t.Helper()
		picked, _ := r.pick(now, 1000, 1<<30)
		if q.take(picked[q]); picked[q] != want {
			t.Errorf("%d picked at %+v, want %d", picked[q], q.limits, want)
		}
	}
	pick(1000)
	q.limit(now, Limits{Events: 10}) // what was sent without a limit is no debt
	pick(10)
	q.limit(now, Limits{Events: 100})
	pick(0) // a higher rate does not fill the bucket at once
	now = now.Add(time.Second)
	pick(100)
	now = now.Add(time.Hour)
	q.limit(now, Limits{Events: 5, Weight: 2})
	pick(5) // a lower rate leaves no more than its own second's worth
	q.limit(now, Limits{})
	pick(1000)
}

func TestRoom_FewWhoFloodOrWaitLeaveRoomForAll(t *testing.T) {
	for _, c := range []struct {
		held, tenants int
		throttled     bool
		want          int
	}{
		{0, 0, false, 4 << 20}, {16 << 20, 4, true, 4 << 20}, {17 << 20, 4, false, 4 << 20}, {17 << 20, 4, true, 0}, {20 << 20, 100, false, 16 << 20 / 100},
	} {
		if got := room(32<<20, c.held, c.tenants, c.throttled); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	q := full(10, 1000, Limits{})
	if rest := q.keep(1); len(rest) != 9 || len(q.pending) != 1 || q.bytes != cost(q.pending[0]) || rest[0].Offset != 1 {
		t.Errorf("%d left, %d given up", len(q.pending), len(rest))
	}
	if rest := q.keep(0); len(rest) != 1 || q.bytes != 0 {
		t.Errorf("%d given up, %d bytes left", len(rest), q.bytes)
	}
}
