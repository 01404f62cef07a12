// Package kafka is the core of what speaks to Kafka: configuration, names, records and their sizes, the idempotent producer, and the marks
// by which the engine knows its own commits. Only packages below it import franz-go, so that what was learnt about the client is written
// once (config.go). They import each other in one direction:
//
//	kafka        Config, Record, Producer, Committed
//	  read       one partition from an offset to another, many partitions as they grow, a topic; batches that are too large to hold
//	    group    the consumer loop: poll, handle, commit, allow the rebalance
//	  admin      topics, offsets with metadata, groups, rights, trimming
//	    hanging    transactions that no coordinator will end; reads them with read
//	    topology   the declared topics and users: plan, provision, check
//	    reset      moving a group's offsets as Kafka's own tool does
//	  membership which member of a group this process is, for group and txn
//	    txn      a group's member with a transactional producer
//
// Package registry keeps schemas, embedded is the broker of `neuronx dev`, kafkatest serves tests.
//
// # What is authoritative
//
// The group's offset is the position that operators touch; what a consumer has done is in its own store, in the transaction of
// the effect. group.Config.Resume is where the second overrules the first. Every commit of the engine carries metadata
// "nx1:<slot>:<group>:<offset>:<log id>"; a commit without it, or with that of another group or offset, was made by an operator's tool
// (Kafka's own writes none, rpk copies it), and ours writes "nx-reset:<session>".
//
// # How the producer fails
//
// A record once taken is never called back. A producer whose broker is away holds up to 128 MiB, then refuses with ErrBufferFull.
// Cancelling a Produce leaves the outcome unknown.
package kafka
