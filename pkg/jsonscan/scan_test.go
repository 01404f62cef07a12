package jsonscan_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/neuronx/engine/pkg/jsonscan"
)

const levels = 8

// strict is what Scan promises to take, said by another reader; more is what it may leave to that one.
func strict(text []byte) (taken, more bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	tokens, members := 0, []int{}
	for {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return tokens > 0, more
		}
		if err != nil || dec.StackDepth() > levels {
			return false, more
		}
		tokens++
		switch tok.Kind() {
		case '{', '[':
			members = append(members, 0)
		case '}', ']':
			members = members[:len(members)-1]
		case '"':
			if strings.ContainsRune(tok.String(), 0) {
				return false, more
			}
			if kind, n := dec.StackIndex(dec.StackDepth()); kind == '{' && n%2 == 1 {
				more = more || n > 2*256 || hasEscape(text, dec)
			}
		}
		if dec.StackDepth() == 0 { // something may follow, which a decoder takes for another text
			if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
				return false, more
			}
			return true, more || tokens > 100_000
		}
	}
}

// hasEscape tells whether the name that was read last holds a backslash.
func hasEscape(text []byte, dec *jsontext.Decoder) bool {
	end := int(dec.InputOffset()) - 1
	for start := end - 1; ; start-- {
		if text[start] == '\\' {
			return true
		}
		if text[start] == '"' {
			return false
		}
	}
}

var texts = []string{
	`{}`, `[]`, `null`, `true`, `false`, `"a"`, `0`, `-0`, `-1.50e+10`, ` { "a" : [ 1 , 2.5 , "x" ] , "b" : { } } `, `{"a":{"b":[[],[{}]]},"c":null}`,
	`"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00"`, `"ä€😀 and more than eight"`, "\"\u2028\x7f\"", `{"a":1,"b":1,"c":{"a":1}}`,
	``, ` `, `{`, `[`, `"`, `"\`, `"\u`, `"\u00`, `nul`, `nullx`, `truE`, `{]`, `[}`, `[1,]`, `{"a":1,}`, `[,1]`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `[1 2]`,
	`1 2`, `{} {}`, `[]]`, `01`, `-`, `+1`, `1.`, `.5`, `1e`, `1e+`, `0x1`, `NaN`, `Infinity`, `'a'`, `/**/1`, "\ufeff1", `"\x"`, `"\u00g0"`, `"\u0000"`, "\"\x00\"",
	`"\ud800"`, `"\ud800x"`, `"\ud800\u0041"`, `"\ude00\ud83d"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"12345678\xe2\x82\"", "\"\n\"", "\"1234567\x1f\"",
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\u0061":2}`, `{"ä":1,"ä":2}`, `{"a":{"a":1},"b":[{"a":1},{"a":1}]}`, `{"abcdefgh":1,"abcdefgi":2,"abcdefgh":3}`,
	`{"":1,"":2}`, `{"":1}`, `[[[[[[[[]]]]]]]]`, `[[[[[[[[[]]]]]]]]]`, `{"a":[[[[[[[1]]]]]]]}`, `{"a":[[[[[[[[]]]]]]]]}`, "[\"a\u00a0\",\"\x00\"]",
}

// FuzzScan: Scan takes what a strict reader takes, and nothing else; its tokens are that reader's.
func FuzzScan(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	var d jsonscan.Doc
	f.Fuzz(func(t *testing.T, text []byte) {
		got := d.Scan(text, levels)
		want, more := strict(text)
		if got != want && (got || !more) {
			t.Fatalf("%q: taken is %v, want %v", text, got, want)
		}
		if got {
			compare(t, &d)
		}
	})
}

