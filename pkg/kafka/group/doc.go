// Package group is the engine's consumer loop: one member of a consumer group that polls, hands over, commits what was handled, and only
// then allows a rebalance.
//
// # A partition in a Consumer
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
//     Consumer.Stopped and neuronx_consumer_partition_stopped say so.
//   - A member that was silent for longer than the session time-out (paused process, broker away) is put out by the group. Its
//     late commit is refused by the broker, it drops its partitions without committing, joins again and reads from the last
//     commit. Handlers must be idempotent.
//   - A commit that fails for another reason is tried again with the next batch or tick.
//   - handle's error ends Run without a commit of that batch; the caller decides whether to start again.
package group
