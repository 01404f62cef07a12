// Package reseed rebuilds the log from the archive, after Kafka was wiped or its log torn while Postgres lives.
//
// Authoritative is the archive: an event that it lacks is gone. Every archived event is written to the new neuronx.events as it was,
// with its sequence, position and the id of the log in which it was admitted; what is admitted afterwards has a new log id, and
// neuronx.log_lineage says that the new log goes on where the old one ended. Only the number of a schema may differ, where the
// registry went with Kafka; neuronx.schema_moves keeps what became of it.
//
//	neuronx.schemas ──> registry ──> numbers of now
//	archive, by partition and position ──> neuronx.events            (1) state "writing"
//	rows of consumers, outbox, ledger  ──> one Postgres transaction  (2) state "rows"
//	sequences, derivers' numbers, keys ──> neuronx.sequencer.state   (3) one Kafka transaction, state "done"
//
// # How it fails
//
// Until (3) no service starts to work: consumers find another topic than in their rows, the sequencer a log without a state. An
// interrupted run is started again and goes on: what is in the new log is compared with the archive and not written twice. A log that
// holds anything else, a group with members, an archive with a gap or a damaged row, or a consumer that has applied another event than
// the archive holds under a sequence, is refused, and nothing is changed.
//
// A consumer may have been ahead of the archiver when Kafka was lost. The projector rebuilds such tenants, the rules' state is folded
// again, and effects of commands that are gone are set aside, so that new commands under the same ids are carried out and what was
// sent is not sent again.
package reseed
