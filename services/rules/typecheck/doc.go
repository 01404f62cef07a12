// Package typecheck checks the expressions of rules and workflows, and the events that they derive, against the schemas of events.
//
// Schemas reads as much of the Avro records of a catalogue as the check needs. Event, Data and Record.Object are the types of what an
// expression sees. A Checker checks one file: each expression on each type of event that it runs on, and each derived event against the
// record of its type. Programs run over maps whatever is found here: only what is to be published is checked.
//
// How it fails: what is wrong with a file is a problem of the Checker, with line and column; an error is one of the catalogue.
package typecheck
