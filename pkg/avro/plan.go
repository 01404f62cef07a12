package avro

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/linkedin/goavro/v2"
)

// plan is a type made ready for the transcoder: what it would otherwise find out again for every event.
type plan struct {
	*node
	fields   []planField
	byName   map[string]int // of fields, where looking through them would be slow
	sorted   []int          // fields in the order of the canonical form
	items    *plan
	branches []*plan
	looks    look // how a value looks in JSON
}

type planField struct {
	name     string
	quoted   string // "name": as the canonical form has it
	plan     *plan
	fallback []byte // what is written where the field is left out; nil if it must not be
}

// manyFields is from how many fields on a name is looked up in a map.
const manyFields = 24

// planOf makes the plan of a node. Named types that are used often share theirs.
func planOf(n *node, made map[*node]*plan) (*plan, error) {
	if p := made[n]; p != nil {
		return p, nil
	}
	p := &plan{node: n, looks: n.look()}
	made[n] = p
	var err error
	if n.items != nil {
		if p.items, err = planOf(n.items, made); err != nil {
			return nil, err
		}
	}
	for _, branch := range n.branches {
		b, err := planOf(branch, made)
		if err != nil {
			return nil, err
		}
		p.branches = append(p.branches, b)
	}
	for i, f := range n.fields {
		inner, err := planOf(f.node, made)
		if err != nil {
			return nil, err
		}
		fallback, err := fallbackOf(f)
		if err != nil {
			return nil, err
		}
		p.fields = append(p.fields, planField{name: f.name, quoted: strconv.Quote(f.name) + ":", plan: inner, fallback: fallback})
		p.sorted = append(p.sorted, i)
	}
	// Names are ASCII, so bytes sort as the UTF-16 units do that RFC 8785 sorts by.
	slices.SortFunc(p.sorted, func(a, b int) int { return bytes.Compare([]byte(p.fields[a].name), []byte(p.fields[b].name)) })
	if len(p.fields) >= manyFields {
		p.byName = make(map[string]int, len(p.fields))
		for i, f := range p.fields {
			p.byName[f.name] = i
		}
	}
	return p, nil
}

// fallbackOf has goavro encode what a field is when it is left out.
func fallbackOf(f *field) ([]byte, error) {
	native := f.fallback
	if !f.optional {
		if f.node.look()&looksNull == 0 {
			return nil, nil
		}
		native = nil
	}
	codec, err := goavro.NewCodec(wireSchema(f.node))
	if err != nil {
		return nil, &SchemaError{Message: fmt.Sprintf("goavro: field %s: %v", f.name, err)}
	}
	body, err := codec.BinaryFromNative([]byte{}, native)
	if err != nil {
		return nil, &SchemaError{Message: fmt.Sprintf("goavro: default of %s: %v", f.name, err)}
	}
	return body, nil
}

// find returns the index of the field of that name, looking first at guess, where it is when fields come in the order of the
// schema; or -1.
func (p *plan) find(name []byte, guess int) int {
	if guess < len(p.fields) && p.fields[guess].name == string(name) {
		return guess
	}
	if p.byName != nil {
		if i, ok := p.byName[string(name)]; ok {
			return i
		}
		return -1
	}
	for i := range p.fields {
		if p.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}
