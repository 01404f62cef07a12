package rulefile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Codes of problems. They are public: tests, editors and CI match them.
const (
	CodeInvalidYAML       = "invalid_yaml"       // not YAML, or not UTF-8
	CodeTab               = "tab"                // a tab in the indentation
	CodeTooLarge          = "too_large"          // a file, a bundle or a list over its limit
	CodeEmpty             = "empty"              // nothing in it
	CodeDocuments         = "multiple_documents" // more than one YAML document in a file
	CodeAnchor            = "anchor"             // anchors, aliases, merge keys and tags are not read
	CodeDuplicateKey      = "duplicate_key"      // the same key twice in one map
	CodeUnknownKey        = "unknown_key"        // a key that means nothing here
	CodeMissingKey        = "missing_key"        // a key that must be there
	CodeWrongKind         = "wrong_kind"         // a list where a text belongs, and so on
	CodeWrongVersion      = "wrong_version"      // apiVersion or kind is another
	CodeInvalidName       = "invalid_name"       // a name outside of its alphabet
	CodeDuplicateRule     = "duplicate_rule"     // two rules or files of one name
	CodeUnknownType       = "unknown_type"       // an event type that no schema has
	CodeReservedTrigger   = "reserved_trigger"   // listening to engine.*
	CodeReservedEmit      = "reserved_emit"      // emitting what only the engine may
	CodeUnknownOrigin     = "unknown_origin"     // an origin that is none, or echo
	CodeUnknownField      = "unknown_field"      // a field that the schema has not
	CodeMissingField      = "missing_field"      // a field that the schema needs
	CodeNotAssignable     = "not_assignable"     // an expression whose result the field can't hold
	CodeInvalidExpression = "invalid_expression" // does not compile
	CodeNoEffect          = "no_effect"          // neither emit nor set
	CodeTypeMismatch      = "type_mismatch"      // an operator or function that does not take what it is given
	CodeNullable          = "nullable"           // warning: an operand that may be null or absent and is not tested
	CodeSubject           = "subject"            // warning: an event would be filed under another thing than it is about
	CodeLoop              = "loop"               // warning: rules that trigger each other
	CodeStateUnset        = "state_unset"        // state that is read and that no rule of the bundle sets
	CodeClaim             = "claim"              // warning: what a rule assigns is never released
	CodeStateShared       = "state_shared"       // warning: two rules set the same key
	CodeDuration          = "duration"           // no duration such as PT15M, or one that is too short or too long
	CodeUnknownValue      = "unknown_value"      // a word that is none of those that a key takes
	CodeStep              = "step"               // a task that does nothing, or two things
	CodeUnknownTask       = "unknown_task"       // a way on to a task that its list has not
	CodeUnreachable       = "unreachable"        // a task or case that nothing goes on to
	CodeVariableUnset     = "variable_unset"     // a variable that is read and that nothing sets
	CodeUnknownName       = "unknown_name"       // a calendar, lookup or pool that the bundle has not
	CodeWaits             = "waits"              // a wait where there may be none
	CodeReaches           = "reaches"            // a person is reached where that may not be
	CodeFilled            = "filled"             // a field that the engine fills
	CodePersonal          = "personal"           // a personal value where it would stand for years and can't be erased
	CodeCorrelation       = "correlation"        // an event that can't be told to belong to an instance
	CodeInvalidCalendar   = "invalid_calendar"   // hours, a date or a zone that is none
	CodeCostly            = "costly"             // more than the budgets of an event allow; a warning when it depends on the data
)

// Problem is one thing wrong with a bundle.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 is the whole file
	Column  int    `json:"column,omitempty"` // from 1; 0 is the whole line
	Rule    string `json:"rule,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"` // what is wrong and what to write instead
	Warning bool   `json:"warning,omitempty"`
}

func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%s", p.File, p.Position())
	}
	level := "error"
	if p.Warning {
		level = "warning"
	}
	return fmt.Sprintf("%s: %s: %s: %s", where, level, p.Code, p.Message)
}

// Position is the line, and the column where it is known: 12:7.
func (p Problem) Position() string {
	if p.Column > 0 {
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprint(p.Line)
}

// Problems are sorted by file and line.
type Problems []Problem

// Err is nil when there is no problem but warnings.
func (ps Problems) Err() error {
	for _, p := range ps {
		if !p.Warning {
			return &InvalidError{ps}
		}
	}
	return nil
}

// InvalidError carries all problems of a bundle that can't be used.
type InvalidError struct{ Problems Problems }

func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Sorted sorts them by file, line and column.
func (ps Problems) Sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return ps
}
