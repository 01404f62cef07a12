package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/neuronx/engine/pkg/avro"
)

// rows reads an input. Next returns io.EOF at the end; a *rowError concerns one
// row, and reading goes on after it.
type rows interface {
	Next() (Row, error)
	Offset() int64 // bytes of the file that were read, for the progress
}

// rowError is one row that can't be read.
type rowError struct {
	row Row
	err error
}

func (e *rowError) Error() string { return e.err.Error() }

func (e *rowError) Unwrap() error { return e.err }

var errTooLong = fmt.Errorf("is longer than %d bytes, more than an event may have", maxLine)

// open starts reading an input and checks, before any event is made, that the
// columns are there which the spec names.
func open(in Input, f *os.File) (rows, error) {
	l, err := openLines(in, f)
	if err != nil {
		return nil, err
	}
	if in.Format == FormatNDJSON {
		return &ndjsonRows{l: l}, nil
	}
	return openCSV(in, l)
}

type ndjsonRows struct {
	l *lines
	n int64
}

func (j *ndjsonRows) Offset() int64 { return j.l.offset() }

func (j *ndjsonRows) Next() (Row, error) {
	for {
		next, err := j.l.next()
		if err != nil {
			return Row{}, err
		}
		if !next.long && len(bytes.TrimSpace(next.text)) == 0 {
			continue
		}
		j.n++
		row := Row{Number: j.n, Line: next.no}
		if next.long {
			return row, &rowError{row, errTooLong}
		}
		values, err := j.object(next.text)
		if err != nil {
			return row, &rowError{row, err}
		}
		row.Values = values
		return row, nil
	}
}

// object reads one JSON object as strictly as events are read: a name that is there twice, half of a surrogate pair or a byte that is
// not UTF-8 would silently become something else.
func (j *ndjsonRows) object(text []byte) (map[string]any, error) {
	if wrong := badText(string(text), j.l.encoding); wrong != "" {
		return nil, errors.New("has " + wrong)
	}
	if first := bytes.TrimSpace(text)[0]; first != '{' {
		return nil, errors.New("is not a JSON object; NDJSON has one on each line")
	}
	if _, err := avro.CanonicalJSON(text); err != nil {
		var invalid *avro.InvalidError
		if errors.As(err, &invalid) && len(invalid.Problems) > 0 {
			p := invalid.Problems[0]
			return nil, errors.New(strings.TrimSpace(p.Location + " " + p.Message))
		}
		return nil, err
	}
	var values map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&values); err != nil {
		return nil, fmt.Errorf("is not a JSON object: %w", err)
	}
	for k, v := range values {
		values[k] = plainNumbers(v)
	}
	return values, nil
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
