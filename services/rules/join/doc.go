// Package join is what a merge does with what two subjects had by then: instances of workflows, consent, sends, starts and claims are joined
// under the subject that stays. What the other one had stays there untouched, and what was joined is listed (alias.Joined), because an unmerge
// does not take it apart. It is pure.
package join
