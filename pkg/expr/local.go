package expr

import (
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// maxApart bounds the open time that is counted, and maxDays a duration that is written in days.
const (
	maxApart = 400 * 24 * time.Hour
	maxDays  = 36_500
)

// weekdays are as calendars have them.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// localFields are what local(t, place) gives.
var localFields = map[string]Type{
	"year": {Kind: Int}, "month": {Kind: Int}, "day": {Kind: Int}, "hour": {Kind: Int}, "minute": {Kind: Int}, "date": {Kind: Text},
	"weekday": {Kind: Text, Symbols: []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}},
}

func calendarOf(reference, name ref.Val) Calendar {
	return reference.(*Reference).calendars[string(name.(types.String))]
}

// open is open(t, calendar).
func open(args ...ref.Val) ref.Val {
	c := calendarOf(args[0], args[2])
	if c == nil {
		return types.NewErrFromString(noCalendar)
	}
	return types.Bool(c.Open(args[1].(types.Timestamp).Time))
}

// nextOpen is next_open(t, calendar).
func nextOpen(args ...ref.Val) ref.Val {
	c := calendarOf(args[0], args[2])
	if c == nil {
		return types.NewErrFromString(noCalendar)
	}
	at, opens := c.NextOpen(args[1].(types.Timestamp).Time)
	switch {
	case !opens:
		return types.NewErrFromString(neverOpens)
	case at.UTC().Year() > 9999: // the last that a timestamp holds
		return types.NewErrFromString("timestamp overflow")
	}
	return types.Timestamp{Time: at.UTC()}
}

// openBetween is open_between(a, b, calendar). As b - a is, it is negative when b comes first.
func openBetween(args ...ref.Val) ref.Val {
	c := calendarOf(args[0], args[3])
	if c == nil {
		return types.NewErrFromString(noCalendar)
	}
	a, b := args[1].(types.Timestamp).Time, args[2].(types.Timestamp).Time
	if apart := b.Sub(a).Abs(); apart > maxApart { // Sub saturates
		return types.NewErrFromString(tooFarApart)
	}
	if b.Before(a) {
		return types.Duration{Duration: -c.Between(b, a)}
	}
	return types.Duration{Duration: c.Between(a, b)}
}

// local is local(t, place): the parts of a local time, by the zone of a calendar or by a zone's own name.
func local(args ...ref.Val) ref.Val {
	name := string(args[2].(types.String))
	var loc *time.Location
	if c := calendarOf(args[0], args[2]); c != nil {
		loc = c.Zone()
	} else {
		var err error
		if loc, err = Zone(name); err != nil {
			return types.NewErrFromString(noPlace)
		}
	}
	t := args[1].(types.Timestamp).In(loc)
	return types.NewStringInterfaceMap(natives, map[string]any{
		"year": int64(t.Year()), "month": int64(t.Month()), "day": int64(t.Day()), "hour": int64(t.Hour()), "minute": int64(t.Minute()),
		"date": fmt.Sprintf("%04d-%02d-%02d", t.Year(), int(t.Month()), t.Day()), "weekday": weekdays[t.Weekday()],
	})
}

// days is days(n): n times 24 hours.
func days(v ref.Val) ref.Val {
	n, ok := v.(types.Int)
	switch {
	case !ok:
		return types.MaybeNoSuchOverloadErr(v)
	case n < -maxDays || n > maxDays:
		return types.NewErrFromString(tooManyDays)
	}
	return types.Duration{Duration: time.Duration(n) * 24 * time.Hour}
}

// isZoneName tells a name that can only be a time zone's: calendars have small letters, digits and hyphens.
func isZoneName(name string) bool {
	return strings.ContainsAny(name, "/:+_") || strings.ToLower(name) != name
}
