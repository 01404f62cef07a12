// Package alias is what subject.merged and subject.unmerged mean: which subject another one is now. It is pure: the caller keeps what it
// returns, by tenant, and folds in the order of the log. Every service that goes by merges keeps edges of its own, from the same events, so
// that all refuse the same ones.
//
// A merge moves nothing. It writes an edge from one subject to another, and every look-up (of a key, a contact, a claim, a row) goes through
// the edges first; so an unmerge, which takes the edge away, is exact for all that comes after it. Where a service joins what both had by the
// merge, the edge remembers what was joined (Joined), so that an unmerge can list what does not come apart.
//
// How it fails: a merge or unmerge that can't be is refused with a reason and changes nothing.
package alias
