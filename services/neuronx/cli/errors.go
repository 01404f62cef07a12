package cli

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPartial = 3
	exitUnsafe  = 4
)

// exitOf is the exit code of an error.
func exitOf(k operate.Kind) int {
	switch k {
	case operate.KindUsage:
		return exitUsage
	case operate.KindPartial:
		return exitPartial
	case operate.KindUnsafe:
		return exitUnsafe
	}
	return exitFailed
}

// report writes an error to stderr and returns the exit code.
func report(w io.Writer, format string, err error) int {
	var e *operate.Error
	if !errors.As(err, &e) {
		e = operate.Fail("the command failed", err)
	}
	if format == formatJSON {
		b, _ := json.Marshal(map[string]any{"error": map[string]any{
			"exit": exitOf(e.Kind), "code": e.Code, "what": e.What, "why": e.Why, "next": e.Next,
		}})
		_, _ = w.Write(append(b, '\n'))
		return exitOf(e.Kind)
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
	return exitOf(e.Kind)
}
