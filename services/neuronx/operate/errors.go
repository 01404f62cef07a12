package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
)

// Kind says how far a query or verb came. An edge makes an exit code or an HTTP status of it.
type Kind int

// The kinds of errors.
const (
	KindFailed  Kind = iota + 1 // it was tried
	KindUsage                   // it was called wrongly, and nothing was tried
	KindPartial                 // it was done in part
	KindUnsafe                  // it was refused, as it could lose or expose something
)

// Error is what a person needs who asked for something: what failed, why, what to do next.
type Error struct {
	Kind Kind
	What string
	Why  string
	Next string
	Code event.Code
	Open bool // an event was published, or may have been, and it is not known what became of it

	down  bool   // nobody listens at place
	place string // address and part
}

func (e *Error) Error() string {
	s := e.What
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

// Usage is an error of the caller.
func Usage(format string, args ...any) *Error {
	return &Error{Kind: KindUsage, What: fmt.Sprintf(format, args...), Code: event.CodeUsage}
}

// Unsafe refuses what could lose or expose something.
func Unsafe(format string, args ...any) *Error {
	return &Error{Kind: KindUnsafe, What: fmt.Sprintf(format, args...), Code: event.CodeUnsafe}
}

// Partial says that a part was done, or that it is not known yet whether all was.
func Partial(format string, args ...any) *Error {
	return &Error{Kind: KindPartial, What: fmt.Sprintf(format, args...)}
}

// Fail wraps the error of something that was tried. A refusal keeps its code and its hint.
func Fail(what string, err error) *Error {
	e := &Error{Kind: KindFailed, What: what}
	var r *event.Refusal
	switch {
	case errors.As(err, &r):
		e.Why, e.Next, e.Code = r.Detail, r.Next, r.Code
		if r.Location != "" {
			e.Why = r.Location + ": " + e.Why
		}
		switch r.Code {
		case event.CodeUnsafe:
			e.Kind = KindUnsafe
		case event.CodeUsage, event.CodeInvalidConfig:
			e.Kind = KindUsage
		}
	case errors.Is(err, context.Canceled):
		e.Why = "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		e.Why, e.Next = "it took too long", "raise --timeout, or see `neuronx doctor`"
	case err != nil:
		e.Why = err.Error()
	}
	return e
}

// Hint sets what to do next.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Because sets why it failed.
func (e *Error) Because(format string, args ...any) *Error {
	e.Why = fmt.Sprintf(format, args...)
	return e
}
