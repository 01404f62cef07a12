package avro

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// parser builds nodes from the tree of a schema text.
type parser struct {
	names  map[string]*node
	open   map[string]bool // named types being defined: a use of one is recursion
	fields int
}

func refuse(at, format string, args ...any) error {
	return &SchemaError{Location: at, Message: fmt.Sprintf(format, args...)}
}

func schemaProblem(err error) error {
	if e, ok := errors.AsType[*InvalidError](err); ok {
		return &SchemaError{Location: e.Problems[0].Location, Message: e.Problems[0].Message}
	}
	return err
}

func (p *parser) top(tree any) (*node, error) {
	object, ok := tree.(map[string]any)
	if !ok || object["type"] != "record" {
		return nil, refuse("", "must be a record")
	}
	return p.object(object, "", "", 1)
}

// node reads one schema; namespace is the enclosing one, depth counts schemas around it.
func (p *parser) node(v any, namespace, at string, depth int) (*node, error) {
	if depth > maxSchemaDepth {
		return nil, refuse(at, "is nested deeper than %d levels", maxSchemaDepth)
	}
	switch v := v.(type) {
	case string:
		if k, ok := primitive(v); ok {
			return &node{kind: k}, nil
		}
		full := v
		if !strings.Contains(v, ".") && namespace != "" {
			full = namespace + "." + v
		}
		if p.open[full] {
			return nil, refuse(at, "%s contains itself; recursive schemas are refused", full)
		}
		if n, ok := p.names[full]; ok {
			return n, p.count(n.weight, at)
		}
		if v == "map" {
			return nil, refuse(at, "maps are refused: their encoding has no fixed order")
		}
		return nil, refuse(at, "%.255q is not a known type", v)
	case []any:
		return p.union(v, namespace, at, depth)
	case map[string]any:
		return p.object(v, namespace, at, depth)
	default:
		return nil, refuse(at, "must be a type: a name, an object or an array")
	}
}

func (p *parser) object(v map[string]any, namespace, at string, depth int) (*node, error) {
	for _, marker := range []string{"pii", "pii_subject"} {
		if _, ok := v[marker]; ok {
			return nil, refuse(at+"/"+marker, "belongs on a field, not on a type")
		}
	}
	if doc, ok := v["doc"]; ok {
		if _, ok := doc.(string); !ok {
			return nil, refuse(at+"/doc", "must be a string")
		}
	}
	name, ok := v["type"].(string)
	if !ok {
		return nil, refuse(at+"/type", "must be the name of a type")
	}
	switch name {
	case "record":
		return p.record(v, namespace, at, depth)
	case "enum":
		return p.enum(v, namespace, at)
	case "fixed":
		return p.fixed(v, namespace, at)
	case "array":
		items, err := p.node(v["items"], namespace, at+"/items", depth+1)
		if err != nil {
			return nil, err
		}
		if items.empty() {
			return nil, refuse(at+"/items", "takes no bytes; an array of it has no bound")
		}
		return &node{kind: kindArray, items: items, weight: items.weight}, nil
	case "map":
		return nil, refuse(at, "maps are refused: their encoding has no fixed order")
	}
	k, ok := primitive(name)
	if !ok {
		return nil, refuse(at+"/type", "%.255q is not a type that an object can have", name)
	}
	return p.logical(&node{kind: k}, v, at)
}

func (p *parser) record(v map[string]any, namespace, at string, depth int) (*node, error) {
	full, err := p.define(v, namespace, at)
	if err != nil {
		return nil, err
	}
	p.open[full] = true
	defer delete(p.open, full)
	list, ok := v["fields"].([]any)
	if !ok {
		return nil, refuse(at+"/fields", "must be an array of fields")
	}
	if err := p.count(len(list), at+"/fields"); err != nil {
		return nil, err
	}
	n := &node{kind: kindRecord, name: full, doc: v["doc"] != nil, weight: len(list)}
	taken := map[string]bool{}
	for i, item := range list {
		where := at + "/fields/" + strconv.Itoa(i)
		f, err := p.field(item, namespaceOf(full), where, depth)
		if err != nil {
			return nil, err
		}
		aliases, err := aliasesOf(item.(map[string]any), where)
		if err != nil {
			return nil, err
		}
		for _, name := range append(aliases, f.name) {
			if taken[name] {
				return nil, refuse(where, "%q names more than one field", name)
			}
			taken[name] = true
		}
		n.weight += f.node.weight
		n.fields = append(n.fields, f)
	}
	p.names[full] = n
	return n, nil
}

