package calendar

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// oracle knows a window of time minute by minute. It uses nothing of the package but Spec's meaning: it reads the clock of the zone at
// every minute of UTC, notes when each local minute came first, and paints the minutes that are open. Zones have offsets of whole minutes
// in the years it is used for.
type oracle struct {
	loc   *time.Location
	begin int64           // minute of UTC that the window begins at
	open  []bool          // by minute of the window
	first map[int64]int64 // local minute → minute of UTC
}

func newOracle(loc *time.Location, spec Spec, begin int64, minutes int) *oracle {
	o := &oracle{loc: loc, begin: begin, open: make([]bool, minutes), first: make(map[int64]int64, minutes)}
	read := func(minute int64) int64 {
		l := time.Unix(minute*60, 0).In(loc)
		return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC).Unix() / 60
	}
	before := read(begin - 1)
	for m := begin; m < begin+int64(minutes); m++ {
		now := read(m)
		for skipped := before + 1; skipped < now; skipped++ { // a gap: what is skipped has the offset before it
			if _, known := o.first[skipped]; !known {
				o.first[skipped] = m - 1 + skipped - before
			}
		}
		if _, known := o.first[now]; !known {
			o.first[now] = m
		}
		before = now
	}
	holidays := map[string][]string{}
	for _, h := range spec.Holidays {
		holidays[h.Date] = h.Hours
	}
	week := map[time.Weekday][]string{}
	for key, hours := range spec.Hours { // tests write single days and mon-sun
		for i, name := range []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} {
			if key == name || key == "mon-sun" {
				week[time.Weekday(i)] = hours
			}
		}
	}
	minute := func(clock string) int64 {
		h, _ := strconv.Atoi(clock[:2])
		m, _ := strconv.Atoi(clock[3:])
		return int64(h*60 + m)
	}
	for midnight := (begin/1440 - 2) * 1440; midnight < begin+int64(minutes)+2*1440; midnight += 1440 {
		start, known := o.first[midnight]
		end, knownEnd := o.first[midnight+1440]
		if !known || !knownEnd {
			continue // not whole in the window
		}
		date := time.Unix(midnight*60, 0).UTC()
		hours, holiday := holidays[date.Format("2006-01-02")]
		if !holiday {
			hours = week[date.Weekday()]
		}
		for _, h := range hours {
			from, to := o.first[midnight+minute(h[:5])], o.first[midnight+minute(h[6:])]
			for m := max(from, start); m < min(to, end); m++ {
				if m >= begin && m < begin+int64(minutes) {
					o.open[m-begin] = true
				}
			}
		}
	}
	return o
}

// isOpen is the painted minute of t.
func (o *oracle) isOpen(minute int64) bool { return o.open[minute-o.begin] }

var oracleZones = []string{
	"UTC", "America/New_York", "America/Los_Angeles", "America/St_Johns", "America/Sao_Paulo", "America/Santiago", "America/Asuncion", "America/Havana",
	"America/Caracas", "America/Phoenix", "America/Godthab", "America/Scoresbysund", "America/Mexico_City", "America/Port-au-Prince", "Europe/London", "Europe/Dublin",
	"Europe/Berlin", "Europe/Istanbul", "Europe/Moscow", "Europe/Volgograd", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Cairo", "Africa/Lagos", "Africa/Juba",
	"Asia/Beirut", "Asia/Amman", "Asia/Gaza", "Asia/Tehran", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tokyo", "Asia/Pyongyang", "Antarctica/Troll",
	"Australia/Lord_Howe", "Australia/Sydney", "Pacific/Apia", "Pacific/Fakaofo", "Pacific/Chatham", "Pacific/Norfolk",
}

// rounds is how many calendars and windows a zone is tried with; NEURONX_CALENDAR_ROUNDS sets another number, from another seed.
func rounds(t *testing.T) (int, uint64) {
	t.Helper()
	if text := os.Getenv("NEURONX_CALENDAR_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n, uint64(n)
	}
	return 4, 1
}

// randomSpec has edges at midnight, in the small hours in which clocks change, and anywhere.
func randomSpec(r *rand.Rand, zone string, begin int64, minutes int) Spec {
	s := Spec{Zone: zone, Hours: map[string][]string{}}
	hours := func() (out []string) {
		for from := 0; ; {
			switch r.IntN(4) {
			case 0:
				from += r.IntN(240)
			case 1:
				from += r.IntN(1000)
			case 2:
				from += r.IntN(8) * 15
			}
			to := from + 1 + r.IntN(90)
			switch r.IntN(6) {
			case 0:
				to = dayMinutes
			case 1:
				to = from + 1 + r.IntN(700)
			}
			if from >= dayMinutes || to > dayMinutes || len(out) == 6 {
				return out
			}
			out = append(out, interval{from, to}.String())
			from = to
		}
	}
	if r.IntN(3) == 0 {
		s.Hours["mon-sun"] = hours()
	} else {
		for _, d := range dayNames {
			if r.IntN(6) > 0 {
				s.Hours[d] = hours()
			}
		}
	}
	if len(s.Hours) == 0 {
		s.Hours["mon"] = nil
	}
	for day := begin / 1440; day < (begin+int64(minutes))/1440; day++ {
		if r.IntN(8) == 0 {
			s.Holidays = append(s.Holidays, Holiday{Date: time.Unix(day*86400, 0).UTC().Format("2006-01-02"), Hours: hours()})
		}
	}
	return s
}

