package pace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// account is the far side, by true time: it counts what arrives in fixed intervals or in the one that ends now, and refuses what is beyond
// its limit.
type account struct {
	max      int
	interval time.Duration
	fixed    bool

	start    time.Duration
	used     int
	arrivals []time.Duration
	refused  int
}

// take counts a request and returns what is left.
func (a *account) take(at time.Duration) (remaining int, ok bool) {
	used := 0
	if a.fixed {
		if at-a.start >= a.interval {
			a.start, a.used = at, 0
		}
		used = a.used
	} else {
		for i := len(a.arrivals) - 1; i >= 0 && at-a.arrivals[i] < a.interval; i-- {
			used++
		}
	}
	if used >= a.max {
		a.refused++
		return 0, false
	}
	a.used++
	a.arrivals = append(a.arrivals, at)
	return a.max - used - 1, true
}

// most is the largest number of requests that arrived within an interval, wherever it begins.
func (a *account) most() int {
	slices.Sort(a.arrivals)
	n, from := 0, 0
	for i, at := range a.arrivals {
		for at-a.arrivals[from] >= a.interval {
			from++
		}
		n = max(n, i-from+1)
	}
	return n
}

// drive sends to an account for a while, as fast as its pacer allows.
type drive struct {
	*rand.Rand
	account
	silent  bool          // answers tell no limits
	transit time.Duration // at most
	late    time.Duration // at most, of timers
	jumps   bool          // the clock is set back at any time, and ahead once an interval at most
	sent    int

	true, offset, jumped time.Duration
}

var epoch = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

func (d *drive) upTo(n time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return time.Duration(d.Int64N(int64(n) + 1))
}

func (d *drive) clock() time.Time {
	if d.jumps && d.IntN(20) == 0 {
		d.offset -= d.upTo(2 * time.Hour)
	}
	if d.jumps && d.true-d.jumped > d.interval+time.Second && d.IntN(50) == 0 {
		d.jumped = d.true
		d.offset += d.upTo([]time.Duration{50 * time.Millisecond, d.interval, time.Hour}[d.IntN(3)])
	}
	return epoch.Add(d.true + d.offset)
}

func (d *drive) run(p *Pacer, length time.Duration) {
	limits := Limits{Max: d.max, Interval: d.interval, Remaining: -1, Daily: -1}
	type request struct {
		at        time.Duration // of the arrival, then of the answer
		arrived   bool
		remaining int
		ok        bool
	}
	var flying []request
	for d.true < length {
		slices.SortFunc(flying, func(a, b request) int { return int(a.at - b.at) })
		for len(flying) > 0 && flying[0].at <= d.true {
			r := flying[0]
			flying = flying[1:]
			if !r.arrived {
				r.remaining, r.ok = d.take(r.at)
				r.arrived, r.at = true, r.at+d.upTo(300*time.Millisecond)
				flying = append(flying, r)
				slices.SortFunc(flying, func(a, b request) int { return int(a.at - b.at) })
				continue
			}
			told := limits
			if !d.silent {
				told.Remaining = r.remaining
			}
			p.Learn(told, !r.ok, d.clock())
		}
		wait := p.Take(d.clock())
		if wait == 0 {
			d.sent++
			flying = append(flying, request{at: d.true + d.upTo(d.transit)})
			continue
		}
		d.true += wait + d.upTo(d.late)
		if d.jumps && d.IntN(200) == 0 {
			d.true += d.upTo(3 * d.interval) // nothing to send, or a machine that stood still
		}
	}
	for _, r := range flying {
		if !r.arrived {
			d.take(r.at)
		}
	}
}

var documented = Limits{Max: 100, Interval: 10 * time.Second, Remaining: -1, Daily: -1}

func TestPacer_NeverSendsMoreThanTheLimitInAnyInterval(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := drive{Rand: r, transit: transit, jumps: seed%2 == 1, silent: seed%8 >= 6, account: account{
			max:      []int{100, 100, 25, 1000, 2}[r.IntN(5)],
			interval: []time.Duration{10 * time.Second, 10 * time.Second, time.Second, time.Minute}[r.IntN(4)],
			fixed:    r.IntN(2) == 0,
		}}
		if !d.jumps && seed%16 == 0 {
			d.max = 1 // which leaves no spare one for a jump
		}
		d.late = []time.Duration{0, 5 * time.Millisecond, late, 100 * time.Millisecond, time.Second}[r.IntN(5)]
		name := fmt.Sprintf("seed %d: at most %d in %s, fixed intervals %v, jumps %v, silent %v, timers up to %s late",
			seed, d.max, d.interval, d.fixed, d.jumps, d.silent, d.late)
		p := New(Limits{Max: d.max, Interval: d.interval, Remaining: -1, Daily: -1})
		d.run(p, 12*d.interval)
		if n := d.most(); n > d.max || d.refused > 0 {
			t.Errorf("%s: %d arrived in an interval, %d were refused", name, n, d.refused)
		}
		if d.sent < 3 {
			t.Errorf("%s: only %d were sent", name, d.sent)
		}
	}
}