// compare reads the text again and holds every token against it.
func compare(t *testing.T, d *jsonscan.Doc) {
	t.Helper()
	dec := jsontext.NewDecoder(bytes.NewReader(d.Text))
	var open []uint32 // indices of open containers
	at := uint32(0)
	for {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		end := int(dec.InputOffset())
		switch kind := byte(tok.Kind()); kind {
		case '}', ']':
			c := d.Tokens[open[len(open)-1]]
			if int(c.End) != end || c.Next != at {
				t.Fatalf("%q: container ends at %d, next is %d; want %d and %d", d.Text, c.End, c.Next, end, at)
			}
			open = open[:len(open)-1]
		default:
			g := d.Tokens[at]
			if g.Kind != kind {
				t.Fatalf("%q: token %d is %c, want %c", d.Text, at, g.Kind, kind)
			}
			switch kind {
			case '{', '[':
				open = append(open, at)
			case '"':
				raw := append(append([]byte{'"'}, d.Raw(at)...), '"')
				text, err := jsontext.AppendUnquote(nil, raw)
				if err != nil || string(text) != tok.String() || g.Escaped != bytes.Contains(raw, []byte{'\\'}) || int(g.End)+1 != end {
					t.Fatalf("%q: string %q (escaped %v), want %q (%v)", d.Text, raw, g.Escaped, tok.String(), err)
				}
			default:
				if string(d.Raw(at)) != tok.String() {
					t.Fatalf("%q: %q, want %q", d.Text, d.Raw(at), tok.String())
				}
			}
			at++
			if kind != '{' && kind != '[' && g.Next != at {
				t.Fatalf("%q: next of %d is %d", d.Text, at-1, g.Next)
			}
		}
	}
	if int(at) != len(d.Tokens) {
		t.Fatalf("%q: %d tokens, want %d", d.Text, len(d.Tokens), at)
	}
	for i, c := range d.Tokens {
		children := 0
		if c.Kind == '{' || c.Kind == '[' {
			for k := uint32(i) + 1; k < c.Next; k = d.Tokens[k].Next {
				children++
			}
			if c.Kind == '{' {
				children /= 2
			}
		}
		if int(c.Len) != children || c.Mark != 0 {
			t.Fatalf("%q: token %d has length %d and mark %d, want %d and 0", d.Text, i, c.Len, c.Mark, children)
		}
	}
}

func TestScan_TakesWhatAStrictReaderTakes(t *testing.T) {
	taken := 0
	for _, text := range texts {
		var d jsonscan.Doc
		got := d.Scan([]byte(text), levels)
		want, more := strict([]byte(text))
		if got != want && (got || !more) {
			t.Errorf("%q: taken is %v, want %v", text, got, want)
		}
		if got {
			taken++
			compare(t, &d)
		}
	}
	if taken < 18 {
		t.Errorf("only %d texts were taken", taken)
	}
}

func TestScan_FindsADoubledNameWhereverItIs(t *testing.T) {
	names := []string{}
	for i := range 256 {
		names = append(names, `"name-`+strings.Repeat("x", i%16)+string(rune('a'+i/16))+`":0`)
	}
	var d jsonscan.Doc
	if !d.Scan([]byte("{"+strings.Join(names, ",")+"}"), levels) {
		t.Fatal("256 names are not taken")
	}
	for i := range 255 {
		doubled := slices.Clone(names)
		doubled[255] = doubled[i]
		if d.Scan([]byte("{"+strings.Join(doubled, ",")+"}"), levels) {
			t.Fatalf("name %d is there twice, and was taken", i)
		}
	}
}

func TestScan_LeavesWhatWouldCostTooMuch(t *testing.T) {
	var d jsonscan.Doc
	for name, text := range map[string]string{
		"many values":  "[" + strings.Repeat("1,", 200_000) + "1]",
		"many arrays":  "[" + strings.Repeat("[],", 200_000) + "[]]",
		"many levels":  strings.Repeat("[", 1_000_000),
		"many members": "{" + strings.Repeat(`"a":1,`, 3) + strings.Repeat(`"a":1,`, 1_000_000),
	} {
		if d.Scan([]byte(text), 1000) {
			t.Errorf("%s: taken", name)
		}
		if len(d.Tokens) > 200_000 {
			t.Errorf("%s: %d tokens", name, len(d.Tokens))
		}
	}
	wide := "{"
	for i := range 257 {
		wide += `"` + strings.Repeat("a", i) + `":1,`
	}
	if d.Scan([]byte(wide[:len(wide)-1]+"}"), levels) {
		t.Error("257 members are taken")
	}
}

func TestScan_AllocatesNothingWhenReused(t *testing.T) {
	var d jsonscan.Doc
	text := []byte(`{"a":[1,2,{"b":"c"}],"d":"\u00e4","e":null}`)
	if n := testing.AllocsPerRun(100, func() {
		if !d.Scan(text, levels) {
			t.Fatal("not taken")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
