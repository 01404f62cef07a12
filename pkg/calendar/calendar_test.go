package calendar

import (
	"math"
	"testing"
	"time"
)

func make1(t testing.TB, s Spec) *Calendar {
	t.Helper()
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func office() Spec {
	return Spec{
		Zone:  "America/New_York",
		Hours: map[string][]string{"mon-fri": {"09:00-12:00", "13:00-17:30"}, "sat": {"10:00-14:00"}},
		Holidays: []Holiday{
			{Date: "2026-11-26"},
			{Date: "2026-12-24", Hours: []string{"09:00-12:00"}},
			{Date: "2026-12-27", Hours: []string{"22:00-24:00"}}, // a Sunday
		},
	}
}

// days is a calendar of the same hours every day.
func days(zone string, hours ...string) Spec {
	return Spec{Zone: zone, Hours: map[string][]string{"mon-sun": hours}}
}

func TestCalendar_AnswersByItsWeekAndHolidays(t *testing.T) {
	c := make1(t, office())
	for _, q := range []struct {
		at, next, closes string // closes: empty where it is closed
	}{
		{"2026-11-23T08:59:59.999999999-05:00", "2026-11-23T09:00:00-05:00", ""},
		{"2026-11-23T09:00:00-05:00", "2026-11-23T09:00:00-05:00", "2026-11-23T12:00:00-05:00"},
		{"2026-11-23T11:59:59.999999999-05:00", "2026-11-23T11:59:59.999999999-05:00", "2026-11-23T12:00:00-05:00"},
		{"2026-11-23T12:00:00-05:00", "2026-11-23T13:00:00-05:00", ""},
		{"2026-11-25T17:30:00-05:00", "2026-11-27T09:00:00-05:00", ""}, // Thanksgiving
		{"2026-11-26T10:00:00-05:00", "2026-11-27T09:00:00-05:00", ""},
		{"2026-11-28T14:00:00-05:00", "2026-11-30T09:00:00-05:00", ""},
		{"2026-12-24T11:00:00-05:00", "2026-12-24T11:00:00-05:00", "2026-12-24T12:00:00-05:00"},
		{"2026-12-24T14:00:00-05:00", "2026-12-25T09:00:00-05:00", ""},
		{"2026-12-27T23:00:00-05:00", "2026-12-27T23:00:00-05:00", "2026-12-28T00:00:00-05:00"},
	} {
		next, ok := c.NextOpen(at(t, q.at))
		if !ok {
			t.Errorf("there is no opening after %s", q.at)
		}
		same(t, "the opening after "+q.at, next, q.next)
		closes, open := c.Closes(at(t, q.at))
		if open != (q.closes != "") || c.Open(at(t, q.at)) != open {
			t.Errorf("%s: open is %v, and it closes: %v", q.at, c.Open(at(t, q.at)), open)
		}
		if open {
			same(t, "the end of the open time of "+q.at, closes, q.closes)
		}
	}
	for _, q := range []struct {
		at   string
		d    time.Duration
		want string
	}{
		{"2026-11-27T17:28:00-05:00", 5 * time.Minute, "2026-11-28T10:03:00-05:00"},
		{"2026-11-27T17:25:00-05:00", 5 * time.Minute, "2026-11-27T17:30:00-05:00"}, // the closing, not the opening
		{"2026-11-27T17:25:00-05:00", 5*time.Minute + 1, "2026-11-28T10:00:00.000000001-05:00"},
		{"2026-11-27T23:00:00-05:00", 0, "2026-11-27T23:00:00-05:00"},
		{"2026-11-27T23:00:00-05:00", -time.Hour, "2026-11-27T23:00:00-05:00"},
		{"2026-11-25T09:00:00-05:00", 15 * time.Hour, "2026-11-27T17:30:00-05:00"},
		{"2026-11-25T09:00:00.5-05:00", 15 * time.Hour, "2026-11-28T10:00:00.5-05:00"},
	} {
		got, ok := c.After(at(t, q.at), q.d)
		if !ok {
			t.Errorf("%s of open time never passes after %s", q.d, q.at)
		}
		same(t, q.d.String()+" of open time after "+q.at, got, q.want)
	}
	if got := c.Between(at(t, "2026-11-23T00:00:00-05:00"), at(t, "2026-11-30T00:00:00-05:00")); got != 34*time.Hour {
		t.Errorf("the week of Thanksgiving has %s of open time, want 34h", got)
	}
	if got := c.Between(at(t, "2026-11-24T00:00:00-05:00"), at(t, "2026-11-23T00:00:00-05:00")); got != 0 {
		t.Errorf("backwards there is %s of open time", got)
	}
	if c.Zone().String() != "America/New_York" {
		t.Errorf("the zone is %s", c.Zone())
	}
}

func TestCalendarIn_HasTheSameHoursElsewhere(t *testing.T) {
	c := make1(t, office())
	tokyo := c.In(load(t, "Asia/Tokyo"))
	next, _ := tokyo.NextOpen(at(t, "2026-11-26T12:00:00+09:00"))
	same(t, "the opening in Tokyo", next, "2026-11-27T09:00:00+09:00")
	if c.Zone().String() != "America/New_York" || tokyo.Zone().String() != "Asia/Tokyo" {
		t.Errorf("zones are %s and %s", c.Zone(), tokyo.Zone())
	}
	defer func() {
		if recover() == nil {
			t.Error("the machine's zone was taken")
		}
	}()
	c.In(time.Local)
}

// Open time of a day on which clocks change.
func TestCalendar_KeepsItsHoursThroughChangesOfClocks(t *testing.T) {
	for _, c := range []struct {
		zone, hours, day string // day: noon of it, UTC
		opens, closes    string // empty: closed all day
	}{
		{"America/New_York", "09:00-17:00", "2026-03-08", "2026-03-08T09:00:00-04:00", "2026-03-08T17:00:00-04:00"},
		{"America/New_York", "01:00-02:30", "2026-03-08", "2026-03-08T01:00:00-05:00", "2026-03-08T03:30:00-04:00"},
		{"America/New_York", "02:30-12:00", "2026-03-08", "2026-03-08T03:30:00-04:00", "2026-03-08T12:00:00-04:00"},
		{"America/New_York", "02:15-02:45", "2026-03-08", "2026-03-08T03:15:00-04:00", "2026-03-08T03:45:00-04:00"},
		{"America/New_York", "02:30-03:15", "2026-03-08", "", ""}, // it would end before it begins
		{"America/New_York", "02:30-03:30", "2026-03-08", "", ""},
		{"America/New_York", "00:30-01:30", "2026-11-01", "2026-11-01T00:30:00-04:00", "2026-11-01T01:30:00-04:00"},
		{"America/New_York", "01:30-03:00", "2026-11-01", "2026-11-01T01:30:00-04:00", "2026-11-01T03:00:00-05:00"},
		{"America/New_York", "00:00-02:00", "2026-11-01", "2026-11-01T00:00:00-04:00", "2026-11-01T02:00:00-05:00"},
		{"America/Sao_Paulo", "00:30-08:00", "2018-11-04", "2018-11-04T01:30:00-02:00", "2018-11-04T08:00:00-02:00"},
		{"America/Sao_Paulo", "22:00-24:00", "2018-02-17", "2018-02-17T22:00:00-02:00", "2018-02-18T00:00:00-03:00"},
		{"America/Sao_Paulo", "22:00-23:30", "2018-02-17", "2018-02-17T22:00:00-02:00", "2018-02-17T23:30:00-02:00"},
		{"Australia/Lord_Howe", "02:00-02:30", "2026-10-04", "2026-10-04T02:30:00+11:00", "2026-10-04T02:30:00+11:00"},
		{"America/Toronto", "00:30-01:30", "1919-03-31", "1919-03-31T01:00:00-04:00", "1919-03-31T01:30:00-04:00"}, // 00:00 is in a gap, so the date begins after it
		{"America/Toronto", "23:45-24:00", "1919-03-30", "1919-03-31T00:45:00-04:00", "1919-03-31T01:00:00-04:00"},
	} {
		cal := make1(t, Spec{Zone: c.zone, Hours: map[string][]string{"mon-sun": nil}, Holidays: []Holiday{{Date: c.day, Hours: []string{c.hours}}}})
		from := at(t, c.day+"T00:00:00Z").Add(-24 * time.Hour)
		opens, ok := cal.NextOpen(from)
		if c.opens == c.closes {
			if ok || cal.Between(from, from.Add(72*time.Hour)) != 0 {
				t.Errorf("%s on %s in %s is open at %s", c.hours, c.day, c.zone, opens)
			}
			continue
		}
		same(t, c.hours+" on "+c.day+" in "+c.zone+": the opening", opens, c.opens)
		closes, _ := cal.Closes(opens)
		same(t, c.hours+" on "+c.day+" in "+c.zone+": the closing", closes, c.closes)
		if got, want := cal.Between(from, from.Add(72*time.Hour)), at(t, c.closes).Sub(at(t, c.opens)); got != want {
			t.Errorf("%s on %s in %s is open for %s, want %s", c.hours, c.day, c.zone, got, want)
		}
	}
}

func TestCalendar_CountsHoursThatAGapPushesIntoOneAnotherOnce(t *testing.T) {
	from, to := at(t, "2026-03-08T00:00:00-05:00"), at(t, "2026-03-09T00:00:00-04:00")
	for _, c := range []struct {
		hours []string
		want  time.Duration
	}{
		{[]string{"01:00-02:30", "03:00-05:00"}, 3 * time.Hour},            // 01:00 EST to 05:00 EDT
		{[]string{"02:30-02:45", "03:00-03:15"}, 30 * time.Minute},         // the later one comes first
		{[]string{"02:00-02:10", "02:20-02:30", "03:00-04:00"}, time.Hour}, // both lie within the third
		{[]string{"02:00-02:10", "02:50-03:00", "03:05-03:55"}, time.Hour - 10*time.Minute + 5*time.Minute},
	} {
		cal := make1(t, days("America/New_York", c.hours...))
		if got := cal.Between(from, to); got != c.want {
			t.Errorf("%v has %s of open time in the night of the gap, want %s", c.hours, got, c.want)
		}
	}
}

func TestCalendar_HasNoOpenTimeOnADateThatWasSkipped(t *testing.T) {
	s := Spec{Zone: "Pacific/Apia", Hours: map[string][]string{"mon-fri": {"09:00-17:00"}}}
	c := make1(t, s) // 30 December 2011 would have been a Friday; the 31st, which took its place, was a Saturday
	next, _ := c.NextOpen(at(t, "2011-12-29T18:00:00-10:00"))
	same(t, "the opening after Thursday", next, "2012-01-02T09:00:00+14:00")
}

func TestCalendar_OfAllHoursIsAlwaysOpen(t *testing.T) {
	for _, zone := range []string{"America/New_York", "Pacific/Apia", "America/Sao_Paulo", "America/Toronto", "Australia/Lord_Howe", "UTC", "Africa/Casablanca"} {
		c := make1(t, days(zone, "00:00-24:00"))
		for _, year := range []int{1919, 2011, 2018, 2026} {
			from := Resolve(year, 1, 1, 0, 0, 0, 0, time.UTC)
			for hour := range 366 * 24 {
				if u := from.Add(time.Duration(hour) * time.Hour); !c.Open(u) {
					t.Fatalf("%s is closed at %s", zone, u)
				}
			}
			if got := c.Between(from, from.Add(4000*time.Hour+1)); got != 4000*time.Hour+1 {
				t.Errorf("%s is open for %s of 4000 hours and a nanosecond in %d", zone, got, year)
			}
			if end, ok := c.Closes(from); ok {
				t.Errorf("%s closes at %s", zone, end)
			}
		}
	}
}

func TestCalendar_LooksNoFurtherThanItsHorizon(t *testing.T) {
	once := func(date string) *Calendar {
		return make1(t, Spec{Zone: "UTC", Hours: map[string][]string{"mon-sun": {}}, Holidays: []Holiday{{Date: date, Hours: []string{"09:00-10:00"}}}})
	}
	c := once("2027-02-05")
	opening := at(t, "2027-02-05T09:00:00Z")
	if got, ok := c.NextOpen(opening.Add(-Horizon)); !ok || !got.Equal(opening) {
		t.Errorf("400 days before, the opening is %s, %v", got, ok)
	}
	if got, ok := c.NextOpen(opening.Add(-Horizon - 1)); ok {
		t.Errorf("400 days and a nanosecond before, the opening is %s", got)
	}
	if got, ok := c.After(opening.Add(time.Hour-Horizon), time.Hour); !ok || !got.Equal(opening.Add(time.Hour)) {
		t.Errorf("400 days before, an hour of open time has passed at %s, %v", got, ok)
	}
	if got, ok := c.After(opening.Add(time.Hour-Horizon-1), time.Hour); ok {
		t.Errorf("400 days and a nanosecond before, an hour of open time has passed at %s", got)
	}
	if _, ok := c.After(opening, time.Hour+1); ok {
		t.Error("more open time has passed than there is")
	}
	if _, ok := c.NextOpen(opening.Add(time.Hour)); ok {
		t.Error("it opens again after its last hour")
	}
}

// TestBetween_CountsLongTimes: a week has 168 hours, so a calendar of all hours gives what the clock gives, up to the longest Duration.
func TestBetween_CountsLongTimes(t *testing.T) {
	first, last := Resolve(1, 1, 1, 0, 0, 0, 0, time.UTC), Resolve(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for _, zone := range []string{"America/New_York", "Asia/Kolkata"} {
		c := make1(t, days(zone, "00:00-24:00"))
		from := Resolve(1999, 7, 7, 7, 7, 7, 7, time.UTC)
		for _, d := range []time.Duration{time.Nanosecond, 100 * time.Hour, 20_000 * time.Hour, 2_000_000 * time.Hour} {
			if got := c.Between(from, from.Add(d)); got != d {
				t.Errorf("%s is open for %s of %s", zone, got, d)
			}
		}
		if got := c.Between(first, last); got != math.MaxInt64 {
			t.Errorf("%s is open for %s of ten thousand years", zone, got)
		}
		short := make1(t, days(zone, "09:00-09:15"))
		if got, want := short.Between(first, last), 3_652_058*15*time.Minute; got < want-24*time.Hour || got > want+24*time.Hour {
			t.Errorf("%s is open for %s of ten thousand years, want about %s", zone, got, want)
		}
	}
}

// TestBetween_CountsQuietMonthsByWeeks: the answers are the same day by day, but a year would be 365 of them.
func TestBetween_CountsQuietMonthsByWeeks(t *testing.T) {
	spec := office()
	spec.Zone = "UTC"
	c := make1(t, spec)
	from, to := at(t, "2026-01-05T12:00:00Z"), at(t, "2027-01-05T12:00:00Z")
	w := c.walk(from, to.Unix()+1)
	days, weeks := 0, int64(0)
	for w.day*daySeconds < to.Unix() {
		weeks += w.skipWeeks(from, to)
		w.read()
		days++
	}
	if weeks < 48 || days > 30 { // holidays are 28 days apart, and 3
		t.Errorf("a year with three holidays takes %d weeks and %d days", weeks, days)
	}
}
