package landing

import (
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

// full makes a queue of n records of size bytes.
func full(n, size int, l Limits) *queue {
	q := &queue{limits: l}
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
	beside := cost(&kafka.Record{Value: make([]byte, four)}) - four // what a record costs beside its value
	large, small := full(50, four-beside, Limits{}), full(20_000, 1000, Limits{})
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
	if sent < 600 || sent > 625 {
		t.Errorf("%d events in a minute at 10 a second", sent)
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
