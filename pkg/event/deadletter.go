package event

import "strings"

// Headers that a dead letter has besides those of the record that was refused. Names of Kafka Connect's dead letter queue are used where it
// has one (KIP-298).
const (
	DeadCode         = "nx_error_code"              // why it was refused: a Code
	DeadDetail       = "nx_error_detail"            // the same for people
	DeadTopic        = "__connect.errors.topic"     // where the refused record stood
	DeadPartition    = "__connect.errors.partition" // decimal
	DeadOffset       = "__connect.errors.offset"    // decimal
	DeadTenant       = hTenant                      // of the refused record's key; not there if that is no tenant's
	DeadRecordedTime = hRecordedTime                // when it was refused, RFC 3339
	DeadValueHash    = "nx_value_sha256"            // SHA-256 in hex of a value that was too large to be kept; its beginning is
	// DeadUnsigned begins the name of an unsigned system attribute: readers of dead letters act on those that keep their name.
	DeadUnsigned = "nx_unsigned_"
)

// OfDeadLetter reports whether a header of a dead letter, by its name, is not one of the refused record's own.
func OfDeadLetter(name string) bool {
	switch name {
	case DeadCode, DeadDetail, DeadTopic, DeadPartition, DeadOffset, DeadTenant, DeadRecordedTime, DeadValueHash:
		return true
	}
	return strings.HasPrefix(name, DeadUnsigned)
}
