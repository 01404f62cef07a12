package operate

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// MaxBrief is the length of what Brief makes, in characters.
const MaxBrief = 160

// Brief makes one short line of an error.
func Brief(s string) string { return Cut(OneLine(s), MaxBrief) }

// OneLine puts "; " between the lines of an error: pgx has one for each address that it tried.
func OneLine(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			continue
		}
		switch before := b.String(); {
		case before == "":
		case strings.HasSuffix(before, ":") || strings.HasSuffix(before, ";"): // such as "failed to connect:"
			b.WriteString(" ")
		default:
			b.WriteString("; ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// Cut shortens a cell. A word without blanks, such as an id or a file, is cut in its middle, as its end tells it from others; a
// sentence is cut at its end.
func Cut(s string, width int) string {
	if text.StringWidthWithoutEscSequences(s) <= width {
		return s
	}
	if width < 3 {
		return text.Trim(s, width)
	}
	if Sentence(s) {
		return text.Trim(s, width-1) + "…"
	}
	runes := []rune(s)
	front := (width - 1) / 2
	back := width - 1 - front
	for back > 0 && text.StringWidthWithoutEscSequences(string(runes[len(runes)-min(back, len(runes)):])) > width-1-front {
		back--
	}
	return text.Trim(s, front) + "…" + string(runes[len(runes)-back:])
}

// Sentence reports whether a cell is text or data and no name; the branches of a tree are no text.
func Sentence(cell string) bool { return strings.Contains(strings.TrimLeft(cell, " └─"), " ") }

// Plural is a number and what it counts: "1 row", "2 rows".
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// OrNil is a text as the optional field of an event takes it: nil where it is empty.
func OrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
