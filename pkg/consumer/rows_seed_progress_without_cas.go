//go:build seed_progress_without_cas

package consumer

// seedProgressWithoutCAS is a bug on purpose: rows are moved whatever they hold, so a member that was paused beyond a takeover
// runs progress backwards. The suite must catch it.
const seedProgressWithoutCAS = true