func TestPacer_Uses95PercentWhileThereIsWork(t *testing.T) {
	for seed := range uint64(40) {
		d := drive{Rand: rand.New(rand.NewPCG(seed, 2)), transit: transit, late: 20 * time.Millisecond,
			account: account{max: 100, interval: 10 * time.Second, fixed: seed%2 == 0}}
		p := New(documented)
		d.run(p, 10*time.Second)
		before := d.sent
		d.run(p, 110*time.Second)
		if n := d.sent - before; n < 950 || n > 1000 {
			t.Errorf("seed %d: %d of 1000 were sent in 100 s", seed, n)
		}
	}
}

// A clock that is set back, as often as it may be, costs no more than the time between two calls each time.
func TestPacer_GoesOnWhenTheClockIsSetBack(t *testing.T) {
	p := New(documented)
	p.Take(epoch)
	p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 99, Daily: -1}, false, epoch)
	clock, waited := epoch, time.Duration(0)
	for range 50 {
		clock = clock.Add(-time.Hour)
		for wait := p.Take(clock); wait > 0; wait = p.Take(clock) {
			clock, waited = clock.Add(wait), waited+wait
		}
	}
	if most := 50 * p.gap(); waited > most {
		t.Errorf("50 requests waited for %s, want %s at most", waited, most)
	}
}

func TestPacer_SpacesRequestsEvenly(t *testing.T) {
	p := New(documented)
	clock := epoch
	p.Take(clock)
	p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 99, Daily: -1}, false, clock)
	for i := range 300 {
		wait := p.Take(clock)
		if wait < 80*time.Millisecond || wait > 110*time.Millisecond {
			t.Fatalf("request %d waits for %s", i+1, wait)
		}
		clock = clock.Add(wait)
		if wait := p.Take(clock); wait != 0 {
			t.Fatalf("request %d waits for %s more", i+1, wait)
		}
	}
}

// Whatever another process has sent in the running interval, the first request is the only one that may be refused.
func TestPacer_GoesOnAtWhatIsLeftAfterAStart(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		d := drive{Rand: r, transit: transit, late: late, account: account{max: 100, interval: 10 * time.Second, fixed: seed%2 == 0}}
		p := New(documented)
		if seed%4 >= 2 { // it had the account itself before, and another process in between
			d.run(p, 15*time.Second)
			d.true += 8 * time.Second
		}
		before := d.refused
		used := r.IntN(101)
		for range used {
			d.true += d.upTo(80 * time.Millisecond)
			if d.fixed || len(d.arrivals) == 0 || d.true >= d.arrivals[len(d.arrivals)-1] {
				d.take(d.true)
			}
		}
		others := d.refused - before
		if seed%4 >= 2 {
			p.Unsure(d.clock())
		}
		from := d.sent
		d.run(p, d.true+30*time.Second)
		if n := d.most(); !d.fixed && n > 100 || d.refused-before-others > 1 {
			t.Errorf("seed %d: after %d of another process %d arrived in an interval, %d were refused", seed, used, n, d.refused-before-others)
		}
		if n := d.sent - from; n < 150 {
			t.Errorf("seed %d: after %d of another process only %d were sent in 30 s", seed, used, n)
		}
	}
}

