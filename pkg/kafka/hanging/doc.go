// Package hanging finds and ends open transactions that their coordinator will never end (KIP-664). Readers of such a partition wait for
// ever, and no restart helps. Find asks the partitions' leaders who has a transaction open and the coordinators what they know of it, and
// reads in the coordinator's log how each has to end; End writes the marker that is owed. What the log does not tell is left to a person.
//
// The sequencer looks at what it reads and writes while it runs, and ends what it may; `neuronx doctor` tells of all, `neuronx log hanging
// --execute` ends all. Ending one takes an administrator's right, or the brokers' own, with which any transaction can be torn. So
// provisioning gives it to no service (docs/adr/0023-no-service-is-given-the-right-to-end-transactions.md).
package hanging
