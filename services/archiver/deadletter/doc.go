// Package deadletter is what people do about refused events: send one again, change its data first, or drop it.
//
//	neuronx deadletter ──> dead_letter_requests ──> Decider.Run: Decide ──> outbox (deriver deadletter) ──> sender ──> neuronx.ingress
//	                                                                          │ engine.dead_letter.edited, retried, then the event;
//	                                                                          └ or engine.dead_letter.dropped
//	neuronx.events ──> archiver ──> Fold ──> dead_letter_decisions ──> view dead_letter_states: open, retried, resolved, refused_again, dropped
//
// What is authoritative: the tenants' streams. A letter's state is a fold of them and of the dead letters, in any order, so that it is the
// same after every rebuild; a reset of the archiver's group folds nothing. Only the drop of a letter of no tenant is a row alone.
//
// Decide is pure. What is sent again is the refused event: type, subject, source, time, trace and Idempotency-Key are its own. Its id is
// derived from the location of the dead letter, its cause is the refused id, its origin redrive, or with --as live the one it had. It is
// admitted once by its deriver's number; a letter is sent once, since only an open one can be. The sequencer also holds it against the
// refused event's key: when the producer has sent it again meanwhile, the redrive is refused as conflict, and the other way about the
// producer's repeat is a duplicate of the redrive.
//
// What an outsider wrote stays an outside event: it carries its fingerprint under our signature, and such an event may have no reserved
// type and finds a suspended tenant closed. Only what the engine itself had signed comes back as the engine's, one hop from a decision.
//
// How it fails:
//
//   - An unreadable letter, one whose value was cut, or one of no tenant: it can be dropped, not retried (not_retriable, unknown_tenant).
//   - The archiver is not running: requests wait, and the operators' tool says that they are not decided.
//   - The redrive is refused again: it is a dead letter of its own, open, which the first one names.
//   - Postgres was restored: requests of meanwhile are gone; decisions come back from the log, as numbers do.
package deadletter
