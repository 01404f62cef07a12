package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Bounds of what is taken.
const (
	maxText    = 1 << 30
	maxTokens  = 200_000
	maxMembers = 256
)

// Token is one value or one name of a member. A container is followed by what it holds: an object by name, value, name,
// value …, an array by its items. Next of the last token within is that of the container.
type Token struct {
	Kind    byte   // 'n', 't', 'f', '0' (a number), '"', '{' or '['
	Escaped bool   // a string with backslashes
	Start   uint32 // where its text begins: strings without quotes, containers with their brackets
	End     uint32 // where its text ends
	Next    uint32 // index of the token after this value
	Len     uint32 // members or items of a container
	Mark    uint32 // the reader's own; Scan sets 0
}

// Doc is a scanned text. The zero value is ready; Scan may be called again, which reuses the memory. It is for one
// goroutine.
type Doc struct {
	Text   []byte
	Tokens []Token

	names []span // of the objects that are open
}

// span is where a name stands, and a digest of it that tells most names apart: the bytes of names are compared only where it is the same.
type span struct{ start, end, digest uint32 }

// Scan reads text, and reports whether it was taken: strict JSON of at most depth levels of arrays and objects. If so,
// Text and Tokens hold it; Text shares the caller's memory.
func (d *Doc) Scan(text []byte, depth int) bool {
	if len(text) > maxText {
		return false
	}
	d.Text, d.Tokens, d.names = text, d.Tokens[:0], d.names[:0]
	end, ok := d.value(d.space(0), depth)
	return ok && d.space(end) == len(text)
}

// Raw returns the text of a token as it stands: a string with its backslashes and without its quotes.
func (d *Doc) Raw(at uint32) []byte { return d.Text[d.Tokens[at].Start:d.Tokens[at].End] }

// space returns where the white space that begins at i ends.
func (d *Doc) space(i int) int {
	for i < len(d.Text) && (d.Text[i] == ' ' || d.Text[i] == '\n' || d.Text[i] == '\r' || d.Text[i] == '\t') {
		i++
	}
	return i
}

// value reads the value that begins at i, and returns where it ends.
func (d *Doc) value(i, depth int) (end int, ok bool) {
	if i >= len(d.Text) || len(d.Tokens) >= maxTokens {
		return i, false
	}
	switch c := d.Text[i]; c {
	case '"':
		return d.text(i)
	case '{':
		return d.object(i, depth)
	case '[':
		return d.array(i, depth)
	case 't':
		return d.literal(i, "true")
	case 'f':
		return d.literal(i, "false")
	case 'n':
		return d.literal(i, "null")
	default:
		if end = number(d.Text, i); end < 0 {
			return i, false
		}
		d.add(Token{Kind: '0', Start: uint32(i), End: uint32(end)})
		return end, true
	}
}

func (d *Doc) add(t Token) {
	t.Next = uint32(len(d.Tokens) + 1)
	d.Tokens = append(d.Tokens, t)
}

func (d *Doc) literal(i int, word string) (end int, ok bool) {
	end = i + len(word)
	if end > len(d.Text) || string(d.Text[i:end]) != word {
		return i, false
	}
	d.add(Token{Kind: word[0], Start: uint32(i), End: uint32(end)})
	return end, true
}

func (d *Doc) text(i int) (end int, ok bool) {
	end, escaped := scanString(d.Text, i+1)
	if end < 0 {
		return i, false
	}
	d.add(Token{Kind: '"', Escaped: escaped, Start: uint32(i + 1), End: uint32(end)})
	return end + 1, true
}

func (d *Doc) array(i, depth int) (end int, ok bool) {
	if depth <= 0 {
		return i, false
	}
	at := len(d.Tokens)
	d.add(Token{Kind: '[', Start: uint32(i)})
	var items uint32
	if i = d.space(i + 1); i < len(d.Text) && d.Text[i] == ']' {
		return d.close(at, i, items)
	}
	for {
		if i, ok = d.value(i, depth-1); !ok {
			return i, false
		}
		items++
		if i = d.space(i); i >= len(d.Text) {
			return i, false
		}
		switch d.Text[i] {
		case ',':
			i = d.space(i + 1)
		case ']':
			return d.close(at, i, items)
		default:
			return i, false
		}
	}
}

