package calendar

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"PT15M", "P1Y2M3W4DT5H6M7.5S", "P", "PT", "P1M1M", "-P1D", "PT0.000000001S", "P100Y", "PT876600H1S", "pt5m", "P1.5D", "PT1,5S", "P٣D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if d != (Duration{}) || len(err.Error()) > 400 {
				t.Fatalf("%q: %+v, %v", s, d, err)
			}
			return
		}
		if d.Months < 0 || d.Months > MaxMonths || d.Days < 0 || d.Days > MaxDays || d.Elapsed < 0 || d.Elapsed > MaxElapsed {
			t.Fatalf("%q is out of bounds: %+v", s, d)
		}
		again, err := ParseDuration(d.String())
		if err != nil || again != d || again.String() != d.String() {
			t.Fatalf("%q is written %s, which is %+v, %v", s, d, again, err)
		}
		if s != d.String() && strings.TrimLeft(s, "P0123456789YMWDTHS.") != "" {
			t.Fatalf("%q was read as %s", s, d)
		}
	})
}

// specOf reads lines: the zone; then day=interval,interval; and @date=interval,interval.
func specOf(text string) Spec {
	lines := strings.Split(text, "\n")
	s := Spec{Zone: lines[0], Hours: map[string][]string{}}
	for _, line := range lines[1:] {
		key, list, _ := strings.Cut(line, "=")
		var hours []string
		if list != "" {
			hours = strings.Split(list, ",")
		}
		if date, ok := strings.CutPrefix(key, "@"); ok {
			s.Holidays = append(s.Holidays, Holiday{date, hours})
		} else {
			s.Hours[key] = hours
		}
	}
	return s
}

func FuzzNew(f *testing.F) {
	for _, s := range []string{
		"America/New_York\nmon-fri=09:00-12:00,13:00-17:30\nsat=10:00-14:00\n@2026-11-26=\n@2026-12-24=09:00-12:00",
		"Pacific/Apia\nmon-sun=00:00-24:00\n@2011-12-30=02:00-03:00",
		"Australia/Lord_Howe\nsun=01:45-02:15,02:15-02:20\nsat=23:00-24:00",
		"\n=\n@=", "UTC\nmon=24:00-00:00\n@2026-02-29=", "Local\nfri-mon=22:00-02:00", "UTC\nmon-fri=\nwed=\n@2026-01-01=\n@2026-01-01=",
	} {
		f.Add(s, int64(1_773_000_000), int64(90*time.Minute))
	}
	f.Fuzz(func(t *testing.T, text string, at, d int64) {
		if len(text) > 4096 {
			return
		}
		c, err := New(specOf(text))
		if err != nil {
			var problems *Error
			if !errors.As(err, &problems) || len(problems.Problems) == 0 || len(problems.Problems) > maxProblems || c != nil {
				t.Fatalf("%v, %v", c, err)
			}
			for _, p := range problems.Problems {
				if p.Path == "" || p.Message == "" || len(p.Path)+len(p.Message) > 600 {
					t.Fatalf("the problem %+v", p)
				}
			}
			return
		}
		u := time.Unix(at%(1<<36), d%int64(time.Second))
		next, ok := c.NextOpen(u)
		if ok && (next.Before(u) || !c.Open(next) || c.Between(u, next) != 0) {
			t.Fatalf("after %s it opens at %s", u, next)
		}
		if c.Open(u) != (ok && next.Equal(u)) {
			t.Fatalf("at %s it is open: %v, and opens at %s, %v", u, c.Open(u), next, ok)
		}
		if after, ok := c.After(u, time.Duration(d)); ok && c.Between(u, after) != max(0, time.Duration(d)) {
			t.Fatalf("%s after %s is %s, with %s in between", time.Duration(d), u, after, c.Between(u, after))
		}
		if b := c.Between(u, u.Add(time.Duration(d))); b < 0 || b > max(0, time.Duration(d)) {
			t.Fatalf("%s from %s on have %s of open time", time.Duration(d), u, b)
		}
		for _, day := range append(c.week[:], slices.Collect(maps.Values(c.holidays))...) {
			for i, in := range day {
				if in.from < 0 || in.from >= in.to || in.to > dayMinutes || i > 0 && day[i-1].to > in.from {
					t.Fatalf("a day has %v", day)
				}
			}
		}
	})
}
