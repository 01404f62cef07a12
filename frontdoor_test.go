package engine

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentsNameTestsThatExist finds every `go test …` of the documents: its packages exist, and its -run finds something there.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	names := map[string][]string{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz|Benchmark)\w*)\(`)
	for _, s := range sources(t) {
		for _, m := range declared.FindAllStringSubmatch(s.text, -1) {
			names[s.dir] = append(names[s.dir], m[1])
		}
	}
	command := regexp.MustCompile("(?m)(?:`|^ {4})(?:[^`\n]*&& cd ([a-z0-9/]+) && )?go test ([^`\n]*)")
	found := 0
	for doc, text := range documents(t) {
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(m[2])
			run := ""
			if i := slices.Index(words, "-run"); i >= 0 && i+1 < len(words) {
				run = strings.Trim(words[i+1], `'"`)
			}
			pattern, err := regexp.Compile(run)
			if err != nil {
				t.Errorf("%s: go test %s: %v", doc, m[2], err)
				continue
			}
			for _, w := range words {
				if w != "." && !strings.HasPrefix(w, "./") || strings.Contains(w, "...") {
					continue
				}
				found++
				dir := path.Join(m[1], w)
				if len(names[dir]) == 0 {
					t.Errorf("%s: go test %s: %s has no tests", doc, m[2], dir)
				} else if !slices.ContainsFunc(names[dir], pattern.MatchString) {
					t.Errorf("%s: go test %s: no test of %s matches %q", doc, m[2], dir, run)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d commands found: this test looks at the wrong thing", found)
	}
}

// TestWorkflowsPinTheirActions refuses an action by tag, which can be moved.
func TestWorkflowsPinTheirActions(t *testing.T) {
	files, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	pinned := regexp.MustCompile(`^[\w-]+/[\w./-]+@[0-9a-f]{40}$`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		uses := regexp.MustCompile(`(?m)uses:\s*(\S+)`).FindAllStringSubmatch(string(b), -1)
		if len(uses) == 0 {
			t.Errorf("%s uses no action: this test looks at the wrong thing", f)
		}
		for _, m := range uses {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s uses %s: name the full commit", f, m[1])
			}
		}
	}
}
