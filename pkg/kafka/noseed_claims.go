//go:build !seed_txn_claims_of_others

package kafka

const claimsOfOthers = false
