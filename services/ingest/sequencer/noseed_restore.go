//go:build !seed_sequencer_restores_to_last_stable

package sequencer

import "github.com/neuronx/engine/pkg/kafka"

// restoresTo says which end of a topic a restore reads to: the high water, because the last stable offset lags a commit.
const restoresTo = kafka.ReadUncommitted
