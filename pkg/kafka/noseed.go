//go:build !seed_txn_trusts_callbacks

package kafka

const trustsCallbacks = false