func TestPacer_WhileUnsureOneRequestIsUnderWay(t *testing.T) {
	p := New(documented)
	if wait := p.Take(epoch); wait != 0 {
		t.Fatalf("the probe waits for %s", wait)
	}
	for at := time.Duration(0); at < p.window(); at += 10 * time.Millisecond {
		if p.Take(epoch.Add(at)) == 0 {
			t.Fatalf("a second request is let go %s after the first, which has no answer", at)
		}
	}
	if wait := p.Take(epoch.Add(p.window())); wait != 0 {
		t.Errorf("whatever was sent before is over, and the second request waits for %s more", wait)
	}

	p = New(documented)
	p.Take(epoch)
	at := epoch.Add(time.Second)
	p.Learn(documented, false, at) // an answer without a number, or no answer
	if wait := p.Take(at); wait != 0 {
		t.Errorf("the first request has ended, and the second waits for %s", wait)
	}
	if p.Take(at.Add(time.Second)) == 0 {
		t.Error("the first told nothing, and a third is let go while the second is under way")
	}

	p = New(documented)
	p.Take(epoch)
	p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 7, Daily: -1}, false, epoch.Add(time.Second))
	sent := 0
	for at = epoch.Add(time.Second); sent < 100 && p.Take(at) == 0; at = at.Add(p.gap()) {
		sent++
	}
	if sent != 6 { // one is never used
		t.Errorf("%d requests were let go where 7 are left", sent)
	}
}

func TestPacer_ALowerLimitHoldsForWhatWasSentBefore(t *testing.T) {
	p := New(documented)
	at := epoch
	for range 60 {
		for wait := p.Take(at); wait > 0; wait = p.Take(at) {
			at = at.Add(wait)
		}
		p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 30, Daily: -1}, false, at)
	}
	p.Learn(Limits{Max: 25, Interval: 10 * time.Second, Remaining: -1, Daily: -1}, false, at)
	if n := p.Room(at); n != 0 {
		t.Errorf("there is room for %d", n)
	}
	from := at
	for wait := p.Take(at); wait > 0; wait = p.Take(at) {
		at = at.Add(wait)
	}
	if len(p.log) > 24 || at.Sub(from) > p.window() {
		t.Errorf("after %s a request is let go, with which %d count where 25 are allowed", at.Sub(from), len(p.log))
	}
}

func TestPacer_A429SlowsDownAndTheLimitIsReachedAgain(t *testing.T) {
	p := New(documented)
	p.Take(epoch)
	refuse := func(at time.Duration) {
		p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 50, Daily: -1}, true, epoch.Add(at))
	}
	refuse(0)
	refuse(time.Second) // it was under way
	for _, c := range []struct {
		after time.Duration
		share int
	}{{time.Second, 79}, {10 * time.Second, 79}, {11 * time.Second, 84}, {21 * time.Second, 89}, {31 * time.Second, 94}, {41 * time.Second, 99}, {time.Hour, 99}} {
		if p.Room(epoch.Add(c.after)); p.share() != c.share {
			t.Errorf("%s later %d requests an interval are used, want %d", c.after, p.share(), c.share)
		}
	}
	at := time.Hour
	for range 100 {
		at += 10 * time.Second
		refuse(at)
	}
	if p.share() != 19 {
		t.Errorf("with a refusal each interval %d requests are used in one, want a fifth", p.share())
	}
	daily := New(documented)
	daily.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 50, Daily: 0}, true, epoch)
	if daily.share() != 99 {
		t.Error("the day is used up, and the rate is lowered for it")
	}
}

func TestPacer_NothingIsSentForAnIntervalWhenNothingIsLeft(t *testing.T) {
	for _, l := range []struct {
		remaining int
		refused   bool
	}{{0, false}, {0, true}, {-1, true}} {
		p := New(documented)
		p.Take(epoch)
		p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: l.remaining, Daily: -1}, l.refused, epoch)
		if n := p.Room(epoch); n != 0 {
			t.Errorf("%+v: there is room for %d", l, n)
		}
		if wait := p.Take(epoch); wait != 10*time.Second {
			t.Errorf("%+v: the next request waits for %s", l, wait)
		}
	}
}

func TestPacer_RoomIsWhatCanBeSentSoon(t *testing.T) {
	p := New(documented)
	if n := p.Room(epoch); n != 49 {
		t.Errorf("an idle account has room for %d, want those of 5 s", n)
	}
	p.Take(epoch)
	p.Learn(Limits{Max: 100, Interval: 10 * time.Second, Remaining: 9, Daily: -1}, false, epoch)
	if n := p.Room(epoch); n != 8 {
		t.Errorf("9 are left, and there is room for %d", n)
	}
	if n := p.Room(epoch.Add(6 * time.Second)); n < 40 {
		t.Errorf("what others sent is soon over, and there is room for %d", n)
	}
	tiny := New(Limits{Max: 1, Interval: time.Second, Remaining: -1, Daily: -1})
	if n := tiny.Room(epoch); n != 1 {
		t.Errorf("an account of one request a second has room for %d", n)
	}
}
