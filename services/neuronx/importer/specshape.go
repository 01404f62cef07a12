package importer

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Encodings of inputs.
const (
	EncodingUTF8        = "utf-8"
	EncodingUTF16       = "utf-16" // its byte order mark says which
	EncodingUTF16LE     = "utf-16le"
	EncodingUTF16BE     = "utf-16be"
	EncodingWindows1252 = "windows-1252"
)

var encodings = []string{EncodingUTF8, EncodingUTF16, EncodingUTF16LE, EncodingUTF16BE, EncodingWindows1252}

// delimiters by the names that a spec may use.
var delimiters = map[string]byte{",": ',', ";": ';', "\t": '\t', "tab": '\t', "|": '|'}

// shape reads how the text of an input is laid out.
func (p *problems) shape(at string, doc inputDoc, in *Input) {
	if doc.Encoding != "" && !slices.Contains(encodings, doc.Encoding) {
		p.add(at+".encoding", "%q is not one of %s%s", doc.Encoding, strings.Join(encodings, ", "), didYouMean(doc.Encoding, encodings))
	}
	in.Encoding = doc.Encoding
	if doc.Delimiter != "" {
		var known bool
		if in.Delimiter, known = delimiters[doc.Delimiter]; !known {
			p.add(at+".delimiter", `%q is not one of "," ";" "|" tab`, doc.Delimiter)
		}
	}
	switch doc.Quote {
	case "", `"`:
	case "none":
		in.Unquoted = true
	default:
		p.add(at+".quote", `%q is not " or none`, doc.Quote)
	}
	if in.Format == FormatNDJSON && (doc.Delimiter != "" || doc.Quote != "") {
		p.add(at, "delimiter and quote are of csv, the format is ndjson")
	}
}

// document refuses keys that mean nothing, and keys without a value: neither may silently be a default.
func (p *problems) document(tree *yaml.Node) {
	if tree.Kind != yaml.DocumentNode || len(tree.Content) != 1 {
		return
	}
	root := tree.Content[0]
	p.keys("", root, specKeys)
	p.keys("metadata", child(root, "metadata"), metadataKeys)
	spec := child(root, "spec")
	p.keys("spec", spec, inputsKeys)
	for i, in := range items(child(spec, "inputs")) {
		at := fmt.Sprintf("spec.inputs[%d]", i)
		p.keys(at, in, inputKeys)
		for j, ev := range items(child(in, "events")) {
			p.keys(fmt.Sprintf("%s.events[%d]", at, j), ev, eventKeys)
		}
	}
}

func (p *problems) keys(at string, n *yaml.Node, known []string) {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, resolve(n.Content[i+1])
		loc := strings.TrimPrefix(at+"."+name, ".")
		switch {
		case n.Content[i].Tag == "!!merge":
		case !slices.Contains(known, name):
			p.add(loc, "is unknown%s; known here: %s", didYouMean(name, known), strings.Join(known, ", "))
		case value.Kind == yaml.ScalarNode && (value.Tag == "!!null" || value.Value == ""):
			p.add(loc, "is empty; give it a value, or leave the key out")
		}
	}
}

func child(n *yaml.Node, name string) *yaml.Node {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

func items(n *yaml.Node) []*yaml.Node {
	n = resolve(n)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
