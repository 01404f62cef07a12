package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/event"
)

// maxOpen bounds what is read in search of the end of a quoted field, in bytes. Text that is longer has lost its closing quote.
const maxOpen = 8 << 20

// csvRows reads CSV as RFC 4180 has it. Unlike encoding/csv it goes on in the line after a row that can't be read: there, a quote that
// is never closed takes all rows behind it along.
type csvRows struct {
	in     Input
	l      *lines
	delim  byte
	header []string // "" for columns that can't be named: without a name, or with a name that another column has, too
	n      int64

	first line
	rest  []line // further lines of the record that was read last
}

// openCSV reads the header and checks that the columns are there which the spec names.
func openCSV(in Input, l *lines) (*csvRows, error) {
	c := &csvRows{in: in, l: l, delim: ','}
	refuse := func(format string, args ...any) *event.Refusal {
		return event.Refuse(event.CodeInvalidImport, format, args...)
	}
	if in.Delimiter != 0 {
		c.delim = in.Delimiter
	}
	top, err := l.next()
	if errors.Is(err, io.EOF) {
		return nil, refuse("%s is empty, not even a header is there", in.File)
	}
	if err != nil {
		return nil, err
	}
	top.text = bytes.Clone(top.text)
	if said, ok := bytes.CutPrefix(bytes.ToLower(top.text), []byte("sep=")); ok && len(said) == 1 {
		if in.Delimiter != 0 && in.Delimiter != said[0] {
			return nil, refuse("%s says sep=%s in its first line, the spec says another delimiter", in.File, said)
		}
		if c.delim = said[0]; bytes.IndexByte([]byte(",;|\t"), c.delim) < 0 {
			return nil, refuse("%s says %s in its first line, which is no delimiter that can be read", in.File, top.text)
		}
	} else {
		l.unread([]line{top})
	}
	header, _, err := c.record()
	var bad *rowError
	switch {
	case errors.Is(err, io.EOF):
		return nil, refuse("%s is empty, not even a header is there", in.File)
	case errors.As(err, &bad):
		return nil, refuse("the header of %s can't be read: %v", in.File, err)
	case err != nil:
		return nil, err
	}
	return c, c.name(header)
}

// name takes the header. Columns that the spec does not use may have any name, or none.
func (c *csvRows) name(header []string) error {
	times := map[string]int{}
	for _, h := range header {
		if wrong := badText(h, c.l.encoding); wrong != "" {
			return event.Refuse(event.CodeInvalidImport, "the header of %s has %s", c.in.File, wrong)
		}
		times[h]++
	}
	var wrong []string
	for _, name := range c.in.Columns() {
		switch n := times[name]; {
		case n == 0:
			wrong = append(wrong, fmt.Sprintf("has no column %q, which the spec names%s", name, didYouMean(name, header)))
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("has the column %q %d times", name, n))
		}
	}
	if len(wrong) > 0 {
		return event.Refuse(event.CodeInvalidImport, "%s %s", c.in.File, strings.Join(wrong, "; it ")).Hint(c.otherDelimiter(header))
	}
	c.header = header
	for i, h := range header {
		if times[h] > 1 {
			c.header[i] = ""
		}
	}
	return nil
}

// otherDelimiter says what may be wrong with a header that lacks columns.
func (c *csvRows) otherDelimiter(header []string) string {
	if len(header) == 1 {
		for _, d := range []string{";", "\t", "|", ","} {
			if d[0] != c.delim && strings.Contains(header[0], d) {
				return fmt.Sprintf("its header looks separated by %q: say delimiter: %q", d, d)
			}
		}
	}
	quoted := make([]string, len(header))
	for i, h := range header {
		quoted[i] = fmt.Sprintf("%q", h)
	}
	return "it has: " + strings.Join(quoted, ", ")
}

func (c *csvRows) Offset() int64 { return c.l.offset() }

