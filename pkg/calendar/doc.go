// Package calendar computes with local time: durations of months and days, opening hours, holidays, and time that only counts while a
// calendar is open. It is pure: there is no clock, zones are those of pkg/zone, and the same input gives the same result on every
// machine. Results are in UTC, so that one instant has one spelling.
//
// # Local time
//
// Resolve turns a local date and time into an instant by the rule of RFC 5545, section 3.3.5. A local time that clocks skip is read with
// the offset in force before the gap: 02:30 in New York's spring gap is 03:30 EDT. A local time that comes twice is the first of the two.
// time.Date promises neither, and picks differently by zone.
//
// # Open time
//
// A date has the hours of its weekday, or those of the holiday on that date. It runs from its 00:00 to the next date's 00:00, both as
// Resolve reads them, and its hours are open from Resolve(start) to Resolve(end) within that span. It follows that
//
//   - an interval that begins in a gap opens late by the length of the gap, and is closed all day if its end would come first;
//   - an interval that ends in an hour that comes twice closes at the first of the two; one that begins before that hour and ends after it
//     is open through both, an hour longer than it reads;
//   - a date that a zone skipped, as Apia did with 30 December 2011, has no open time, whatever its hours;
//   - a calendar of mon-sun 00:00-24:00 is always open, through every change of clocks.
//
// Intervals are half open: at its end a calendar is closed. Intervals that touch, also over midnight, are one.
//
// # Bounds and failures
//
// New reports every problem of a Spec in one *Error, each with the path of the value. Questions about the future look Horizon ahead and
// answer false for what does not come within it. Passing a nil location or time.Local is a programming error and panics: the zone of the
// machine must never decide when somebody is called.
package calendar
