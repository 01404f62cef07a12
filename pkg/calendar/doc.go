// Package calendar computes with local time: durations of days and months, opening hours, holidays, and time that only counts while a
// calendar is open. It is pure: zones are those of pkg/zone, and there is no clock.
package calendar
