package reach

import (
	"time"

	"github.com/neuronx/engine/pkg/calendar"
)

// Hours are the opening hours of a calendar in a zone.
type Hours interface {
	Open(t time.Time) bool
	NextOpen(t time.Time) (time.Time, bool) // t itself when open; false: it never opens again
	Closes(t time.Time) (time.Time, bool)   // end of the open time that t is in
	After(t time.Time, d time.Duration) (time.Time, bool)
}

// Calendars are the calendars in force, and arithmetic with local time.
type Calendars interface {
	// Hours finds a calendar by name; in nil means its own zone.
	Hours(name string, in *time.Location) (Hours, bool)
	// Zone is the zone that a calendar is written in.
	Zone(name string) (*time.Location, bool)
	Add(t time.Time, d calendar.Duration, in *time.Location) time.Time
	Next(t time.Time, at calendar.TimeOfDay, in *time.Location) time.Time // the next such local time, t included
	Spread(key string, most time.Duration) time.Duration                  // a hash of key in [0, most)
}
