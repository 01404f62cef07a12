// Package fold is what projections mean: pure functions from events to rows.
//
// A declaration (package projections) names a table, its key and, per event type, which columns an event sets or adds to. Apply is
// the one place where that is carried out; the projector applies it to rows that it loaded from Postgres, Tables applies it to rows
// in memory, event by event. So a checker can recompute every table from the log alone and compare.
//
// # Rules
//
//   - set gives a column the value of an expression. Null leaves the column as it is: a nullable field that an event does not
//     carry changes nothing.
//   - add adds a number to a column that begins at 0. Null adds nothing.
//   - expressions see event (the envelope), data (the fields of the event) and row (the columns as they were before the event; null
//     where nothing was set). All expressions of an event see the same row.
//   - the key is of event and data only.
//   - an event that gives no key, or one with more than MaxKey bytes of text or a value that its column can't hold, touches no row of that
//     table. A value that a column can't hold leaves the column as it is: text with a NUL, a time outside the years 1 to 9999,
//     a number beyond numeric(24,4), a sum beyond its column. Each such case has a reason (Left), which the projector counts.
//
// # Values
//
// nil, bool, int64 (bigint), string (text; numeric with four decimals, such as "12.5000"; date as "2006-01-02"), time.Time in UTC to
// the microsecond (timestamptz), []string (text[]).
//
// # How it fails
//
// Parse names every problem of a file. Touches and Apply fail only when an expression was cut off by time, which says nothing about the
// event. What an event holds never fails: it was admitted and can't be changed, and the events after it must not wait for it.
package fold
