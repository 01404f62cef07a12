// Package projector folds the log into tables that people and dashboards read.
//
// Authoritative is the log; every table here can be emptied and made again. What a table means is declared in projections/*.yaml and
// carried out by package fold, which is pure. This package loads the rows that a batch touches, hands them to fold, and writes them
// back in the transaction of pkg/consumer that also moves the progress.
//
//	neuronx.events ──> consumer ──> Apply: decode ──> keys ──> SELECT rows ──> fold ──> INSERT … ON CONFLICT
//	                                                                                 projection.<table> (generation)
//	                                                                                          │ projection.active
//	                                                                                 read.<table>, neuronx.tenants, …
//
// Tables have generations. A tenant's rows of its active generation are what the views show. An operator's reset of the group's offset
// makes a new generation for every tenant with events beyond it: built from the archive and then the log, beside the one that is
// shown, and swapped in one row when it has caught up. The old one is no longer fed, and its rows are removed a day later.
//
// A generation says by which declaration it was begun (projection.generations). One that differs from this build's, or that two builds
// have fed, is built again in the same way and without an operator, by the member that has the partition (redeclare).
//
// # How it fails
//
// An event that cannot be decoded, or that a declaration cannot take, stalls its tenant before it, in that generation alone: the
// tables stay as they were, other tenants go on. Retry and Skip are the operators' verbs. A registry that does not answer stalls
// nobody: the batch waits.
package projector