func (c *csvRows) Next() (Row, error) {
	record, no, err := c.record()
	if errors.Is(err, io.EOF) {
		return Row{}, err
	}
	c.n++
	row := Row{Number: c.n, Line: no}
	var bad *rowError
	if errors.As(err, &bad) {
		return row, &rowError{row, bad.err}
	}
	if err != nil {
		return row, err
	}
	if len(record) != len(c.header) {
		if len(c.rest) == 0 {
			return row, &rowError{row, fmt.Errorf("%d fields, the header has %d", len(record), len(c.header))}
		}
		return row, &rowError{row, c.torn(fmt.Sprintf("the quoted text ends in line %d and makes %d fields, the header has %d", no+len(c.rest), len(record), len(c.header)))}
	}
	row.Values = make(map[string]any, len(record))
	row.Blank = true
	for i, v := range record {
		if v != "" {
			row.Blank = false
		}
		if c.header[i] == "" {
			continue
		}
		if wrong := badText(v, c.l.encoding); wrong != "" {
			return Row{Number: row.Number, Line: row.Line}, &rowError{row, fmt.Errorf("column %q has %s", c.header[i], wrong)}
		}
		row.Values[c.header[i]] = v
	}
	return row, nil
}

// record reads one record; a *rowError concerns this one only. Empty lines are skipped.
func (c *csvRows) record() (fields []string, no int, err error) {
	c.rest = nil
	for {
		if c.first, err = c.l.next(); err != nil {
			return nil, 0, err
		}
		if c.first.long {
			return nil, c.first.no, &rowError{err: errTooLong}
		}
		if len(c.first.text) > 0 {
			break
		}
	}
	no = c.first.no
	rest, size := c.first.text, len(c.first.text)
	for {
		if c.in.Unquoted || len(rest) == 0 || rest[0] != '"' {
			field, behind, more := bytes.Cut(rest, []byte{c.delim})
			if !c.in.Unquoted && bytes.IndexByte(field, '"') >= 0 {
				return nil, no, &rowError{err: c.torn(fmt.Sprintf(`field %d has a quote inside but does not begin with one: write it as "…""…", or say quote: none if the file quotes nothing`, len(fields)+1))}
			}
			fields = append(fields, string(field))
			if !more {
				break
			}
			rest = behind
			continue
		}
		text, behind, wrong, err := c.quoted(rest[1:], &size)
		if err != nil {
			return nil, no, err
		}
		if wrong != "" {
			return nil, no, &rowError{err: c.torn(fmt.Sprintf("the quote that field %d begins with %s", len(fields)+1, wrong))}
		}
		fields = append(fields, text)
		if len(behind) == 0 {
			break
		}
		rest = behind[1:]
	}
	if size > maxLine {
		return nil, no, &rowError{err: errTooLong}
	}
	return fields, no, nil
}

// quoted reads a field from behind its opening quote, over as many lines as it has; behind is empty or begins with the delimiter.
func (c *csvRows) quoted(in []byte, size *int) (text string, behind []byte, wrong string, err error) {
	var field []byte
	for {
		part, after, closed := bytes.Cut(in, []byte{'"'})
		field = append(field, part...)
		switch {
		case closed && len(after) > 0 && after[0] == '"':
			field, in = append(field, '"'), after[1:]
		case closed && len(after) > 0 && after[0] != c.delim:
			return "", nil, "is followed by text after it was closed", nil
		case closed:
			return string(field), after, "", nil
		default:
			next, err := c.l.next()
			if errors.Is(err, io.EOF) {
				return "", nil, "is never closed", nil
			}
			if err != nil {
				return "", nil, "", err
			}
			next.text = bytes.Clone(next.text)
			c.rest = append(c.rest, next)
			if *size += len(next.text) + 1; next.long || *size > maxOpen {
				return "", nil, fmt.Sprintf("is not closed within %d MiB", maxOpen>>20), nil
			}
			field, in = append(field, '\n'), next.text
		}
	}
}

// torn gives back the lines of a record that can't be right, so that reading goes on behind its first line.
func (c *csvRows) torn(why string) error {
	if len(c.rest) > 0 {
		c.l.unread(c.rest)
		why += fmt.Sprintf("; reading goes on in line %d", c.first.no+1)
		c.rest = nil
	}
	return errors.New(why)
}

// badText tells what is wrong with text that was decoded; "" if nothing is.
func badText(s, encoding string) string {
	if !utf8.ValidString(s) {
		return "bytes that are not UTF-8: say encoding: windows-1252, or what else the file is in"
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "the character NUL, which can't be kept"
	}
	if encoding != EncodingUTF8 && strings.ContainsRune(s, utf8.RuneError) {
		if encoding == EncodingWindows1252 {
			return "a byte that means nothing in windows-1252: is the file in another encoding?"
		}
		return "half of a surrogate pair, or a character that was lost before (U+FFFD): export the file again"
	}
	return ""
}
