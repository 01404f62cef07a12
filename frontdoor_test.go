package engine

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/app"
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

// TestCommentsStandAlone refuses citations of papers that do not ship: numbered findings and decisions (H or K with two
// digits) and papers by their names in capitals. A comment says the reason itself.
func TestCommentsStandAlone(t *testing.T) {
	texts := documents(t)
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			texts[s.path] += group.Text() + "\n"
		}
	}
	for _, pattern := range []string{"pkg/*/migrations/*.sql", "services/*/migrations/*.sql", "pkg/*/*/migrations/*.sql", "deploy/*/*.sh", "deploy/*/*.yml", "services/*/*/*.yaml", "pkg/*/*/*.yaml", ".ci/run", "Makefile"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			texts[p] = string(b)
		}
	}
	for p, text := range texts {
		for _, m := range citation.FindAllString(text, -1) {
			t.Errorf("%s cites %q, which does not ship: say the reason", p, m)
		}
	}
}

var citation = regexp.MustCompile(`\b[HK]\d{2}\b|\b(?:REVIEW|DESIGN|REPLAY|STYLE|PERFORMANCE)(?:\.md)? (?:§ ?)?\d+[a-z]?\b|` +
	`\b(?:REVIEW|REPLAY|STYLE|RELIABILITY|PEERS|AMENDMENTS|DECISIONS|CONVENTIONS)(?:-\d)?(?:\.md)?\b`)

// TestCitation_IsToldFromOrdinaryWords holds the pattern of TestCommentsStandAlone against both.
func TestCitation_IsToldFromOrdinaryWords(t *testing.T) {
	for _, s := range []string{"(H09)", "as K15 says", "is REVIEW 4b: a member", "(DESIGN 6)", "see RELIABILITY", "REPLAY.md", "DESIGN.md 3"} {
		if !citation.MatchString(s) {
			t.Errorf("%q cites and is not found", s)
		}
	}
	for _, s := range []string{"see DESIGN.md", "KIP-447", "HTTP 404", "I10", "franz-go #1484", "RFC 9457", "KAFKA-19999", "SHA-256", "P99", "an H2 heading"} {
		if m := citation.FindString(s); m != "" {
			t.Errorf("%q is no citation, and %q is found", s, m)
		}
	}
}

// TestRelease_IsTheChangelogsNewest: what `neuronx version` says has a section that tells what is in it.
func TestRelease_IsTheChangelogsNewest(t *testing.T) {
	b, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^## (v\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$`).FindSubmatch(b)
	if m == nil || string(m[1]) != app.Release {
		t.Errorf("the newest release in CHANGELOG.md is %q, app.Release is %s", m, app.Release)
	}
}
