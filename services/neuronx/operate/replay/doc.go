// Package replay resets the offsets of the engine's consumer groups. Which offsets are wanted, in the words of Kafka's own
// kafka-consumer-groups.sh --reset-offsets, is pkg/kafka/reset; what a reset means is each service's own affair (docs/replay.md).
//
// What it refuses: groups whose position is part of their state, and offsets that nothing would read from.
package replay