// windowIn is the first minute of a window in the years 2006 to 2026, three times of four around a change of clocks.
func windowIn(r *rand.Rand, loc *time.Location, minutes int) int64 {
	at := time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + r.Int64N(20*365*86400)
	if _, end := time.Unix(at, 0).In(loc).ZoneBounds(); !end.IsZero() && end.Year() < 2040 && r.IntN(4) > 0 {
		at = end.Unix() - int64(r.IntN(minutes*60))
	}
	return at / 60
}

// TestCalendar_AgreesWithAWalkByMinutes holds all answers against the oracle.
func TestCalendar_AgreesWithAWalkByMinutes(t *testing.T) {
	n, seed := rounds(t)
	const margin, minutes = 4 * 1440, 17 * 1440 // answers are asked for between the margins, where whole days are known
	asked, changes := 0, 0
	for z, name := range oracleZones {
		loc := load(t, name)
		r := rand.New(rand.NewPCG(seed, uint64(z)))
		for range n {
			begin := windowIn(r, loc, minutes)
			spec := randomSpec(r, name, begin, minutes)
			o := newOracle(loc, spec, begin, minutes)
			c := make1(t, spec)
			fail := func(what string, at time.Time, got, want any) {
				t.Fatalf("%s in %s at %s (%s) is %v, the walk says %v; %+v", what, name, at.UTC(), at.In(loc), got, want, spec)
			}
			if _, end := time.Unix(begin*60, 0).In(loc).ZoneBounds(); !end.IsZero() && end.Unix()/60 < begin+minutes {
				changes++
			}
			last := begin + minutes - margin
			for m := begin + margin; m < last; m++ {
				if u := time.Unix(m*60+m%60, 0); c.Open(u) != o.isOpen(m) {
					fail("Open", u, !o.isOpen(m), o.isOpen(m))
				}
			}
			for range 60 {
				m := begin + margin + r.Int64N(minutes-2*margin)
				u := time.Unix(m*60, r.Int64N(60e9))
				asked++

				next := m
				for next < last && !o.isOpen(next) {
					next++
				}
				want := time.Unix(next*60, 0)
				if next == m {
					want = u
				}
				if got, ok := c.NextOpen(u); next < last && (!ok || !got.Equal(want)) || next == last && ok && got.Before(want) {
					fail("NextOpen", u, got, want.UTC())
				}

				closes := m
				for closes < last && o.isOpen(closes) {
					closes++
				}
				if got, ok := c.Closes(u); closes < last && (ok != o.isOpen(m) || ok && !got.Equal(time.Unix(closes*60, 0))) {
					fail("Closes", u, got, time.Unix(closes*60, 0).UTC())
				}

				v := u.Add(time.Duration(r.Int64N(last*60-u.Unix())) * time.Second)
				if got, want := c.Between(u, v), o.between(u, v); got != want {
					fail("Between, to "+v.UTC().String()+",", u, got, want)
				}
				if d := time.Duration(r.Int64N(int64(40 * time.Hour))); o.between(u, time.Unix(last*60, 0)) > d && d > 0 {
					if got, ok := c.After(u, d); !ok || !got.Equal(o.after(u, d)) {
						fail("After "+d.String()+",", u, got, o.after(u, d).UTC())
					}
				}

				at := TimeOfDay{r.IntN(24), r.IntN(60)}
				if want := o.next(u, at); want > 0 {
					if got := Next(u, at, loc); !got.Equal(time.Unix(want*60, 0)) {
						fail("Next "+at.String()+",", u, got, time.Unix(want*60, 0).UTC())
					}
				}
				add := Duration{Days: 1 + r.IntN(2), Elapsed: time.Duration(r.Int64N(1e15))}
				if got, want := Add(u, add, loc), o.addDays(u, add.Days).Add(add.Elapsed); !got.Equal(want) {
					fail("Add "+add.String()+",", u, got, want.UTC())
				}
			}
		}
	}
	t.Logf("%d instants in %d zones, %d windows with a change of clocks", asked, len(oracleZones), changes)
	if changes < n*len(oracleZones)/3 {
		t.Errorf("only %d windows have a change of clocks: this test looks at the wrong thing", changes)
	}
}

// between adds the open minutes of [a, b), the first and last in part.
func (o *oracle) between(a, b time.Time) (sum time.Duration) {
	for m := a.Unix() / 60; m <= b.Unix()/60; m++ {
		if start, end := time.Unix(m*60, 0), time.Unix(m*60+60, 0); m < o.begin+int64(len(o.open)) && o.isOpen(m) {
			if start.Before(a) {
				start = a
			}
			if end.After(b) {
				end = b
			}
			if end.After(start) {
				sum += end.Sub(start)
			}
		}
	}
	return sum
}

