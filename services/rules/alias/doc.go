// Package alias is what subject.merged and subject.unmerged mean: which subject another one is now, and what becomes of what both had. It is
// pure: the caller keeps what it returns, by tenant, and folds in the order of the log.
//
// A merge moves nothing. It writes an edge from one subject to another, and every look-up (of a key, a contact, a claim) goes through the
// edges first; so an unmerge, which takes the edge away, is exact for all that comes after it. What both had by the merge is joined under the
// subject that stays (Join), what the other one had stays there untouched, and the edge remembers what was joined, so that an unmerge can
// list what does not come apart.
//
// How it fails: a merge or unmerge that can't be is refused with a reason and changes nothing.
package alias
