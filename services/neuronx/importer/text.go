package importer

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/neuronx/engine/pkg/event"
)

// maxLine bounds one line and one row, in bytes of UTF-8; an event can't be larger anyway.
const maxLine = 1 << 20

const peeked = 64 << 10 // bytes that are looked at for the kind of line ends

// line is one line of a file without its end.
type line struct {
	text []byte // valid until the next line is read
	no   int    // from 1
	long bool   // over maxLine; text is empty
}

// lines reads a file as lines of UTF-8. It needs no more memory than one line, and what was pushed back.
type lines struct {
	r        *bufio.Reader
	raw      *counter
	encoding string // of the file
	end      byte   // '\n', or '\r' in a file of old Macs
	no       int
	buf      []byte
	back     []line // to be read again, the next one first
}

// counter counts the bytes of the file itself, whatever its encoding.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// openLines finds out the encoding and the line ends. An encoding that the first bytes contradict is refused; it is never guessed
// from anything but a byte order mark.
func openLines(in Input, f io.Reader) (*lines, error) {
	l := &lines{raw: &counter{r: f}, end: '\n'}
	br := bufio.NewReader(l.raw)
	head, err := br.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	mark, order := "", unicode.LittleEndian
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		mark = EncodingUTF8
		_, _ = br.Discard(3) // the mark would become part of the first column's name
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		mark = EncodingUTF16LE
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		mark, order = EncodingUTF16BE, unicode.BigEndian
	}
	refuse := func(format string, args ...any) error { return event.Refuse(event.CodeInvalidImport, format, args...) }
	wide := strings.HasPrefix(in.Encoding, EncodingUTF16)
	switch {
	case mark != "" && in.Encoding != "" && in.Encoding != mark && !(in.Encoding == EncodingUTF16 && mark != EncodingUTF8):
		return nil, refuse("%s begins with the byte order mark of %s, the spec says encoding: %s", in.File, mark, in.Encoding)
	case in.Encoding == EncodingUTF16 && mark == "":
		return nil, refuse("%s has no byte order mark; say encoding: utf-16le or utf-16be", in.File)
	case mark == "" && !wide && bytes.IndexByte(head, 0) >= 0:
		return nil, refuse("%s has zero bytes, as text in UTF-16 has; say encoding: utf-16le or utf-16be if it is", in.File)
	}
	if l.encoding = in.Encoding; l.encoding == "" {
		l.encoding = cmp.Or(mark, EncodingUTF8)
	}
	var r io.Reader = br
	switch {
	case in.Encoding == EncodingWindows1252:
		r = transform.NewReader(br, charmap.Windows1252.NewDecoder())
	case wide || strings.HasPrefix(mark, EncodingUTF16):
		if in.Encoding == EncodingUTF16BE {
			order = unicode.BigEndian
		}
		r = transform.NewReader(br, unicode.UTF16(order, unicode.UseBOM).NewDecoder())
	}
	l.r = bufio.NewReaderSize(r, peeked)
	return l, l.findEnd()
}

// findEnd looks for the first end of a line outside of quotes.
func (l *lines) findEnd() error {
	head, err := l.r.Peek(peeked)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	quoted := false
	for i, b := range head {
		switch {
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '\n':
			return nil
		case b == '\r' && i+1 < len(head):
			if head[i+1] != '\n' {
				l.end = '\r'
			}
			return nil
		}
	}
	return nil
}

// next returns the next line; io.EOF after the last one.
func (l *lines) next() (line, error) {
	if len(l.back) > 0 {
		out := l.back[0]
		l.back = l.back[1:]
		return out, nil
	}
	l.buf = l.buf[:0]
	out := line{no: l.no + 1}
	for {
		part, err := l.r.ReadSlice(l.end)
		if out.long = out.long || len(l.buf)+len(part) > maxLine+2; !out.long {
			l.buf = append(l.buf, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !(errors.Is(err, io.EOF) && (len(l.buf) > 0 || out.long)) {
			return line{}, err
		}
		break
	}
	l.no++
	if out.long {
		return out, nil
	}
	out.text = bytes.TrimSuffix(l.buf, []byte{l.end})
	if l.end == '\n' {
		out.text = bytes.TrimSuffix(out.text, []byte{'\r'})
	}
	return out, nil
}

// unread makes lines the next ones again. Their texts must not be those of the reader's buffer.
func (l *lines) unread(again []line) {
	l.back = append(append(make([]line, 0, len(again)+len(l.back)), again...), l.back...)
}

// offset counts the bytes of the file that were read, about: what is buffered counts in UTF-8.
func (l *lines) offset() int64 { return max(0, l.raw.n-int64(l.r.Buffered())) }
