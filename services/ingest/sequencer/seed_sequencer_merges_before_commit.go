//go:build seed_sequencer_merges_before_commit

package sequencer

// mergesBeforeCommit plants the bug that the end-to-end checks must find: state is merged before the commit is confirmed, and kept
// when it fails.
const mergesBeforeCommit = true
