// Package badinput reads the corpus of bad inputs and plays it against a running engine: what a careless or hostile client may send
// over HTTP, straight to Kafka, as a schema, as a rule, as an import, or on the command line.
//
// What is authoritative: the files of corpus/<family>/*.yaml. Each is one bad input, says why it is bad, and names the code by which
// it must be refused, with the HTTP status, exit code or registry code that go with it. Bytes are written as lists of parts (Bytes), so
// that a bomb is a line of text and an Avro body can be read.
//
// A play ends with nil when the engine refused the input as the file says, else with what it did instead: accepted it, refused it by
// another code, or gave no verdict in time. What is refused over Kafka is looked for in the dead letters; a Tape follows them and
// the log, and also tells how long a witness's event took to be admitted meanwhile.
package badinput
