package avro

import (
	"fmt"
	"strings"
)

// SchemaError says why the text of a schema was refused.
type SchemaError struct {
	Location string // JSON pointer (RFC 6901) into the schema text, "" for the whole
	Message  string
}

func (e *SchemaError) Error() string {
	if e.Location == "" {
		return "schema refused: " + e.Message
	}
	return "schema refused at " + e.Location + ": " + e.Message
}

// BodyError says why the bytes of a body were refused.
type BodyError struct {
	Offset  int    // byte offset in the body where the check stopped
	Path    string // field, such as "contact.email"; "" for the whole body
	Message string
}

func (e *BodyError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("avro body refused at byte %d: %s", e.Offset, e.Message)
	}
	return fmt.Sprintf("avro body refused at byte %d, field %s: %s", e.Offset, e.Path, e.Message)
}

// Problem is one reason why data does not fit a schema.
type Problem struct {
	Location string `json:"location"` // JSON pointer (RFC 6901) into the data, "" for the whole
	Message  string `json:"message"`
}

// InvalidError holds every problem that was found in data given to EncodeJSON or EncodeMap.
type InvalidError struct {
	Problems []Problem
}

func (e *InvalidError) Error() string {
	parts := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		if p.Location == "" {
			parts = append(parts, p.Message)
			continue
		}
		parts = append(parts, p.Location+": "+p.Message)
	}
	return "data does not fit the schema: " + strings.Join(parts, "; ")
}
