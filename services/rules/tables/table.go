package tables

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Suffix is how the names of tables of comma-separated values end. A table is a file of the bundle of its own, next to the lookup that
// names it, with the bound of every file: so what was published is what stands in the file, and rules show prints it.
const Suffix = ".csv"

// readCSV reads the rows of a lookup from the table that it names. What is wrong with the table is told of its own file.
func (l *Lookup) readCSV(r *rulefile.Reader, n *yaml.Node, texts map[string]string, readable bool) rulefile.Problems {
	name, ok := r.Scalar(n, "csv")
	if !ok {
		return nil
	}
	text, there := texts[name]
	switch {
	case !strings.HasSuffix(name, Suffix) || strings.ContainsAny(name, `/\`):
		r.Problem(n.Line, rulefile.CodeInvalidName, "csv is %q; it must be the name of a file in the same folder that ends in %s", rulefile.Cut(name), Suffix)
		return nil
	case !there:
		r.Problem(n.Line, rulefile.CodeMissingKey, "the bundle has no file %s; it must lie in the folder of this file", rulefile.Cut(name))
		return nil
	}
	l.Table = name
	if !readable {
		return nil
	}
	t := &rulefile.Reader{File: name, Rule: r.Rule}
	l.readTable(t, text)
	return t.Problems
}

func (l *Lookup) readTable(r *rulefile.Reader, text string) {
	switch {
	case len(text) > rulefile.MaxFile:
		r.Problem(0, rulefile.CodeTooLarge, "the table has %d bytes or more, more than %d; make two lookups of it", len(text), rulefile.MaxFile)
		return
	case !utf8.ValidString(text):
		r.Problem(0, rulefile.CodeWrongKind, "the table is not UTF-8; save it as UTF-8")
		return
	}
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\uFEFF"))) // the mark that spreadsheets begin a file with
	in.FieldsPerRecord = -1
	header, err := in.Read()
	if err != nil {
		l.malformed(r, err)
		return
	}
	columns := make([]Column, len(header))
	for i, name := range header {
		column, is := l.column(name)
		switch {
		case !is && len(header) == 1 && strings.ContainsAny(name, ";\t|"):
			r.Problem(1, rulefile.CodeUnknownField, "the values are not separated by commas; save the table with commas")
			return
		case !is:
			r.Problem(1, rulefile.CodeUnknownField, "the lookup has no column %q; %s", rulefile.Cut(name), nearestOf(name, l.names()))
		}
		for _, before := range columns[:i] {
			if is && before.Name == column.Name {
				r.Problem(1, rulefile.CodeDuplicateKey, "the column %s stands twice in the first line", column.Name)
			}
		}
		columns[i] = column
	}
	for _, column := range l.Columns {
		if !has(columns, column.Name) {
			r.Problem(1, rulefile.CodeMissingField, "the first line lacks the column %s; it names all columns: %s", column.Name, strings.Join(l.names(), ","))
		}
	}
	if len(r.Problems) > 0 {
		return
	}
	seen := map[any]int{}
	for rows := 0; ; rows++ {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			if rows == 0 {
				r.Problem(0, rulefile.CodeEmpty, "the table has no row after its first line")
			}
			return
		}
		if err != nil {
			l.malformed(r, err)
			return
		}
		line, _ := in.FieldPos(0)
		if rows == MaxRows {
			r.Problem(line, rulefile.CodeTooLarge, "a lookup has more than %d rows", MaxRows)
			return
		}
		if len(fields) != len(columns) {
			r.Problem(line, rulefile.CodeWrongKind, "the row has %d values and there are %d columns; a value with a comma stands in quotes", len(fields), len(columns))
			continue
		}
		row := make(map[string]any, len(columns))
		for i, column := range columns {
			at, _ := in.FieldPos(i)
			if v, ok := cell(column.Kind, fields[i]); ok {
				row[column.Name] = v
			} else {
				r.Problem(at, rulefile.CodeWrongKind, "%s is %q and must be %s", column.Name, rulefile.Cut(fields[i]), exampleOf(column.Kind))
			}
		}
		l.add(r, row, line, seen)
	}
}

func has(columns []Column, name string) bool {
	for _, c := range columns {
		if c.Name == name {
			return true
		}
	}
	return false
}

func (l *Lookup) malformed(r *rulefile.Reader, err error) {
	var wrong *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		r.Problem(0, rulefile.CodeEmpty, "the table is empty; its first line names the columns: %s", strings.Join(l.names(), ","))
	case errors.As(err, &wrong):
		r.ProblemAt(wrong.Line, wrong.Column, rulefile.CodeWrongKind, "not a table of comma-separated values: %v", wrong.Err)
	default:
		r.Problem(0, rulefile.CodeWrongKind, "not a table of comma-separated values: %v", err)
	}
}

// Named is the name of the table that the text of a file names, if it is a lookup; empty: none.
func Named(file, text string) string {
	r := rulefile.Reader{File: file, Text: text}
	root := r.Document([]byte(text))
	if root == nil || rulefile.Kind(root) != KindLookup {
		return ""
	}
	n := rulefile.Value(rulefile.Value(root, "spec"), "csv")
	if n == nil || n.Kind != yaml.ScalarNode || !strings.HasSuffix(n.Value, Suffix) || strings.ContainsAny(n.Value, `/\`) {
		return ""
	}
	return n.Value
}
