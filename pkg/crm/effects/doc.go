// Package effects carries out CRM commands with an adapter (crm.Adapter): it reads crm.*.requested from the log into a ledger of effects, sends
// them one subject in order, and puts the outcomes back into the log.
//
//	neuronx.events ─> consumer ─ Apply ─> effects (pending) ─ worker ─> sending ─ commit ─> HTTP ─> done | failed | unknown
//	      ^                                  │ mode off, record                                        │ one transaction
//	      │                                  v                                                         v
//	      └────────── sequencer <── neuronx.ingress <── outbox sender <─────────────────────────── outbox row
//
// What is authoritative: the ledger (package ledger, neuronx.effects). Its key (tenant, effect id = command event id) is for ever,
// so a command read again, by whatever replay, is recorded once. Connections, modes and resolutions are events, folded in order.
//
// What is promised (I5): an effect of class once is sent at most once per command and per person's decision to resend. The row is
// sending, committed, before the first byte; a worker that finds it sending without a live lease makes it unknown. Nothing, no
// lookup, no time-out, makes an unknown effect sendable but the event engine.effect.resolved.
//
// A merge of two leads (subject.merged) moves no link. When an attempt begins, the contact is looked up through the merges: that of the lead
// that all are by now, else that of the lead that the command names, else that of another one. A link is changed only by an unmerge, where
// the log told that fields of the second were written to the contact of the first.
//
// # Files
//
// handler.go records what the log asks for, refill.go what it tells of own outcomes. worker.go chooses the next effect, tenants in turn, attempt.go
// begins an attempt at it. send.go takes the steps of an attempt that its
// adapter asks for and writes down how it ended, link.go those that are about whose contact it is. dispose.go says what may be sent again, whatever the
// adapter says. person.go knows which leads are one, and who is not to be reached. outcome.go tells the log, also of effects that are not sent or not
// known: what waits for an outcome must not wait in vain. Package pace decides how fast, and when to try again.
//
// More than fifteen files: the fold of the log and the worker share the types of this package, and each file is one task of either.
//
// # How it fails
//
//   - The CRM is away or says 429: effects wait with backoff, the tenant's breaker opens, commands expire by their not_after.
//   - The token is refused or its file is missing: the tenant waits and is tried again every few minutes; nothing is lost until
//     commands expire.
//   - A tenant asks for thousands of effects at once: a batch folds a hundred events of it, and it catches up outside the batch loop, sent
//     nothing until then. The worker serves tenants in turn, each its part of the free slots.
//   - Postgres is away: nothing is begun; an answer that can't be written is tried until its lease ends, then the sweep decides.
//   - Postgres was restored from a backup (Kafka's offset or an own outcome's number is ahead of the ledger): the ledger refills from
//     outcomes, and once effects that look unsent become unknown. Nothing is sent before the log's end was reached.
package effects
