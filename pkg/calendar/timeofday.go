package calendar

// TimeOfDay is a local time without a date.
type TimeOfDay struct{ Hour, Minute int }
