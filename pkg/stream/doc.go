// Package stream reads one tenant's events in order, from wherever they are.
//
// A Source has some of a tenant's events: the archive (*archive.Reader), the newest ones in memory (Recent), a partition of the log (Log), or
// several of these, asked in turn (Chain). Next takes a page of a source and Fold all events between two bounds; both give each sequence
// once, in order. What a consumer catches up with, what a replay folds again and what a reset compares is read here.
//
// How it fails: with an *Error that names the tenant and the sequence. A source that jumps over a sequence, gives one again or gives an
// event of another tenant is wrong, and nothing from there on is passed on; a source that ends before a fold's upper bound says so
// (ErrEnded), so a fold is never silently short. Errors of a source are passed on as they are.
package stream
