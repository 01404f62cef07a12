package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
)

const (
	formatTable = "table"
	formatWide  = "wide" // a table whose cells are not cut
	formatJSON  = "json"
	formatJUnit = "junit" // of verbs that say so
	formatHTML  = "html"  // likewise
)

// ownFormat is the annotation of a command that names a format which only it writes.
const ownFormat = "own format"

// show writes rows: as an array of the values in JSON, or as a table with the
// cells of each.
func show[T any](c *cli, rows []T, header []string, cells func(T) []any) error {
	if c.format == formatJSON {
		if rows == nil {
			rows = []T{}
		}
		return c.json(rows)
	}
	texts := make([][]string, len(rows))
	for i, r := range rows {
		for _, cell := range visible(cells(r)) {
			texts[i] = append(texts[i], fmt.Sprint(cell))
		}
	}
	header, texts, left := fit(header, texts, c.columns())
	t := table.NewWriter()
	t.SetStyle(plain)
	t.SuppressTrailingSpaces()
	cell := func(text string) any { return text }
	t.AppendHeader(operate.Each(header, cell))
	for _, cells := range texts {
		t.AppendRow(operate.Each(cells, cell))
	}
	printLines(c.out, t.Render())
	switch {
	case len(rows) == 0:
		c.note("none%s", c.lookedFor())
	case len(left) > 0:
		c.note("-o wide shows %s, too", strings.ToLower(strings.Join(left, ", ")))
	}
	return nil
}

// capped cuts a list that was read with one row more than its limit, and says that there are further ones.
func capped[T any](c *cli, rows []T, limit int, more string) []T {
	if len(rows) <= limit {
		return rows
	}
	c.note("only %d are shown, there are more: %s", limit, more)
	return rows[:limit]
}

// printLines writes text of several lines, whose parts were made visible before.
func printLines(w io.Writer, text string) { _, _ = io.WriteString(w, text+"\n") }

// lookedFor says what an empty list was asked for: it says nothing of what the filters left out.
func (c *cli) lookedFor() string {
	if c.cmd == nil {
		return ""
	}
	var with []string
	c.cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if v := f.Value.String(); v != "" && v != "[]" && (f.Value.Type() == "string" || f.Value.Type() == "stringSlice" || f.Changed && f.Value.Type() != "bool") {
			with = append(with, "--"+f.Name+" "+strings.Trim(v, "[]"))
		}
	})
	if len(with) == 0 {
		return ""
	}
	return " found with " + strings.Join(with, " ")
}

// plain has no borders, so that columns survive cut and awk.
var plain = func() table.Style {
	s := table.StyleDefault
	s.Options = table.OptionsNoBordersAndSeparators
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	return s
}()

// json writes one indented JSON document.
func (c *cli) json(v any) error { return c.encode(v, "  ") }

// line writes one JSON document on one line, for streams.
func (c *cli) line(v any) error { return c.encode(v, "") }

func (c *cli) encode(v any, indent string) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && c.out.Err() == nil {
		return operate.Fail("write the output", err) // no JSON can be made of it
	}
	return c.written()
}

// note writes progress to stderr.
func (c *cli) note(format string, args ...any) {
	if !c.quiet {
		printf(c.err, format+"\n", args...)
	}
}

// dryRun says that nothing was changed. It is said under --quiet, too: a script that forgot --execute gets no data, and exit 0.
func (c *cli) dryRun() { printf(c.err, "dry run: nothing was changed; add --execute to do it\n") }

// would says what --execute would do, and ends a dry run.
func (c *cli) would(format string, args ...any) error {
	c.note("would "+format, args...)
	c.dryRun()
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// errorCell is brief, and whole where -o wide asked for whole cells.
func (c *cli) errorCell(s string) string {
	if c.wide {
		return operate.OneLine(s)
	}
	return operate.Brief(s)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// printf writes lines of the tool's own, with values in them that others may have chosen: each stays on its line.
func printf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, visible(args)...)
}

// visible makes one line of visible text of each value that is text, an error or a list of texts; others stay.
func visible(values []any) []any {
	out := make([]any, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case string:
			out[i] = safetext.Text(v)
		case error:
			out[i] = safetext.Text(v.Error())
		case []string:
			texts := make([]string, len(v))
			for j, s := range v {
				texts[j] = safetext.Text(s)
			}
			out[i] = texts
		default:
			out[i] = v
			if s, ok := v.(fmt.Stringer); ok {
				out[i] = safetext.Text(s.String())
			} else if rv := reflect.ValueOf(v); rv.IsValid() && rv.Kind() == reflect.String { // a named type, such as event.Code
				out[i] = safetext.Text(rv.String())
			}
		}
	}
	return out
}
