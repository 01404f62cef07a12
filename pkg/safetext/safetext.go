// Package safetext shows text that others chose on terminals and in logs, so that it is read and does nothing else. Tenants choose ids,
// subjects and data; a terminal takes control characters in them for commands (ESC and the C1 controls move the cursor, set titles and
// colours), a bidi override shows a name backwards, a line feed forges a line.
//
// There are two layers, of one and the same escaping. Text makes one line of a value, before it becomes part of a table or a message.
// Writer is what the program's output goes through: it stops what a caller forgot, but must leave the program's own line feeds and
// tabs alone. In JSON all text is in strings, where Writer's escapes mean the character itself, so that its output stays the same document.
package safetext

import (
	"cmp"
	"io"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Text is s as one line of visible text. What would do something else than to be read becomes \n, \t, \r, or the escape of its UTF-16
// code units as JSON has it, such as \u009b; bytes that are no UTF-8 become \x and two hex digits. Everything else stays, so a
// backslash that was there looks as it did: to tell the two apart, take JSON output.
func Text(s string) string {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return string(appendText(make([]byte, 0, len(s)+16), s))
		}
	}
	return s
}

func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == utf8.RuneError && n == 1:
			dst = append(dst, '\\', 'x', digits[s[i]>>4], digits[s[i]&15])
		case Acts(r):
			dst = appendEscape(dst, r)
		default:
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}

const digits = "0123456789abcdef"

// appendEscape writes r as JSON does.
func appendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return appendEscape(appendEscape(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// Acts reports whether r does something else than to be read: control characters (C0, DEL, C1), line and paragraph separators, format
// characters (bidi controls, marks without width, tags), and noncharacters. The joiners that Arabic and Indian scripts and emoji need
// are text.
func Acts(r rune) bool {
	switch {
	case r >= 0x20 && r < 0x7f:
		return false
	case r < 0xa0:
		return true
	case r == '\u200c', r == '\u200d':
		return false
	case r == '\u2028', r == '\u2029', r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
		return true
	}
	return unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// Writer passes text on and escapes what Acts names, except line feeds and tabs. It is safe for concurrent use.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	part []byte // the beginning of a character that a Write ended in
	buf  []byte
	err  error // of the first write that failed
}

// NewWriter writes to w; a Writer already is returned as it is.
func NewWriter(w io.Writer) *Writer {
	if own, ok := w.(*Writer); ok {
		return own
	}
	return &Writer{w: w}
}

// Write implements io.Writer. A failed write may have passed a part on.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := p
	if len(w.part) > 0 {
		in = append(w.part, p...)
		w.part = nil
	}
	w.buf = w.buf[:0]
	for i := 0; i < len(in); {
		r, n := rune(in[i]), 1
		if r >= utf8.RuneSelf {
			if !utf8.FullRune(in[i:]) {
				w.part = append([]byte(nil), in[i:]...)
				break
			}
			r, n = utf8.DecodeRune(in[i:])
		}
		switch {
		case r == '\n', r == '\t', !Acts(r) && (r != utf8.RuneError || n > 1):
			w.buf = append(w.buf, in[i:i+n]...)
		default:
			w.buf = appendEscape(w.buf, r) // a byte that is no UTF-8 as \ufffd, which JSON has, too
		}
		i += n
	}
	if _, err := w.w.Write(w.buf); err != nil {
		w.err = cmp.Or(w.err, err)
		return 0, err
	}
	return len(p), nil
}

// Err is the error of the first Write that failed, nil if none did: for a program that looks once, before it says that it succeeded.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Control writes a control sequence of the program's own, without any text from outside.
func (w *Writer) Control(sequence string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, sequence)
	return err
}

// File is the file that w writes to in the end, nil if it is none: to ask whether it is a terminal, or to hand it to another program.
func File(w io.Writer) *os.File {
	if own, ok := w.(*Writer); ok {
		w = own.w
	}
	f, _ := w.(*os.File)
	return f
}
