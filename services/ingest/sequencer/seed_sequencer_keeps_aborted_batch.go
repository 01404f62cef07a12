//go:build seed_sequencer_keeps_aborted_batch

package sequencer

// keepsAbortedBatch plants the bug that an aborted transaction is undone for the partitions that were taken away, and not for those
// that stayed, though it spanned both.
const keepsAbortedBatch = true
