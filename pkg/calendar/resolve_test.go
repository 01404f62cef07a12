package calendar

import (
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/zone"
)

func load(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := zone.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// at reads an instant with its offset.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	i, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// same fails unless got is the wanted instant, in UTC.
func same(t *testing.T, what string, got time.Time, want string) {
	t.Helper()
	if !got.Equal(at(t, want)) || got.Location() != time.UTC {
		t.Errorf("%s is %s, want %s in UTC", what, got.Format(time.RFC3339Nano), want)
	}
}

func TestResolve_FollowsRFC5545InGapsAndOverlaps(t *testing.T) {
	for _, c := range []struct{ zone, local, want string }{
		// The two examples of RFC 5545, 3.3.5.
		{"America/New_York", "2007-11-04T01:30:00", "2007-11-04T01:30:00-04:00"},
		{"America/New_York", "2007-03-11T02:30:00", "2007-03-11T03:30:00-04:00"},

		{"America/New_York", "2026-03-08T01:59:59", "2026-03-08T01:59:59-05:00"},
		{"America/New_York", "2026-03-08T02:00:00", "2026-03-08T03:00:00-04:00"},
		{"America/New_York", "2026-03-08T02:30:00", "2026-03-08T03:30:00-04:00"},
		{"America/New_York", "2026-03-08T02:59:59", "2026-03-08T03:59:59-04:00"},
		{"America/New_York", "2026-03-08T03:00:00", "2026-03-08T03:00:00-04:00"},
		{"America/New_York", "2026-11-01T00:59:59", "2026-11-01T00:59:59-04:00"},
		{"America/New_York", "2026-11-01T01:00:00", "2026-11-01T01:00:00-04:00"},
		{"America/New_York", "2026-11-01T01:30:00", "2026-11-01T01:30:00-04:00"},
		{"America/New_York", "2026-11-01T02:00:00", "2026-11-01T02:00:00-05:00"},
		{"America/New_York", "2090-03-12T02:30:00", "2090-03-12T03:30:00-04:00"}, // by the rule after the table's end
		{"America/New_York", "2090-11-05T01:30:00", "2090-11-05T01:30:00-04:00"},
		{"Europe/London", "2026-03-29T01:30:00", "2026-03-29T02:30:00+01:00"},
		{"Europe/London", "2026-10-25T01:30:00", "2026-10-25T01:30:00+01:00"},
		{"Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-04T02:45:00+11:00"}, // half an hour
		{"Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-05T01:45:00+11:00"},
		{"Australia/Lord_Howe", "2026-04-05T02:00:00", "2026-04-05T02:00:00+10:30"},
		{"Pacific/Apia", "2011-12-29T23:59:59", "2011-12-29T23:59:59-10:00"},
		{"Pacific/Apia", "2011-12-30T00:00:00", "2011-12-31T00:00:00+14:00"}, // a day that was not
		{"Pacific/Apia", "2011-12-30T12:00:00", "2011-12-31T12:00:00+14:00"},
		{"Pacific/Apia", "2011-12-31T00:00:00", "2011-12-31T00:00:00+14:00"},
		{"Africa/Casablanca", "2026-02-15T02:30:00", "2026-02-15T02:30:00+01:00"}, // Ramadan: back, then forth
		{"Africa/Casablanca", "2026-03-22T02:30:00", "2026-03-22T03:30:00+01:00"},
		{"America/Sao_Paulo", "2018-11-04T00:00:00", "2018-11-04T01:00:00-02:00"}, // a gap at midnight
		{"America/Sao_Paulo", "2018-02-17T23:30:00", "2018-02-17T23:30:00-02:00"}, // an overlap before midnight
		{"America/Sao_Paulo", "2018-02-18T00:00:00", "2018-02-18T00:00:00-03:00"},
		{"America/Toronto", "1919-03-30T23:45:00", "1919-03-31T00:45:00-04:00"}, // a gap over midnight
		{"Europe/Dublin", "2026-03-29T01:30:00", "2026-03-29T02:30:00+01:00"},   // where winter is the exception
		{"Asia/Kolkata", "2026-03-29T01:30:00", "2026-03-29T01:30:00+05:30"},
		{"Asia/Kathmandu", "2026-07-01T12:00:00", "2026-07-01T12:00:00+05:45"},
		{"America/Phoenix", "2026-03-08T02:30:00", "2026-03-08T02:30:00-07:00"},
		{"Pacific/Kiritimati", "2026-01-01T00:00:00", "2026-01-01T00:00:00+14:00"},
		{"UTC", "2026-03-08T02:30:00", "2026-03-08T02:30:00Z"},
		{"Asia/Manila", "1844-12-31T12:00:00", "1845-01-01T12:00:00+08:04"}, // see the next line
	} {
		l := at(t, c.local+"Z")
		got := Resolve(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 7, load(t, c.zone))
		want := at(t, c.want).Add(7)
		if c.zone == "Asia/Manila" { // whose offset then had seconds, which RFC 3339 cannot write
			want = at(t, "1845-01-01T03:56:08Z").Add(7)
		}
		if !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s in %s is %s, want %s", c.local, c.zone, got.Format(time.RFC3339Nano), c.want)
		}
	}
}

