// Package workflows folds the workflows of one tenant: it finds the instances that an event moves, moves them by package advance, starts new
// ones, and keeps what both depend on. It is pure over a Store: no clock, no random source, and every order is that of the log, of (started,
// id) or of names, so the same log and the same texts give the same events, to the byte.
//
//	event ─▶ Before: verbs ─▶ contacts ─▶ timer ─▶ instances that wait ─▶ pools ─▶ (rules, by the caller) ─▶ After: starts
//
// What an event starts does not hear that event, and what it ends is not resumed by it. Echoes of our own writes change contacts alone; old and
// quiet facts contacts and until.
//
// How it fails: what a file does wrong is an event (an incident, a rejection, a refused verb) and a replay derives it again. An error is
// the machine's; then nothing of the event is kept, see Store.Rollback.
//
// More than fifteen files: each thing that an event can do (start, move, merge, migrate, be a verb) has a file of its own, and all of them work on one Fold.
package workflows
