//go:build seed_sequencer_restores_to_last_stable

package sequencer

import "github.com/neuronx/engine/pkg/kafka"

// restoresTo plants the bug that a restore reads to the last stable offset, and takes what it finds for all, whatever the group has
// committed.
const restoresTo = kafka.ReadCommitted