// ZoneBounds ends a leap year a day early; a walk that trusted it would go on second by second there.
func TestResolver_LooksToTheEndOfALeapYear(t *testing.T) {
	r := resolver{loc: load(t, "America/New_York")}
	r.look(at(t, "2144-12-31T12:00:00Z").Unix())
	if want := at(t, "2145-01-01T00:00:00Z").Unix(); r.end != want || r.offset != -5*3600 {
		t.Errorf("the offset %d holds until %s", r.offset, time.Unix(r.end, 0).UTC())
	}
}

func TestResolve_NormalisesValuesOutsideTheirRanges(t *testing.T) {
	loc := load(t, "America/New_York")
	same(t, "32 January", Resolve(2026, 1, 32, 9, 0, 0, 0, loc), "2026-02-01T09:00:00-05:00")
	same(t, "month 13", Resolve(2026, 13, 1, 9, 0, 0, 0, loc), "2027-01-01T09:00:00-05:00")
	same(t, "day 0", Resolve(2026, 3, 0, 24, 0, 0, 0, loc), "2026-03-01T00:00:00-05:00")
	same(t, "minute 90 of a gap's hour", Resolve(2026, 3, 8, 1, 90, 0, 0, loc), "2026-03-08T03:30:00-04:00")
	same(t, "nanosecond -1", Resolve(2026, 3, 8, 2, 0, 0, -1, loc), "2026-03-08T01:59:59.999999999-05:00")
	same(t, "a billion nanoseconds", Resolve(2026, 3, 8, 1, 59, 59, 1e9, loc), "2026-03-08T03:00:00-04:00")
}

func TestResolve_TakesNoZoneOfTheMachine(t *testing.T) {
	for _, loc := range []*time.Location{nil, time.Local} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v was taken for a zone", loc)
				}
			}()
			Resolve(2026, 1, 1, 0, 0, 0, 0, loc)
		}()
	}
}

func TestAdd_MovesTheLocalDateAndThenTheInstant(t *testing.T) {
	for _, c := range []struct{ zone, from, add, want string }{
		{"America/New_York", "2026-03-07T09:00:00-05:00", "P1D", "2026-03-08T09:00:00-04:00"},
		{"America/New_York", "2026-03-07T09:00:00-05:00", "PT24H", "2026-03-08T10:00:00-04:00"},
		{"America/New_York", "2026-03-07T02:30:00-05:00", "P1D", "2026-03-08T03:30:00-04:00"},
		{"America/New_York", "2026-03-07T02:30:00-05:00", "P2D", "2026-03-09T02:30:00-04:00"},
		{"America/New_York", "2026-10-31T01:30:00-04:00", "P1D", "2026-11-01T01:30:00-04:00"},
		{"America/New_York", "2026-10-31T01:30:00-04:00", "P1DT1H", "2026-11-01T01:30:00-05:00"},
		{"America/New_York", "2026-11-01T01:30:00-05:00", "PT10M", "2026-11-01T01:40:00-05:00"}, // stays in the second hour
		{"America/New_York", "2026-11-01T01:30:00-05:00", "PT0S", "2026-11-01T01:30:00-05:00"},
		{"America/New_York", "2026-11-01T01:30:00-05:00", "P1D", "2026-11-02T01:30:00-05:00"},
		{"America/New_York", "2026-01-31T12:00:00-05:00", "P1M", "2026-02-28T12:00:00-05:00"},
		{"America/New_York", "2028-01-31T12:00:00-05:00", "P1M", "2028-02-29T12:00:00-05:00"},
		{"America/New_York", "2028-02-29T12:00:00-05:00", "P1Y", "2029-02-28T12:00:00-05:00"},
		{"America/New_York", "2026-01-31T12:00:00-05:00", "P1M1D", "2026-03-01T12:00:00-05:00"},
		{"America/New_York", "2026-01-30T12:00:00-05:00", "P13M", "2027-02-28T12:00:00-05:00"},
		{"America/New_York", "2026-12-31T23:59:59.999999999-05:00", "P2M", "2027-02-28T23:59:59.999999999-05:00"},
		{"Pacific/Apia", "2011-12-29T10:00:00-10:00", "P1D", "2011-12-31T10:00:00+14:00"},
		{"Pacific/Apia", "2011-12-29T10:00:00-10:00", "P2D", "2011-12-31T10:00:00+14:00"},
		{"Australia/Lord_Howe", "2026-10-03T02:15:00+10:30", "P1D", "2026-10-04T02:45:00+11:00"},
		{"Asia/Kolkata", "2026-03-28T09:00:00+05:30", "P1Y", "2027-03-28T09:00:00+05:30"},
		// The date is that of the zone, not that of the instant's own offset.
		{"Asia/Tokyo", "2026-01-30T20:00:00Z", "P1M", "2026-02-28T05:00:00+09:00"},
	} {
		d, err := ParseDuration(c.add)
		if err != nil {
			t.Fatal(err)
		}
		same(t, c.from+" + "+c.add+" in "+c.zone, Add(at(t, c.from), d, load(t, c.zone)), c.want)
	}
	loc := load(t, "America/New_York")
	same(t, "a month back from 31 March", Add(at(t, "2026-03-31T12:00:00-04:00"), Duration{Months: -1}, loc), "2026-02-28T12:00:00-05:00")
	same(t, "13 months back", Add(at(t, "2026-01-31T12:00:00-05:00"), Duration{Months: -13, Days: -1}, loc), "2024-12-30T12:00:00-05:00")
}

