// Package archive defines the bytes that are kept of an event, and reads them back.
//
// What is authoritative: Stored. It is a pure function from an event of the log and the fingerprint of its schema to bytes: the Avro
// record neuronx.core.v1.StoredEvent (stored_event.avsc), format 1, fields in fixed order, attributes as a sorted array, the body as
// it stands in the log. The same event gives the same bytes for ever; they are hashed, archived and compared in audits. Where the
// record stood in Kafka is not part of them: it changes when a log is rebuilt from the archive.
//
// How it fails: ParseStored refuses bytes that are not one whole StoredEvent of a format it knows. Reader compares every row with
// its hash and its key, and refuses the row that does not agree, by name; it returns what is there, so a missing sequence shows
// as a gap that the caller judges.
package archive
