//go:build seed_random_derived_ids

package rules

const seedRandomIDs = true
