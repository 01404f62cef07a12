package fold

import (
	"errors"

	"github.com/neuronx/engine/pkg/expr"
)

// MaxKey is how many bytes the texts of a row's key may have together. Postgres takes index rows of up to 2,704 bytes, so a longer
// key could be stored by no retry.
const MaxKey = 1024

// Left says why an event, or one of its values, is left out of a table. What an event holds was admitted and can't be changed, so a value
// that no column takes must not stop the events after it. It is a label of metrics: the set is closed.
type Left string

// The reasons. The first four leave a row untouched, the others a column.
const (
	LeftKeyNull    Left = "key_null"           // the event does not say which row
	LeftKeyLong    Left = "key_too_long"       // more than MaxKey bytes
	LeftKeyValue   Left = "key_invalid"        // a value that the key's column can't hold
	LeftExpression Left = "expression"         // the declaration's expression can't be computed over the event's values
	LeftValue      Left = "value_invalid"      // of another kind than the column's, or text with a NUL or that is not UTF-8
	LeftRange      Left = "value_out_of_range" // a number, sum, date or time that the column can't hold
)

// Reasons are all of them.
func Reasons() []Left {
	return []Left{LeftKeyNull, LeftKeyLong, LeftKeyValue, LeftExpression, LeftValue, LeftRange}
}

// unfit is a value that a column does not take.
type unfit struct {
	left Left
	text string
}

func (e *unfit) Error() string { return e.text }

func invalid(text string) error    { return &unfit{LeftValue, text} }
func outOfRange(text string) error { return &unfit{LeftRange, text} }

// judge tells what an error says of the event: a reason to leave it out, which is the same whenever the event is folded. It is false for
// an error that another run may not have: an expression that was cut off after some time.
func judge(err error) (Left, bool) {
	if err == nil {
		return "", true
	}
	var u *unfit
	if errors.As(err, &u) {
		return u.left, true
	}
	var e *expr.EvalError
	if errors.As(err, &e) && e.Code != expr.CodeDeadline {
		return LeftExpression, true
	}
	return "", false
}