func TestNext_FindsALocalTimeAtOrAfter(t *testing.T) {
	for _, c := range []struct {
		zone, from string
		at         TimeOfDay
		want       string
	}{
		{"America/New_York", "2026-03-06T09:00:00-05:00", TimeOfDay{10, 0}, "2026-03-06T10:00:00-05:00"},
		{"America/New_York", "2026-03-06T10:00:00-05:00", TimeOfDay{10, 0}, "2026-03-06T10:00:00-05:00"},
		{"America/New_York", "2026-03-06T10:00:00.000000001-05:00", TimeOfDay{10, 0}, "2026-03-07T10:00:00-05:00"},
		{"America/New_York", "2026-03-07T23:30:00-05:00", TimeOfDay{2, 30}, "2026-03-08T03:30:00-04:00"},
		{"America/New_York", "2026-03-08T03:15:00-04:00", TimeOfDay{2, 30}, "2026-03-08T03:30:00-04:00"},
		{"America/New_York", "2026-03-08T03:31:00-04:00", TimeOfDay{2, 30}, "2026-03-09T02:30:00-04:00"},
		{"America/New_York", "2026-11-01T00:00:00-04:00", TimeOfDay{1, 30}, "2026-11-01T01:30:00-04:00"},
		{"America/New_York", "2026-11-01T01:15:00-05:00", TimeOfDay{1, 30}, "2026-11-02T01:30:00-05:00"}, // the second time does not count
		{"America/Toronto", "1919-03-31T00:35:00-04:00", TimeOfDay{23, 45}, "1919-03-31T00:45:00-04:00"}, // yesterday's 23:45, in a gap over midnight
		{"Pacific/Apia", "2011-12-29T11:00:00-10:00", TimeOfDay{10, 0}, "2011-12-31T10:00:00+14:00"},
		{"Asia/Tokyo", "2026-01-30T20:00:00Z", TimeOfDay{5, 0}, "2026-01-31T05:00:00+09:00"},
	} {
		same(t, "the next "+c.at.String()+" from "+c.from+" in "+c.zone, Next(at(t, c.from), c.at, load(t, c.zone)), c.want)
	}
}

// Golden values: instances that wait hold what Spread gave them, and a replay computes it again.
func TestSpread_DependsOnTheKeyAlone(t *testing.T) {
	for key, want := range map[string]time.Duration{"": 1_600_948_790_804, "instance-1": 689_574_096_448, "instance-2": 1_088_010_369_991} {
		if got := Spread(key, 30*time.Minute); got != want {
			t.Errorf("%q spreads by %s, want %s", key, got, want)
		}
	}
	for _, most := range []time.Duration{0, -time.Second} {
		if got := Spread("key", most); got != 0 {
			t.Errorf("spread by at most %s is %s", most, got)
		}
	}
	var tenths [10]int
	for i := range 10_000 {
		d := Spread(string(rune('a'+i%26))+time.Duration(i).String(), time.Hour)
		if d < 0 || d >= time.Hour {
			t.Fatalf("a spread by at most an hour is %s", d)
		}
		tenths[d*10/time.Hour]++
	}
	for i, n := range tenths {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 10,000 keys fall into tenth %d", n, i)
		}
	}
	if d := Spread("x", 1<<63-1); d < 0 {
		t.Errorf("the longest spread gave %s", d)
	}
}
