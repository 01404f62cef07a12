package reach

import (
	"time"

	"github.com/neuronx/engine/pkg/calendar"
)

// Local are the calendars of a bundle by name, with the arithmetic of package calendar.
type Local map[string]*calendar.Calendar

// Hours finds a calendar.
func (l Local) Hours(name string, in *time.Location) (Hours, bool) {
	c, known := l[name]
	if !known {
		return nil, false
	}
	if in != nil {
		c = c.In(in)
	}
	return c, true
}

// Zone is the zone that a calendar is written in.
func (l Local) Zone(name string) (*time.Location, bool) {
	c, known := l[name]
	if !known {
		return nil, false
	}
	return c.Zone(), true
}

// Add adds a duration to a local time.
func (Local) Add(t time.Time, d calendar.Duration, in *time.Location) time.Time {
	return calendar.Add(t, d, in)
}

// Next is the next instant at a local time.
func (Local) Next(t time.Time, at calendar.TimeOfDay, in *time.Location) time.Time {
	return calendar.Next(t, at, in)
}

// Spread is a hash of key in [0, most).
func (Local) Spread(key string, most time.Duration) time.Duration { return calendar.Spread(key, most) }
