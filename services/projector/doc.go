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
// makes a new generation for every tenant with events beyond it: built from the archive and then the log, alongside the one that is
// shown, and swapped in one row when it has caught up. The old one is no longer fed, and its rows are removed a day later.
//
// # Definitions
//
// What a generation holds follows from the events and from a definition: the declarations of its feed without comments and layout, the
// version of what they mean (fold.Semantics), and the time zones' rules where days are counted. neuronx.progress keeps the definition that
// applied a generation's first event; once another has applied one, it is mixed. A generation of another definition than this build's, a
// mixed one, and one from before this was recorded are built again as after a reset, without an operator, by the member that has the
// partition (redeclare). Until then the build goes on feeding the one that is shown, so that a revoked key doesn't wait for a rebuild.
//
// Only a build with the newest definition builds again: the one that first started last on this database (neuronx.definitions). An older
// one, in a rolling upgrade or a rollback, feeds what is there, which makes it mixed, and says so in its log; the newer one builds that
// again when it has the partition. So two builds never take turns. A generation that another definition began or fed is never
// shown over one that is. To go back to an older build for good, reset the group: that rebuilds by the build that runs.
//
// # Subjects that are one
//
// A projection with a subject (such as lead) has a row a subject, and goes by merges as the rules do: from a subject.merged {from, into} on, what
// comes about from is folded into the row of into, whenever it happened. The edges are those of pkg/alias, kept a generation in
// projection.merged_subjects, in the transaction of the rows; so a rebuild derives the same rows, and whatever the rules refuse changes nothing
// here. A merge moves nothing: the row of from stays as it was, with merged_into, and the tables that count go on counting it. Columns that
// only mention a subject, such as lead_id of a deal, keep what their event said.
//
// subject.unmerged clears merged_into, and what comes after it goes to its own row again. What was folded into the row of into between the two does not
// come apart: its columns, and the days of the funnel that follow from them, keep those facts, and the row of from lacks them.
//
// # How it fails
//
// An event that cannot be decoded stalls its tenant before it, in that generation alone: the tables stay as they were, other tenants
// go on, and an operator retries or skips the event. A value that a key or a column cannot take does not stall: it is left out and
// counted (fold.Left). A registry that does not answer stalls no tenant: the batch waits.
package projector
