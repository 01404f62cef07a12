// Package outbox carries derived events from the transaction that made them to Kafka, exactly once.
//
// A deriver (rules, gohighlevel, deadletter) calls Add inside the Postgres transaction that commits its own state. The finished
// event is stored under the next number of (tenant, deriver); the row lock on that number is held until the transaction ends, so
// numbers have no gap and follow the order of commits. A Sender, which runs where the tenant's partition is owned, signs the rows
// and produces them to neuronx.ingress in order. The sequencer admits last + 1, drops what it has and ignores a jump, so rows can
// be sent as often as need be. A row is deleted only when its event was seen in the log or in the dead letters (Seen, Refused).
//
//	          Add, in the deriver's tx                Sender, in order             the deriver reads the log
//	state ───────────────────────────▶ outbox row ───────────────────▶ ingress ─▶ log ──────────▶ Seen: row deleted
//	                                       ▲                              └─▶ dead letters ─▶ Refused: row deleted
//	                                       └── unseen for 10 s: sent again
//
// A sender keeps a bounded number of a tenant's rows between ingress and the log: what one tenant derives stands in front of
// everybody's events there.
//
// Authoritative are the rows and neuronx.outbox_numbers; the sender's memory is only a hint of what needs no sending now. The log
// outranks both: numbers are raised to any own number seen there, which is how a database that was restored from a backup catches
// up.
//
// The Postgres password of a deriver's role is enough to write rows, and must not get anything signed by that. So Add gives each row
// a seal, an HMAC of the engine's signing keys over the whole row, and the sender sends only what is sealed, is its deriver's, names its
// own tenant, number and id, and is of a type that the deriver may derive (event.MayDerive). The sequencer checks the last again.
//
// # How it fails
//
//   - A row that must not be sent: a placeholder takes its place and number, the sequencer refuses that as deriver_forbidden, and the rows
//     behind it go on. The row is kept in neuronx.outbox_forbidden; neuronx_outbox_forbidden_total counts it and the log names it.
//   - Such a row above the last number that was given out: it is removed, and nothing takes its place. Add does it, too, where one stands in
//     its way.
//   - A number that somebody raised: what is derived from then on waits behind a jump until an operator closes it (Jump, Renumber).
//   - A row sealed with a key that was taken out of the keyring: its tenant waits at it until the key is back.
//   - Kafka away: rows stay, neuronx_outbox_pending and neuronx_outbox_oldest_seconds grow, the deriver goes on.
//   - A record fails to be produced: that tenant stops at it and is tried again from there; other tenants go on.
//   - A partition of ingress stores nothing, without an end: its tenants stay on their way; those of other partitions go on, and the sender ends
//     when it is told to.
//   - A row of a newer build's format: its tenant waits at it, ErrNewer in the log, until a sender of that build owns the partition.
//   - Two senders at once, after a pause: both send the same rows, the sequencer drops the second copies.
//   - Another event under our number (after a restore whose replay differs): ErrConflict, a metric and an error in the log. The
//     row stays until its own event is seen: the sequencer refuses it as deriver_conflict, so it ends in the dead letters.
package outbox
