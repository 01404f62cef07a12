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
//   - the key is of event and data only. A null key is an error of the event.
//
// # Values
//
// nil, bool, int64 (bigint), string (text; numeric with four decimals, such as "12.5000"; date as "2006-01-02"), time.Time in UTC to
// the microsecond (timestamptz), []string (text[]).
//
// # How it fails
//
// Parse names every problem of a file. Apply fails for an event whose expression fails or gives a value that the column can't hold;
// the same event fails again, so its tenant stalls until the declaration is mended or a person skips it.
package fold
