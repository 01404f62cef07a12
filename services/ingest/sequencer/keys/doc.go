// Package keys remembers which idempotency keys were used, and what became of them, for as long as the key window says.
//
// A Window holds a partition's keys in order of admission under an index over them, in about 29 bytes a key, and forgets the old ones in
// no time. A Table holds those of one transaction, in the order in which they came. Memory bounds what all windows of a process take,
// and keeps a part for each partition. Hashes are cryptographic and where they lie in the index depends on a secret, so that no tenant can
// choose keys that collide with another's, or that are slow to find.
package keys
