// Package workflowstore keeps in Postgres what the fold of workflows reads and writes: instances and what they wait for, keys, contacts, named
// state, claims of pools and timers.
//
// A Batch holds what one batch of the consumer uses. Load reads ahead, one query a table for all tenants; what it did not foresee is read when it
// is asked for. The fold reads and writes memory, and Save writes what changed, one statement a table, in the batch's transaction. So a
// batch that is rolled back has written nothing, and the next one loads what stood there before it: a Batch is never used twice.
//
// Authoritative are the rows of neuronx.workflow_instances. Everything by which instances are found (their keys, groups and waits) comes from them
// and is written with them; neuronx.workflow_versions counts those that live. Only the owner of the tenant's partition writes, under the lock of the
// consumer's progress row. The one exception is who fires timers: it moves rows between armed and firing, which the fold never reads.
//
// How it fails: an error of Postgres, or a row that this build can't read, is returned from the read that met it, and the batch is rolled back.
// Nothing is guessed: a row that can't be read is not taken for one that is missing.
package workflowstore
