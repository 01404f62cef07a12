// Package explain says why rules and workflows did what they did about an event: which of them heard it, what their conditions came to and by which
// values, what they derived, and what became of that down to the answer of the CRM.
//
// Recorded is what the archive, the outbox and the ledger of effects have: outputs, outcomes, attempts. Recomputed is what only an evaluation knows, the
// values of conditions: the events about the subject are folded once more, by the fold of the service itself (rules.NewExcerpt). What comes out
// otherwise than it is recorded is an alarm: one of the two is wrong.
//
// It is pure over what it is given: no clock, nothing sent, nothing written. Values of fields that are marked as personal, and what is computed from
// them, are shown as • unless they are asked for.
package explain
