// Package sequencer admits ingress records to the log, one by one, exactly once: partition p of neuronx.ingress to partition p of
// neuronx.events. What is refused goes to neuronx.deadletter with the reason. It is a role of the ingest service.
//
// # What is authoritative
//
// The records of neuronx.sequencer.state are. Each transaction writes, for every ingress partition that it touches, one packed delta:
// the ingress offsets it covers, what changed of tenants and keys, and where log and dead letters stood. The truth of a partition's
// position is the offset in its state; the offset that the group has committed is an output, for monitoring and as a fence.
//
//	           ingress p ──┐ read from the state's offset, committed records only
//	                       v
//	state p ── restore ──> State ── admit + overlay ──> one Kafka transaction: events p, deadletter p, ingress q (misrouted),
//	   ^                     ^                          receipts p, state p, and the offset of p in group neuronx.sequencer (KIP-447)
//	   |                     |                                   |
//	   └─────────────────────┼───────────────────────────────────┤
//	                         └── merge, only after a confirmed commit
//
// While a transaction is in flight, the next records are judged in an overlay over its own: it is sent off when that one is merged,
// and dropped with it when that one fails.
//
// The decision itself, admission.Admit, is a function of record, state, schemas, signing keys and the clock; all I/O is in this package.
//
// # Packages
//
//	keys       which idempotency keys were used: a partition's window, a transaction's table, the memory they take
//	admission  the decision, the state it depends on, and the format of that state; imports keys
//	statelog   seals and reads neuronx.sequencer.state; imports admission
//	sequencer  (this one) assignment, restore, staging, transactions, snapshots; services/ingest/worker is what it shares with landing
//
// # A partition's life
//
//	assigned ──> restoring ──> running ──> (revoked or lost: forgotten)
//	                 │  ^         │  ^
//	                 v  │ 30 s    v  │ 1 s
//	              stopped        paused (registry unavailable, clock behind)
//
// State is rebuilt at each assignment and never kept over one. Other partitions run on while one restores.
//
// # How it fails
//
//   - A transaction with any outcome but "committed" ends the session: all state in memory is dropped, a new session is opened under
//     the same transactional id (which aborts what was open), and everything is restored. Nothing is guessed.
//   - A killed process that comes back under its slot takes up its partitions at once (static membership); one that does not loses
//     them to the others after the session time-out, and one that stops by itself gives them up then.
//   - A rebalance that overlaps a commit aborts it; that costs a restore of this process's partitions and nothing else.
//   - Another process with the same slot fences this one: Run returns txn.ErrFenced and the process exits. Where only the group says so, it
//     looks first whether that member stays for longer than a session: a broker may have gone back to an older member id of this process.
//   - log, dead letters and state that do not agree stop the partition as log_torn. Others run.
//   - An operator's reset of the group is undone and reported, because the group's offset is not the position.
//   - A registry that does not answer, or a clock more than 60 s behind the brokers', pauses the partition; nothing is refused for it.
package sequencer
