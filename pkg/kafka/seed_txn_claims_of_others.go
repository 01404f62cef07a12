//go:build seed_txn_claims_of_others

package kafka

// claimsOfOthers plants the bug that a new member claims what its client's last one had, and keeps it.
const claimsOfOthers = true
