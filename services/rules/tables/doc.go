// Package tables reads the files of a bundle that hold no expressions to run on events: lookups, which are tables with typed columns that
// expressions read by a key and that work may be assigned from (Pool), and calendars of opening hours.
//
//	kind: Lookup                          # spec: key, columns, and rows or csv; pool, if its rows are members
//	kind: Calendar                        # spec: zone, hours, holidays
//
// A row has a value for every column, of its column's kind and in one spelling: what is absent, empty or misspelt is told and never taken for
// a default. The rows of a lookup may stand in a file of comma-separated values next to it, which is a file of the bundle of its own.
//
// How it fails: the Reader that a file is read with notes every problem with its line, a stable code and what to write instead.
package tables
