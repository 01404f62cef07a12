// Package admission decides what becomes of an ingress record, and holds the state that the decision depends on. It does no I/O: the
// sequencer reads and writes, other packages of it store what this one packs.
//
//	record ── Admit ──> Decision: an event for the log, a dead letter, a record for another partition, or nothing
//	            │ ^
//	            v │     an Overlay stages the work of one transaction over a State; Merge makes it the state once it is committed
//	State ── Overlay ── Delta ──> a record of neuronx.sequencer.state ── Loader ──> State
//	   └──── Snapshot ─────────────────────┘
//
// The same record, state, schemas, keys and time give the same decision and the same bytes of state. Events that come too often are a
// storm (Rates); counting them is working state, which a restore forgets. A Seed is the state of a log that was rebuilt from the archive.
package admission
