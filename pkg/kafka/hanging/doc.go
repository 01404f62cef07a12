// Package hanging finds and ends open transactions that their coordinator will never end (KIP-664). Readers of such a partition wait for
// ever, and no restart helps. Find asks the partitions' leaders who has a transaction open and the coordinators what they know of it, and
// reads in the coordinator's log how each has to end; End writes the marker that is owed. What the log does not tell is left to a person.
//
// The sequencer looks at what it reads and writes while it runs, and ends what it may; `neuronx doctor` tells of all, `neuronx log hanging
// --execute` ends all. Which of them may is said in docs/adr/0023-hanging-transactions-are-ended-by-outcome.md.
package hanging
