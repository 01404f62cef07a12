// Package outboxes repairs the numbers of derived events on their way to the log. The sequencer takes a deriver's events by number, without a
// gap, so a row that somebody deleted, or a number that somebody raised, stops that deriver for its tenant.
//
// What is authoritative: the sequencer's state. What it has is read before and again after the look at the outbox, as rows leave it all the time.
package outboxes
