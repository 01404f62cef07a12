// Package reset plans and executes resets of a group's offsets with the flags, the arithmetic, the table and the CSV of Kafka's
// own tool (kafka-consumer-groups.sh --reset-offsets, KIP-122), so that operators and their scripts feel at home.
//
// What is authoritative: the broker's offsets at the time of planning. The rows of a plan are absolute, so executing an old
// plan commits what was shown, not something worked out again.
//
// What a reset means is up to the group's consumer: the engine's own treat it as a request (a rebuild, an audit), and their
// progress rows stay the truth. The metadata that Execute writes is how they tell it from a commit of their own.
//
// How it fails: a group with members is refused with Kafka's sentence (Kafka itself refuses such commits too, so a member
// that joins in between is caught); a shift without a committed offset is an error; an offset outside the log is moved to its
// nearest end with a warning; so is a time younger than every record.
package reset
