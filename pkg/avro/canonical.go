package avro

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/neuronx/engine/pkg/jsonscan"
)

// canonical writes the canonical form of a value that was taken.
func (t *Transcoder) canonical(p *plan, at uint32) {
	tok := &t.doc.Tokens[at]
	switch tok.Kind {
	case '{':
		t.canonicalRecord(p.fitting(looksObject), tok)
	case '[':
		items := p.fitting(looksArray).items
		t.out = append(t.out, '[')
		for item := at + 1; item < tok.Next; item = t.doc.Tokens[item].Next {
			if item != at+1 {
				t.out = append(t.out, ',')
			}
			t.canonical(items, item)
		}
		t.out = append(t.out, ']')
	case '"':
		if !tok.Escaped { // then it has nothing that the canonical form escapes
			t.out = append(t.out, t.doc.Text[tok.Start-1:tok.End+1]...)
			return
		}
		s, _ := t.string(tok)
		t.out, _ = jsontext.AppendQuote(t.out, s)
	case '0':
		t.out = appendCanonicalNumber(t.out, t.doc.Text[tok.Start:tok.End])
	default:
		t.out = append(t.out, t.doc.Text[tok.Start:tok.End]...)
	}
}

func (t *Transcoder) canonicalRecord(p *plan, tok *jsonscan.Token) {
	t.out = append(t.out, '{')
	first := true
	for _, i := range p.sorted {
		member := t.slots[int(tok.Mark)+i]
		if member == 0 {
			continue
		}
		if !first {
			t.out = append(t.out, ',')
		}
		first = false
		t.out = append(t.out, p.fields[i].quoted...)
		t.canonical(p.fields[i].plan, member)
	}
	t.out = append(t.out, '}')
}

// fitting returns the plan, or the branch of a union, whose values look like that.
func (p *plan) fitting(looks look) *plan {
	if p.kind == kindUnion {
		for _, branch := range p.branches {
			if branch.looks&looks != 0 {
				return branch
			}
		}
	}
	return p
}

// appendCanonicalNumber writes a JSON number as CanonicalJSON does: integers keep their digits, all others are written as the
// shortest that gives the same double.
func appendCanonicalNumber(dst, literal []byte) []byte {
	whole := true
	for _, c := range literal {
		if c == '.' || c|0x20 == 'e' {
			whole = false
			break
		}
	}
	if whole && string(literal) != "-0" {
		return append(dst, literal...)
	}
	f, _ := strconv.ParseFloat(string(literal), 64)
	if f == 0 {
		return append(dst, '0') // of either sign
	}
	return jsontext.AppendFloat(dst, f, 64)
}
