// Package archiver keeps every event of the log, and every dead letter, in Postgres for good.
//
//	neuronx.events ─────> pkg/consumer ──> Archiver.ApplyBatch ──> COPY into a temporary table ──> neuronx.tenant_events
//	neuronx.deadletter ─>      │           Archiver.ApplyDeadLetters ────────────────────────────> neuronx.dead_letters
//	                           └─ moves its progress rows in the same transaction, then commits the group's offset
//
// What is authoritative: the log, until the transaction that holds rows and progress has committed; then the rows. A row's payload
// is archive.Stored of the log's record; data is only rendered from it. No service role can change or delete a row: the archiver
// may insert, and call the owner's function that makes a tenant's table.
//
// How it fails: a failed write rolls rows and progress back together, and the batch is read again. A row that exists already with
// a sequence that is to be inserted is a conflict, never overwritten and never ignored: the tenant is stalled. A missing sequence is a
// loss at once, since there is no other copy. Data that cannot be rendered to JSON costs only the data column.
// Setting the group back does not write: what is read again is compared with the archive, byte for byte and column by column. Rows that
// are in no log are differences, too.
package archiver
