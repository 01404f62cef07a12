package importer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// maxLine bounds one NDJSON line; an event can't be larger anyway.
const maxLine = 1 << 20

// rows reads an input. Next returns io.EOF at the end; a *rowError concerns one
// row, and reading goes on after it.
type rows interface {
	Next() (Row, error)
	Offset() int64 // bytes read, for the progress
}

// rowError is one row that can't be read.
type rowError struct {
	row Row
	err error
}

func (e *rowError) Error() string { return e.err.Error() }

func (e *rowError) Unwrap() error { return e.err }

// open starts reading an input and checks, before any event is made, that the
// columns are there which the spec names.
func open(in Input, f *os.File) (rows, error) {
	if in.Format == FormatNDJSON {
		sc := bufio.NewScanner(f)
		sc.Buffer(make([]byte, 64<<10), maxLine)
		return &ndjsonRows{sc: sc}, nil
	}
	r := csv.NewReader(skipBOM(f))
	r.FieldsPerRecord = -1 // counted below, so that one bad row does not end the file
	header, err := r.Read()
	if err != nil {
		return nil, event.Refuse(event.CodeInvalidImport, "the header of %s can't be read: %v", in.File, err)
	}
	names := map[string]bool{}
	for _, h := range header {
		if names[h] {
			return nil, event.Refuse(event.CodeInvalidImport, "%s has the column %q twice", in.File, h)
		}
		names[h] = true
	}
	for _, c := range in.Columns() {
		if !names[c] {
			return nil, event.Refuse(event.CodeInvalidImport, "%s has no column %q, which the spec names", in.File, c).
				Hint("it has: " + strings.Join(header, ", "))
		}
	}
	return &csvRows{r: r, header: slices.Clone(header)}, nil
}

// skipBOM drops the mark that spreadsheets put before UTF-8, which would become
// part of the first column's name.
func skipBOM(r io.Reader) io.Reader {
	br := bufio.NewReader(r)
	if b, err := br.Peek(3); err == nil && bytes.Equal(b, []byte("\xef\xbb\xbf")) {
		_, _ = br.Discard(3)
	}
	return br
}

type csvRows struct {
	r      *csv.Reader
	header []string
	n      int64
}

func (c *csvRows) Offset() int64 { return c.r.InputOffset() }

func (c *csvRows) Next() (Row, error) {
	record, err := c.r.Read()
	if errors.Is(err, io.EOF) {
		return Row{}, io.EOF
	}
	c.n++
	row := Row{Number: c.n}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		row.Line = parse.StartLine
		return row, &rowError{row, parse.Err}
	}
	if err != nil {
		return row, err
	}
	row.Line, _ = c.r.FieldPos(0)
	if len(record) != len(c.header) {
		return row, &rowError{row, fmt.Errorf("%d fields, the header has %d", len(record), len(c.header))}
	}
	row.Values = make(map[string]any, len(record))
	for i, v := range record {
		row.Values[c.header[i]] = v
	}
	return row, nil
}

type ndjsonRows struct {
	sc   *bufio.Scanner
	n    int64
	line int
	read int64
}

func (j *ndjsonRows) Offset() int64 { return j.read }

func (j *ndjsonRows) Next() (Row, error) {
	for j.sc.Scan() {
		j.line++
		text := j.sc.Bytes()
		j.read += int64(len(text)) + 1
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		j.n++
		row := Row{Number: j.n, Line: j.line}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&row.Values); err != nil || row.Values == nil {
			return row, &rowError{row, errors.New("not a JSON object")}
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return row, &rowError{row, errors.New("more than one JSON value on the line")}
		}
		for k, v := range row.Values {
			row.Values[k] = plainNumbers(v)
		}
		return row, nil
	}
	if err := j.sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return Row{}, event.Refuse(event.CodeInvalidImport, "line %d is over %d bytes", j.line+1, maxLine)
		}
		return Row{}, fmt.Errorf("line %d: %w", j.line+1, err)
	}
	return Row{}, io.EOF
}

// plainNumbers makes integers int64, so that they survive beyond 2^53.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // the decoder checked its form; out of range becomes infinity, which no field takes
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

// fileHash identifies an input, so that a resume file is not used on another
// version of it.
func fileHash(path string) (hash string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
