package calendar

import (
	"testing"
	"time"
)

func BenchmarkCalendar(b *testing.B) {
	c := make1(b, office())
	short := make1(b, days("America/New_York", "09:00-09:15")) // whose open time in ten thousand years is a Duration
	loc := c.Zone()
	from := Resolve(2026, 2, 3, 11, 0, 0, 0, loc)
	year := from.Add(365 * 24 * time.Hour)
	for _, q := range []struct {
		name string
		ask  func()
	}{
		{"open", func() { c.Open(from) }},
		{"next open", func() { c.NextOpen(from) }},
		{"closes", func() { c.Closes(from) }},
		{"15 minutes after", func() { c.After(from, 15*time.Minute) }},
		{"a year after", func() { c.After(from, 1900*time.Hour) }},
		{"between, a day", func() { c.Between(from, from.Add(24*time.Hour)) }},
		{"between, a year", func() { c.Between(from, year) }},
		{"between, ten thousand years", func() { short.Between(time.Time{}, time.Unix(253_000_000_000, 0)) }},
		{"resolve", func() { Resolve(2026, 2, 3, 11, 0, 0, 0, loc) }},
		{"add a day", func() { Add(from, Duration{Days: 1}, loc) }},
		{"next", func() { Next(from, TimeOfDay{10, 0}, loc) }},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.ask()
			}
		})
	}
}