func (p *parser) field(v any, namespace, at string, depth int) (*field, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(at, "must be an object")
	}
	f := &field{}
	if f.name, ok = object["name"].(string); !ok || !validName(f.name) {
		return nil, refuse(at+"/name", "must be a name of letters, digits and _, not starting with a digit")
	}
	for key, into := range map[string]*string{"pii": &f.pii, "pii_subject": &f.piiSubject} {
		if marker, present := object[key]; present {
			if *into, ok = marker.(string); !ok || *into == "" {
				return nil, refuse(at+"/"+key, "must be a string")
			}
		}
	}
	if f.piiSubject != "" && f.pii == "" {
		return nil, refuse(at+"/pii_subject", "means nothing without pii")
	}
	if doc, present := object["doc"]; present {
		if _, f.doc = doc.(string); !f.doc {
			return nil, refuse(at+"/doc", "must be a string")
		}
	}
	if order, present := object["order"]; present && order != "ascending" && order != "descending" && order != "ignore" {
		return nil, refuse(at+"/order", "must be ascending, descending or ignore")
	}
	var err error
	if f.node, err = p.node(object["type"], namespace, at+"/type", depth+1); err != nil {
		return nil, err
	}
	if f.maxBytes, err = maxBytesOf(object, f.name, at); err != nil {
		return nil, err
	}
	if f.node.empty() {
		return nil, refuse(at+"/type", "holds nothing; a field must take at least one byte")
	}
	if fallback, present := object["default"]; present {
		f.optional = true
		if f.fallback, err = defaultValue(f.node, fallback, at+"/default"); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (p *parser) enum(v map[string]any, namespace, at string) (*node, error) {
	full, err := p.define(v, namespace, at)
	if err != nil {
		return nil, err
	}
	list, ok := v["symbols"].([]any)
	if !ok || len(list) == 0 || len(list) > maxSymbols {
		return nil, refuse(at+"/symbols", "must be an array of 1 to %d symbols", maxSymbols)
	}
	n := &node{kind: kindEnum, name: full, symbols: map[string]int{}, doc: v["doc"] != nil}
	for i, item := range list {
		symbol, ok := item.(string)
		if !ok || !validName(symbol) {
			return nil, refuse(at+"/symbols/"+strconv.Itoa(i), "must be a name of letters, digits and _, not starting with a digit")
		}
		if _, taken := n.symbols[symbol]; taken {
			return nil, refuse(at+"/symbols/"+strconv.Itoa(i), "is there twice")
		}
		n.symbols[symbol] = i
		n.ordered = append(n.ordered, symbol)
	}
	if fallback, present := v["default"]; present {
		n.fallback, _ = fallback.(string)
		if _, ok := n.symbols[n.fallback]; !ok {
			return nil, refuse(at+"/default", "must be one of the symbols")
		}
	}
	if v["logicalType"] != nil {
		return nil, refuse(at+"/logicalType", "means nothing on an enum")
	}
	p.names[full] = n
	return n, nil
}

func (p *parser) fixed(v map[string]any, namespace, at string) (*node, error) {
	full, err := p.define(v, namespace, at)
	if err != nil {
		return nil, err
	}
	size, ok := integer(v["size"])
	if !ok || size < 1 || size > maxFixedSize {
		return nil, refuse(at+"/size", "must be from 1 to %d bytes", maxFixedSize)
	}
	n, err := p.logical(&node{kind: kindFixed, name: full, size: int(size)}, v, at)
	if err == nil {
		p.names[full] = n
	}
	return n, err
}

func (p *parser) union(list []any, namespace, at string, depth int) (*node, error) {
	if len(list) == 0 {
		return nil, refuse(at, "a union needs a branch")
	}
	n := &node{kind: kindUnion}
	var looks look
	for i, item := range list {
		where := at + "/" + strconv.Itoa(i)
		branch, err := p.node(item, namespace, where, depth+1)
		if err != nil {
			return nil, err
		}
		if branch.kind == kindUnion {
			return nil, refuse(where, "a union must not hold a union")
		}
		if branch.kind == kindRecord && branch.empty() {
			return nil, refuse(where, "holds nothing")
		}
		if looks&branch.look() != 0 {
			return nil, refuse(where, "looks the same in JSON as a branch before it")
		}
		looks |= branch.look()
		n.weight += branch.weight
		n.branches = append(n.branches, branch)
	}
	return n, nil
}

func (p *parser) logical(n *node, v map[string]any, at string) (*node, error) {
	given, present := v["logicalType"]
	if !present {
		return n, nil
	}
	name, _ := given.(string)
	known, ok := logicals[name]
	if !ok {
		return nil, refuse(at+"/logicalType", "%.255q is not served", fmt.Sprint(given))
	}
	if !slices.Contains(known.kinds, n.kind) {
		return nil, refuse(at+"/logicalType", "%s can not lie over %s", name, n.kind)
	}
	n.logical = known.logical
	if n.logical != logicalDecimal {
		return n, nil
	}
	precision, ok := integer(v["precision"])
	if !ok || precision < 1 || precision > maxPrecision {
		return nil, refuse(at+"/precision", "must be from 1 to %d digits", maxPrecision)
	}
	scale := int64(0)
	if given, present := v["scale"]; present {
		if scale, ok = integer(given); !ok || scale < 0 || scale > precision {
			return nil, refuse(at+"/scale", "must be from 0 to the precision")
		}
	}
	n.decimal = newDecimal(int(precision), int(scale))
	if n.kind == kindFixed && (n.size < n.decimal.bytes || n.size > 16) {
		return nil, refuse(at+"/size", "must be from %d to 16 bytes for %d digits", n.decimal.bytes, precision)
	}
	return n, nil
}

// define returns the full name of a type that is being defined, which must not be taken.
func (p *parser) define(v map[string]any, namespace, at string) (string, error) {
	name, ok := v["name"].(string)
	if !ok {
		return "", refuse(at+"/name", "is required")
	}
	full := name
	if !strings.Contains(name, ".") {
		if given, present := v["namespace"]; present {
			own, ok := given.(string)
			if !ok || own == "" {
				return "", refuse(at+"/namespace", "must be a namespace of at least one word")
			}
			namespace = own
		}
		if namespace != "" {
			full = namespace + "." + name
		}
	}
	if !validFullName(full) {
		return "", refuse(at+"/name", "%.255q is not a name of at most %d letters, digits, _ and dots", full, maxNameLength)
	}
	if _, ok := primitive(full); ok || full == "map" || full == "record" || full == "array" || full == "enum" || full == "fixed" {
		return "", refuse(at+"/name", "%q is the name of a built-in type", full)
	}
	if _, taken := p.names[full]; taken || p.open[full] {
		return "", refuse(at+"/name", "%s is defined twice", full)
	}
	if _, err := aliasesOf(v, at); err != nil {
		return "", err
	}
	return full, nil
}

// count refuses schemas whose fields, each use counted, pass the bound. A name used twice on every level would
// otherwise double the work a body asks for on every level.
func (p *parser) count(fields int, at string) error {
	if p.fields += fields; p.fields > maxSchemaFields {
		return refuse(at, "has more than %d fields in all, counting each use of a named type", maxSchemaFields)
	}
	return nil
}

// empty says whether a value of the type takes no bytes.
func (n *node) empty() bool {
	return n.kind == kindNull || n.kind == kindRecord && len(n.fields) == 0
}

func aliasesOf(v map[string]any, at string) ([]string, error) {
	given, present := v["aliases"]
	if !present {
		return nil, nil
	}
	list, ok := given.([]any)
	if !ok || len(list) > 16 {
		return nil, refuse(at+"/aliases", "must be an array of at most 16 names")
	}
	names := make([]string, 0, len(list))
	for _, item := range list {
		name, ok := item.(string)
		if !ok || !validFullName(name) {
			return nil, refuse(at+"/aliases", "must be an array of names")
		}
		names = append(names, name)
	}
	return names, nil
}
