//go:build !seed_random_derived_ids

package rules

// seedRandomIDs is the bug that a test build plants to prove that a reset of the group exposes it: ids that differ on each run.
const seedRandomIDs = false
