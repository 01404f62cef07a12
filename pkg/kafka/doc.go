// Package kafka is the one place that speaks to Kafka: clients, records, consumer groups, offsets, topics. Only packages below
// it import franz-go, so that what was learnt about the client is written once (config.go).
//
//	Producer    idempotent, acks=all; a record once taken is never called back
//	Group       the consumer loop: poll, handle, commit, allow the rebalance
//	ReadRange   one partition from an offset to another, without a group; Follow a topic as it grows
//	Admin       topics, ids, offsets with metadata, groups, trimming
//	Plan, Provision, CheckTopics   the declared topics (topics.yaml)
//
// Transactions are in txn*.go; package reset moves a group's offsets, registry keeps schemas, embedded is the broker of
// `neuronx dev`, kafkatest serves tests.
//
// # What is authoritative
//
// The group's offset is the position that operators touch; what a consumer has done is in its own store, in the transaction of
// the effect. GroupConfig.Resume is where the second overrules the first. Every commit of the engine carries metadata
// "nx1:<slot>:<group>:<offset>:<log id>"; a commit without it, or with that of another group or offset, was made by an operator's tool
// (Kafka's own writes none, rpk copies it), and ours writes "nx-reset:<session>".
//
// # A partition in a Group
//
//	assigned ──> Resume ──> reading ──> handled ──> committed ──┐
//	   ^                      │  ^                              │
//	   │                      │  └──────────────────────────────┘
//	   │                      └──> stopped   records would be skipped: trimmed, truncated, topic recreated
//	   └── revoked (commits what was handled) or lost (commits nothing)
//
// # How it fails
//
//   - An offset that is outside the log is an error, never a jump: the partition stops by name, the others go on, and
//     Group.Stopped and neuronx_consumer_partition_stopped say so.
//   - A member that was silent for longer than the session time-out (paused process, broker away) is put out by the group. Its
//     late commit is refused by the broker, it drops its partitions without committing, joins again and reads from the last
//     commit. Handlers must be idempotent.
//   - A commit that fails for another reason is tried again with the next batch or tick.
//   - handle's error ends Run without a commit of that batch; the caller decides whether to start again.
//   - A producer whose broker is away holds up to 128 MiB, then refuses with ErrBufferFull. Cancelling a Produce leaves the outcome
//     unknown.
package kafka
