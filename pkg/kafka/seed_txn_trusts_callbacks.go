//go:build seed_txn_trusts_callbacks

package kafka

// trustsCallbacks plants the bug that ownership is what the client's callbacks say, of which a transactional session skips some.
const trustsCallbacks = true
