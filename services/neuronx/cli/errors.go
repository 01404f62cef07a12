package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPartial = 3
	exitUnsafe  = 4
)

// Error is what a person at a terminal needs: what failed, why, what to do next.
type Error struct {
	Exit int
	What string
	Why  string
	Next string
	Code event.Code

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

func usage(format string, args ...any) *Error {
	return &Error{Exit: exitUsage, What: fmt.Sprintf(format, args...), Code: event.CodeUsage}
}

func unsafe(format string, args ...any) *Error {
	return &Error{Exit: exitUnsafe, What: fmt.Sprintf(format, args...), Code: event.CodeUnsafe}
}

func partial(format string, args ...any) *Error {
	return &Error{Exit: exitPartial, What: fmt.Sprintf(format, args...)}
}

// failed wraps the error of something that was tried.
func failed(what string, err error) *Error {
	e := &Error{Exit: exitFailed, What: what}
	var r *event.Refusal
	switch {
	case errors.As(err, &r):
		e.Why, e.Next, e.Code = r.Detail, r.Next, r.Code
		if r.Location != "" {
			e.Why = r.Location + ": " + e.Why
		}
		switch r.Code {
		case event.CodeUnsafe:
			e.Exit = exitUnsafe
		case event.CodeUsage, event.CodeInvalidConfig:
			e.Exit = exitUsage
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

func (e *Error) next(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) why(format string, args ...any) *Error {
	e.Why = fmt.Sprintf(format, args...)
	return e
}

// report writes an error to stderr and returns the exit code.
func report(w io.Writer, format string, err error) int {
	var e *Error
	if !errors.As(err, &e) {
		e = failed("the command failed", err)
	}
	if format == formatJSON {
		b, _ := json.Marshal(map[string]any{"error": map[string]any{
			"exit": e.Exit, "code": e.Code, "what": e.What, "why": e.Why, "next": e.Next,
		}})
		_, _ = w.Write(append(b, '\n'))
		return e.Exit
	}
	printf(w, "error: %s\n", e.What)
	for _, part := range [][2]string{{"  why:  ", e.Why}, {"  next: ", e.Next}} {
		if part[1] == "" {
			continue
		}
		for i, line := range strings.Split(part[1], "\n") {
			if i > 0 {
				part[0] = "        "
			}
			printf(w, "%s%s\n", part[0], line)
		}
	}
	return e.Exit
}
