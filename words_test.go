package engine

import (
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// houseWords were used for things that the field has a word for; GLOSSARY.md explains these. Words that are ordinary English as well,
// such as place, session and nobody, are left to reviewers.
var houseWords = map[string]string{
	"anew": "again", "beside": "besides, next to, alongside or during", "desk": "decider or waitlist", "desks": "deciders or waitlists",
	"door": "HTTP endpoint or ingress", "doors": "HTTP endpoints or ingress", "settle": "resolve or wait", "settled": "resolved or idle",
	"settles": "resolves or waits", "settling": "resolving or waiting", "whoever": "the caller, the reader, the member",
	"world": "environment", "worlds": "environments",
}

// published are strings that hold such a word and stay as they are: names in a format, a flag.
var published = regexp.MustCompile(`--anew\b|^"anew"$|json:"beside,`)

// TestWordsAreTheGlossarys looks at identifiers and comments, at the strings of the product, and at the documents.
func TestWordsAreTheGlossarys(t *testing.T) {
	spelled := regexp.MustCompile(`(?i)\b(` + strings.Join(slices.Sorted(maps.Keys(houseWords)), "|") + `)\b`)
	part := regexp.MustCompile(`[A-Z]?[a-z]+`) // of an identifier in camel case
	text := func(where, what, s string) {
		for _, w := range spelled.FindAllString(published.ReplaceAllString(s, ""), -1) {
			t.Errorf("%s: %s has the word %q; write %s", where, what, w, houseWords[strings.ToLower(w)])
		}
	}
	for _, s := range sources(t) {
		if s.path == "words_test.go" {
			continue
		}
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				text(s.path, "a comment", c.Text)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				for _, p := range part.FindAllString(n.Name, -1) {
					if instead := houseWords[strings.ToLower(p)]; instead != "" {
						t.Errorf("%s: the identifier %s has the word %q; write %s", s.path, n.Name, p, instead)
					}
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && !strings.HasSuffix(s.path, "_test.go") {
					text(s.path, "a string", n.Value)
				}
			}
			return true
		})
	}
	for doc, s := range documents(t) {
		if doc != "GLOSSARY.md" && doc != "CHANGELOG.md" {
			text(doc, "the document", s)
		}
	}
}
