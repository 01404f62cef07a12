package calendar

import "time"

// Duration is a length of time as people mean it (ISO 8601): months and days are added to the local date, what elapses is added to the
// instant. The day after a change of clocks is a day later at the same local time, and 24 hours later is another time.
type Duration struct {
	Months  int
	Days    int
	Elapsed time.Duration
}
