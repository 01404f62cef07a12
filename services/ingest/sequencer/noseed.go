//go:build !seed_sequencer_merges_before_commit

package sequencer

const mergesBeforeCommit = false