// after walks until d has passed.
func (o *oracle) after(t time.Time, d time.Duration) time.Time {
	for m := t.Unix() / 60; ; m++ {
		if !o.isOpen(m) {
			continue
		}
		start, end := time.Unix(m*60, 0), time.Unix(m*60+60, 0)
		if start.Before(t) {
			start = t
		}
		if open := end.Sub(start); open < d {
			d -= open
			continue
		}
		return start.Add(d)
	}
}

// next is the minute at or after t that is the first of some local minute with that time of day; 0 if the window has none.
func (o *oracle) next(t time.Time, at TimeOfDay) (best int64) {
	for day := t.Unix()/86400 - 3; day < t.Unix()/86400+4; day++ {
		m, known := o.first[day*1440+int64(at.Hour*60+at.Minute)]
		if known && !time.Unix(m*60, 0).Before(t) && (best == 0 || m < best) {
			best = m
		}
	}
	return best
}

// addDays finds the same local minute of a later date.
func (o *oracle) addDays(t time.Time, days int) time.Time {
	_, offset := t.In(o.loc).Zone()
	seconds := time.Duration(t.Unix()%60)*time.Second + time.Duration(t.Nanosecond())
	m, known := o.first[t.Unix()/60+int64(offset/60)+int64(days)*1440]
	if !known {
		panic(fmt.Sprintf("the window ends before %s and %d days", t, days))
	}
	return time.Unix(m*60, 0).Add(seconds)
}

// TestBetween_AddsUpAndAfterInvertsIt needs no oracle, so it looks months ahead.
func TestBetween_AddsUpAndAfterInvertsIt(t *testing.T) {
	n, seed := rounds(t)
	for z, name := range oracleZones {
		loc := load(t, name)
		r := rand.New(rand.NewPCG(seed, 1000+uint64(z)))
		for range n {
			begin := windowIn(r, loc, 1440)
			c := make1(t, randomSpec(r, name, begin, 300*1440))
			for range 20 {
				a := time.Unix(begin*60, r.Int64N(1e15))
				x := a.Add(time.Duration(r.Int64N(int64(Horizon))))
				b := a.Add(time.Duration(r.Int64N(int64(x.Sub(a)) + 1)))
				ab, bx, ax := c.Between(a, b), c.Between(b, x), c.Between(a, x)
				if ab < 0 || bx < 0 || ab > b.Sub(a) || ab+bx != ax {
					t.Fatalf("%s: from %s to %s to %s are %s and %s, together %s", name, a.UTC(), b.UTC(), x.UTC(), ab, bx, ax)
				}
				end, ok := c.After(a, ax)
				if !ok || end.After(x) || c.Between(a, end) != ax || c.Between(end, x) != 0 {
					t.Fatalf("%s: %s of open time after %s are over at %s, %v; up to %s there are as many", name, ax, a.UTC(), end, ok, x.UTC())
				}
				if ax > 0 && c.Between(a, end.Add(-1)) != ax-1 {
					t.Fatalf("%s: %s of open time after %s are over before %s", name, ax, a.UTC(), end)
				}
				if next, ok := c.NextOpen(a); ok && (!c.Open(next) || c.Between(a, next) != 0 || next.Before(a)) {
					t.Fatalf("%s: the opening after %s is %s", name, a.UTC(), next)
				}
				if closes, ok := c.Closes(a); ok && (c.Open(closes) || c.Between(a, closes) != closes.Sub(a) || !closes.After(a)) {
					t.Fatalf("%s: the closing after %s is %s", name, a.UTC(), closes)
				}
			}
		}
	}
}

// TestResolve_AgreesWithEveryChangeOfClocks looks at the minutes around each change of every zone in twenty years.
func TestResolve_AgreesWithEveryChangeOfClocks(t *testing.T) {
	found := 0
	for _, name := range oracleZones {
		loc := load(t, name)
		for at := time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2027; {
			_, end := at.In(loc).ZoneBounds()
			if end.IsZero() {
				break
			}
			if !end.After(at) { // on the last day of a leap year
				end = at.Add(24 * time.Hour)
			}
			at = end
			found++
			const span = 5 * 60
			begin := end.Unix()/60 - span
			o := newOracle(loc, Spec{}, begin, 2*span)
			for local, m := range o.first {
				if m < begin+2*60 { // it may have come first before the window
					continue
				}
				l := time.Unix(local*60, 0).UTC()
				if got := Resolve(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, loc); got.Unix() != m*60 && end.Sub(got) < 20*time.Hour {
					t.Errorf("%s in %s is %s, the walk says %s", l, name, got, time.Unix(m*60, 0).UTC())
				}
			}
		}
	}
	if found < 800 {
		t.Errorf("%d changes of clocks found: this test looks at the wrong thing", found)
	}
}
