// Package checker decides from the outside whether the engine kept its promises: it reads what clients saw, a dump of the log, the
// archive, the tables, the ledger and the CRM's own request log, and reports the first counterexample of each invariant.
//
// It shares no state with the engine and trusts none of its counters. What it takes from the engine's code are pure functions that
// have golden files of their own: the reading of headers and of Avro bodies, and stored(). The tables are compared with a fold of the log that is
// written by hand, here.
//
// Times, retries and the order in which answers came play no part; only what is there in the end does, and, for I10, what is there
// while a service is down.
package checker
