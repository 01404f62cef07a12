// Package fold is what projections mean: pure functions from events to rows.
//
// A declaration (package projections) names a table, its key and, per event type, which columns an event touches and how its value
// merges with the one that is there. Apply carries that out, and nothing else does; the projector applies it to rows that it loaded
// from Postgres, Tables of package foldtest to rows in memory, event by event. So a checker can recompute every table from the log alone and
// compare.
//
// # Order
//
// The order of arrival is not the order of facts: an import, a retry or a slow producer brings an event after newer ones. A fact happened
// at its ce_time, but not after the engine recorded it (Happened); of two at the same time the one with the higher sequence is newer. All
// merges but order: sequence give the same row in whatever order facts come, as far as their times differ; a test shuffles them.
//
//   - set keeps the newest fact, a column each. So a late event overwrites nothing newer, and still fills a column that no newer event
//     named. Null is no value: a nullable field that an event does not carry changes nothing. An empty text is a value.
//   - first and last keep the earliest and the latest time of a timestamptz.
//   - show computes a column from the row's others, after they were merged.
//   - order: sequence makes set follow the record instead, for what operators decide: a revocation must not yield to a clock.
//
// A column is merged in one way. Expressions of set, first, last and the key see event (the envelope, with time as Happened has it, and
// order, a text that sorts as facts do) and data (the fields of the event); those of show see row.
//
// # Subjects
//
// With spec.subject, the kind of a subject such as lead, a row is of the subject <kind>/<key>, and the column merged_into says which one it
// was merged into (Merge, Mark). Whom an event is about follows from the merges that were recorded before it (Touch.Subject, Redirect), whenever it
// happened; so rows follow the order of the log in this, and the order of facts in all else.
//
// # Counting
//
// A projection with counts has no events of its own. Its rows count those of other projections as they stand: when a row changes, what it
// counted for is taken out and what it counts for is added, in the same transaction. So an event that is said twice counts once, sums
// agree with the rows that they are of, and a row that has nothing left to count is gone. Days are those of the tenant's time zone
// (TypeZoneSet; UTC before the first one). A new zone counts everything again.
//
// # Left out
//
// An event that gives no key, or one with more than MaxKey bytes of text or a value that its column can't hold, touches no row of that
// table. A value that a column can't hold leaves the column as it is: text with a NUL, a time outside the years 1 to 9999, a number
// beyond numeric(24,4), an unknown zone. Each such case has a reason (Left), which the projector counts.
//
// # Values
//
// nil, bool, int64 (bigint), string (text; zone; numeric and total with four decimals, such as "12.5000"; date as "2006-01-02"), time.Time in UTC to
// the microsecond (timestamptz), []string (text[]).
//
// # How it fails
//
// A merge that can't be is refused with a reason of pkg/alias and changes nothing. Parse names every problem of a file. Touches and Apply fail only when an expression was cut off by time, which says nothing about the
// event. What an event holds never fails: it was admitted and can't be changed, and the events after it must not wait for it.
package fold