func (d *Doc) object(i, depth int) (end int, ok bool) {
	if depth <= 0 {
		return i, false
	}
	at, outer := len(d.Tokens), len(d.names)
	d.add(Token{Kind: '{', Start: uint32(i)})
	var members uint32
	if i = d.space(i + 1); i < len(d.Text) && d.Text[i] == '}' {
		return d.close(at, i, members)
	}
	for {
		if i >= len(d.Text) || d.Text[i] != '"' || members == maxMembers {
			return i, false
		}
		if i, ok = d.text(i); !ok || !d.newName(outer) {
			return i, false
		}
		if i = d.space(i); i >= len(d.Text) || d.Text[i] != ':' {
			return i, false
		}
		if i, ok = d.value(d.space(i+1), depth-1); !ok {
			return i, false
		}
		members++
		if i = d.space(i); i >= len(d.Text) {
			return i, false
		}
		switch d.Text[i] {
		case ',':
			i = d.space(i + 1)
		case '}':
			d.names = d.names[:outer]
			return d.close(at, i, members)
		default:
			return i, false
		}
	}
}

// newName remembers the name that was read last as one of the open object, whose names begin at outer in names. It returns
// false when it is there already, or is written with a backslash, which comparing bytes would not see through.
func (d *Doc) newName(outer int) bool {
	t := &d.Tokens[len(d.Tokens)-1]
	if t.Escaped {
		return false
	}
	digest := digestOf(d.Text[t.Start:t.End])
	for _, other := range d.names[outer:] {
		if other.digest == digest && string(d.Text[other.start:other.end]) == string(d.Text[t.Start:t.End]) {
			return false
		}
	}
	d.names = append(d.names, span{t.Start, t.End, digest})
	return true
}

func digestOf(name []byte) uint32 {
	n := len(name)
	if n == 0 {
		return 0
	}
	return uint32(n)<<24 | uint32(name[n-1])<<16 | uint32(name[n-1-(n-1)/8])<<8 | uint32(name[n/2])
}

func (d *Doc) close(at, i int, length uint32) (end int, ok bool) {
	t := &d.Tokens[at]
	t.End, t.Next, t.Len = uint32(i+1), uint32(len(d.Tokens)), length
	return i + 1, true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// scanString reads the string whose first character, after the quote, is at i. It returns where its closing quote is, or -1.
func scanString(b []byte, i int) (end int, escaped bool) {
	start, ascii := i, true
	for {
		for len(b)-i >= 8 {
			word := binary.LittleEndian.Uint64(b[i:])
			quote, slash := word^(ones*'"'), word^(ones*'\\')
			// A set high bit for every byte that is a quote, a backslash, a control character or beyond ASCII. Only the lowest
			// one is exact, and only that is used.
			if found := ((quote-ones)&^quote | (slash-ones)&^slash | (word-ones*' ')&^word | word) & highs; found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return -1, false
		}
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[start:i]) {
				return -1, false
			}
			return i, escaped
		case c == '\\':
			if i = escape(b, i); i < 0 {
				return -1, false
			}
			escaped = true
		case c < ' ':
			return -1, false
		default:
			ascii = ascii && c < utf8.RuneSelf
			i++
		}
	}
}

// escape reads the escape sequence at i, a surrogate pair as one, and returns where it ends, or -1.
func escape(b []byte, i int) int {
	if len(b)-i < 2 {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return -1
	}
	switch r := hex4(b, i+2); {
	case r <= 0: // no hex digits, or NUL
		return -1
	case r < 0xd800 || r > 0xdfff:
		return i + 6
	case r > 0xdbff: // the second of a pair comes first
		return -1
	}
	if len(b)-i < 12 || b[i+6] != '\\' || b[i+7] != 'u' {
		return -1
	}
	if r := hex4(b, i+8); r < 0xdc00 || r > 0xdfff {
		return -1
	}
	return i + 12
}

// hex4 reads four hex digits at i, or returns -1.
func hex4(b []byte, i int) int {
	if len(b)-i < 4 {
		return -1
	}
	r := 0
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// number reads the number at i, and returns where it ends, or -1.
func number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	whole := i
	if i = digits(b, i); i == whole || b[whole] == '0' && i > whole+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		fraction := i + 1
		if i = digits(b, fraction); i == fraction {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		if i = digits(b, exponent); i == exponent {
			return -1
		}
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}
