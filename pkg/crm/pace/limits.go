package pace

import "time"

// Limits of an account as its answers tell them.
type Limits struct {
	Max       int           // requests an interval
	Interval  time.Duration // over 0
	Remaining int           // in this interval; -1 unknown
	Daily     int           // requests left today; -1 unknown
}

// DailyPause tells how long to send nothing because the day's budget is nearly used up (reserve requests are kept for people). A vendor
// that doesn't say when its day begins is tried at midnight UTC, with a probe each half hour.
func (l Limits) DailyPause(reserve int, now time.Time) time.Duration {
	if l.Daily < 0 || l.Daily > reserve {
		return 0
	}
	midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return min(midnight.Sub(now), 30*time.Minute)
}
