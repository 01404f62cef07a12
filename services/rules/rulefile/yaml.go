package rulefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"
)

// Limits of what is read.
const (
	MaxFile        = 64 << 10 // bytes of one file
	MaxExpressions = 10_000   // of all files of a bundle
	maxProblems    = 100      // a file of nonsense need not be told everything
	maxYAMLDepth   = 16
	maxTaskDepth   = 64 // of a workflow, whose tasks stand in lists of maps in tasks
)

// Reader reads one file and collects its problems.
type Reader struct {
	File      string
	Rule      string // its name, once it is known
	Text      string
	Edition   expr.Edition
	Variables []string // that expressions see
	Templates bool     // {text: "Hi ${vars.name}"} stands for an expression
	Left      *int     // expressions that the bundle may still have
	Problems  Problems
	Locations map[*expr.Program]Location
	Broken    []string // keys of the map that is being read whose expressions do not compile

	most int // levels that the document may have
}

// Problem notes a problem of a line; 0 is the whole file.
func (r *Reader) Problem(line int, code, format string, args ...any) {
	r.ProblemAt(line, 0, code, format, args...)
}

// ProblemAt notes a problem of a line and column; 0 is the whole line.
func (r *Reader) ProblemAt(line, column int, code, format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, Problem{File: r.File, Line: line, Column: column, Rule: r.Rule, Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// Document reads the one YAML document of a file as a tree, after everything that a hostile text could do to the parser or to a
// reader's eye was refused: sizes, tabs, aliases (one kilobyte of them can stand for gigabytes), tags, depth, repeated keys.
func (r *Reader) Document(text []byte) *yaml.Node {
	switch {
	case len(text) > MaxFile:
		r.Problem(0, CodeTooLarge, "the file has %d bytes, more than %d; split it, one rule a file", len(text), MaxFile)
		return nil
	case !utf8.Valid(text):
		r.Problem(0, CodeInvalidYAML, "the file is not UTF-8; save it as UTF-8")
		return nil
	}
	if r.tabs(text) {
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		r.Problem(0, CodeEmpty, "the file is empty; begin with apiVersion: neuronx/v1")
		return nil
	} else if err != nil {
		r.syntax(err)
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		r.Problem(second.Line, CodeDocuments, "a second document begins here; write one rule a file")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	if len(doc.Content) != 1 {
		return nil
	}
	if r.most = maxYAMLDepth; Kind(doc.Content[0]) == "Workflow" {
		r.most = maxTaskDepth
	}
	if !r.sane(doc.Content[0], 0) {
		return nil
	}
	return doc.Content[0]
}

func (r *Reader) tabs(text []byte) bool {
	for i, line := range bytes.Split(text, []byte("\n")) {
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if bytes.IndexByte(indent, '\t') >= 0 && len(bytes.TrimSpace(line)) > 0 {
			r.Problem(i+1, CodeTab, "the line is indented by a tab; indent by spaces")
			return true
		}
	}
	return false
}

func (r *Reader) syntax(err error) {
	line, msg := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits by the pattern
		msg = m[2]
	}
	r.Problem(line, CodeInvalidYAML, "not YAML: %s", msg)
}

// sane refuses what a rule file has no use for, in the whole tree.
func (r *Reader) sane(n *yaml.Node, depth int) bool {
	ok := true
	switch {
	case depth > r.most:
		r.Problem(n.Line, CodeTooLarge, "nested more than %d deep", r.most)
		return false
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.Problem(n.Line, CodeAnchor, "anchors and aliases are not read; write the value out")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.Problem(n.Line, CodeAnchor, "the tag %s is not read; write the value without it", n.Tag)
		ok = false
	case n.Kind == yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Tag == "!!merge" {
				r.Problem(k.Line, CodeAnchor, "the merge key << is not read; write the keys out")
				ok = false
				continue
			}
			if first, twice := seen[k.Value]; twice && k.Kind == yaml.ScalarNode {
				r.Problem(k.Line, CodeDuplicateKey, "the key %q stands already in line %d; keep one", k.Value, first)
				ok = false
			}
			seen[k.Value] = k.Line
		}
	}
	for _, c := range n.Content {
		ok = r.sane(c, depth+1) && ok
	}
	return ok
}

// Entries reads a map whose keys must be among known, and reports what is missing of the first `needed` of them.
func (r *Reader) Entries(n *yaml.Node, where string, needed int, known ...string) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		r.Problem(n.Line, CodeWrongKind, "%s must be a map with the keys %s", where, strings.Join(known, ", "))
		return nil
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		found := false
		for _, k := range known {
			found = found || k == key
		}
		if !found {
			r.Problem(n.Content[i].Line, CodeUnknownKey, "%s has no key %q; known are %s", where, key, strings.Join(known, ", "))
			continue
		}
		out[key] = n.Content[i+1]
	}
	for _, k := range known[:needed] {
		if out[k] == nil {
			r.Problem(n.Line, CodeMissingKey, "%s needs the key %q", where, k)
		}
	}
	return out
}

// Scalar reads a scalar that YAML takes for text.
func (r *Reader) Scalar(n *yaml.Node, where string) (string, bool) {
	if n == nil {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.Problem(n.Line, CodeWrongKind, "%s must be a text", where)
		return "", false
	}
	return n.Value, true
}

// Texts reads a list of texts.
func (r *Reader) Texts(n *yaml.Node, where string, most int) ([]string, bool) {
	if n == nil {
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		r.Problem(n.Line, CodeWrongKind, "%s must be a list, as in [a, b]", where)
		return nil, false
	}
	if len(n.Content) == 0 {
		r.Problem(n.Line, CodeEmpty, "%s is an empty list; name at least one", where)
		return nil, false
	}
	if len(n.Content) > most {
		r.Problem(n.Line, CodeTooLarge, "%s has %d entries, more than %d", where, len(n.Content), most)
		return nil, false
	}
	var out []string
	ok := true
	for _, c := range n.Content {
		s, is := r.Scalar(c, "each entry of "+where)
		ok = ok && is
		out = append(out, s)
	}
	return out, ok
}
