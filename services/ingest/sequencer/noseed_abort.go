//go:build !seed_sequencer_keeps_aborted_batch

package sequencer

const keepsAbortedBatch = false
