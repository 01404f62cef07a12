// Package txn is a group's member together with a transactional producer: Session, for records and offsets that are committed in one
// transaction. Sessions runs one session after the other; Produce writes records in a transaction without a group.
//
// The group's generation fences offsets (KIP-447), so a transaction without offsets is not fenced, and Commit refuses it. A Session that
// failed in any way is closed and never used again: the next one begins from what is committed.
package txn
