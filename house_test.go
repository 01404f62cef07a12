// Package engine holds the house rules of the repository as tests: where packages may import from, what every file owes its
// reader, and that every path, make target and verb that the documents name exists.
package engine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/cli"
	"github.com/neuronx/engine/services/neuronx/dev"
)

const module = "github.com/neuronx/engine"

// maxLines bounds a file that is not a test, so that it can be read in one sitting.
const maxLines = 420

type source struct {
	path string // slash-separated, from the root
	dir  string
	text string
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, b, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{filepath.ToSlash(p), filepath.ToSlash(filepath.Dir(p)), string(b), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// service returns the services/<name> that a path lies in, or "".
func service(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) > 1 && parts[0] == "services" {
		return parts[1]
	}
	return ""
}

// named are packages that the rules here know by their names.
var named = map[string]bool{"os": true, "fmt": true, "log": true, "log/slog": true, "net/http": true, "time": true, "testing": true}

func TestImportWallsHold(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			imp := strings.Trim(spec.Path.Value, `"`)
			test := strings.HasSuffix(s.path, "_test.go")
			inside := strings.TrimPrefix(imp, module+"/")
			switch {
			case spec.Name != nil && spec.Name.Name != "_" && named[imp]:
				t.Errorf("%s imports %s as %s; the rules here look for its own name", s.path, imp, spec.Name.Name)
			case strings.HasPrefix(imp, "github.com/twmb/franz-go") && !strings.HasPrefix(s.path, "pkg/kafka") &&
				!strings.HasPrefix(s.path, "e2e/") && !strings.HasPrefix(s.path, "examples/"):
				t.Errorf("%s imports %s; only pkg/kafka may", s.path, imp)
			case strings.HasPrefix(s.path, "pkg/") && strings.HasPrefix(inside, "services/") && !(test && inside == "services/standin"):
				t.Errorf("%s imports %s; a library never imports a service, and its tests only the CRM to test against", s.path, imp)
			case service(s.path) != "" && service(inside) != "" && service(s.path) != service(inside) && service(s.path) != "neuronx" && !test:
				t.Errorf("%s imports %s; a service never imports another", s.path, imp)
			case s.dir == "pkg/event" && strings.Contains(imp, ".") && imp != "github.com/google/uuid" && inside != "pkg/event":
				t.Errorf("%s imports %s; the nouns import the standard library only", s.path, imp)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if n := strings.Count(s.text, "\n"); n > maxLines && !strings.HasSuffix(s.path, "_test.go") {
			t.Errorf("%s has %d lines, a file has at most %d; split it", s.path, n, maxLines)
		}
	}
}

// maxFiles bounds the files of a folder that are not tests, so that a newcomer finds the right one by its name.
const maxFiles = 15

var manyFiles = regexp.MustCompile(`(?m)^// More than fifteen files: \S`)

func TestFoldersHaveFewFilesOrSayWhy(t *testing.T) {
	files, reasons := map[string]int{}, map[string]bool{}
	for _, s := range sources(t) {
		if !strings.HasSuffix(s.path, "_test.go") {
			files[s.dir]++
		}
		if filepath.Base(s.path) == "doc.go" {
			reasons[s.dir] = manyFiles.MatchString(s.text)
		}
	}
	for dir, n := range files {
		switch {
		case n > maxFiles && !reasons[dir]:
			t.Errorf("%s has %d files, more than %d; make a package of those that belong together, or say why not in a line of its doc.go that begins with %q",
				dir, n, maxFiles, "// More than fifteen files:")
		case n <= maxFiles && reasons[dir]:
			t.Errorf("%s has %d files, and its doc.go gives a reason for more than %d; take that out", dir, n, maxFiles)
		}
	}
}

// TestEveryHTTPServerIsGuarded: no http.Server of the product serves a handler that httpguard does not stand before.
func TestEveryHTTPServerIsGuarded(t *testing.T) {
	found := 0
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") || strings.HasPrefix(s.path, "e2e/") || strings.HasPrefix(s.path, "examples/") {
			continue
		}
		seen := map[ast.Node]bool{} // types of servers that were looked at
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.StarExpr: // the type of a pointer makes no server
				seen[n.X] = true
			case *ast.SelectorExpr:
				if selector(n) == "http.Server" && !seen[n] {
					t.Errorf("%s makes an http.Server without its Handler, which is httpguard.New(…)", s.path)
				}
			case *ast.CallExpr:
				if name := selector(n.Fun); name == "http.ListenAndServe" || name == "http.Serve" || name == "http.ListenAndServeTLS" || name == "http.ServeTLS" {
					t.Errorf("%s calls %s, which nothing guards; see pkg/httpguard", s.path, name)
				}
			case *ast.CompositeLit:
				if selector(n.Type) != "http.Server" {
					return true
				}
				found++
				seen[n.Type] = true
				for _, el := range n.Elts {
					kv, ok := el.(*ast.KeyValueExpr)
					if !ok {
						continue
					}
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Handler" {
						if call, ok := kv.Value.(*ast.CallExpr); ok && selector(call.Fun) == "httpguard.New" {
							return true
						}
					}
				}
				t.Errorf("%s has an http.Server whose Handler is not httpguard.New(…)", s.path)
			}
			return true
		})
	}
	if found < 3 {
		t.Errorf("%d HTTP servers found: this test looks at the wrong thing", found)
	}
}

// selector is pkg.Name of an expression, or "".
func selector(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if pkg, ok := sel.X.(*ast.Ident); ok {
			return pkg.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

// TestOutputGoesThroughOneWriter: what a person's terminal or a log gets was escaped by safetext. The standard streams are named where
// they are wrapped, and nowhere else.
func TestOutputGoesThroughOneWriter(t *testing.T) {
	wrapped := map[string]bool{
		"services/neuronx/cmd/main.go":              true, // cli.Main wraps them
		"pkg/app/app.go":                            true, // run wraps them
		"pkg/app/admin.go":                          true, // wrapped there
		"pkg/postgres/postgrestest/postgrestest.go": true, // tests only
	}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") || strings.HasPrefix(s.path, "e2e/") || strings.HasPrefix(s.path, "examples/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				name := selector(n)
				if (name == "os.Stdout" || name == "os.Stderr") && !wrapped[s.path] || name == "slog.Default" || name == "log.Default" {
					t.Errorf("%s uses %s; see pkg/safetext", s.path, name)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "println" || id.Name == "print") {
					t.Errorf("%s calls %s; see pkg/safetext", s.path, id.Name)
				}
				switch name := selector(n.Fun); name {
				case "fmt.Print", "fmt.Printf", "fmt.Println", "log.Print", "log.Printf", "log.Println", "log.Fatal", "log.Fatalf", "slog.Debug", "slog.Info", "slog.Warn", "slog.Error", "slog.Log",
					"slog.DebugContext", "slog.InfoContext", "slog.WarnContext", "slog.ErrorContext":
					t.Errorf("%s calls %s; see pkg/safetext", s.path, name)
				case "slog.NewTextHandler", "slog.NewJSONHandler":
					if s.path != "pkg/app/app.go" && s.path != "services/neuronx/cli/cli.go" {
						t.Errorf("%s makes a handler of its own for logs; app.NewLogger escapes", s.path)
					}
				}
			}
			return true
		})
	}
}

// TestPlantedBugsAreNotInTheProduct: they are patches in e2e/seeds, for which the product has no hook.
func TestPlantedBugsAreNotInTheProduct(t *testing.T) {
	hook := regexp.MustCompile(`(?m)^//go:build .*\bseed_`)
	for _, s := range sources(t) {
		if m := hook.FindString(s.text); m != "" {
			t.Errorf("%s has a hook for a planted bug, %s; see e2e/seeds", s.path, m)
		}
	}
}

// TestDeadLettersHaveOneWireForm: the names of the headers that they add are in pkg/event. Tests, and e2e from outside, write them out, so
// that a changed name is found.
func TestDeadLettersHaveOneWireForm(t *testing.T) {
	names := regexp.MustCompile("[\"`](nx_|__connect\\.)[^\"`]*[\"`]")
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") || strings.HasPrefix(s.path, "e2e/") || s.path == "pkg/event/deadletter.go" {
			continue
		}
		if m := names.FindString(s.text); m != "" {
			t.Errorf("%s writes out %s; see pkg/event/deadletter.go", s.path, m)
		}
	}
}

// TestLogsNameAnErrorErr: one key, so that one query finds what went wrong in every process.
func TestLogsNameAnErrorErr(t *testing.T) {
	levels := map[string]bool{"Debug": true, "Info": true, "Warn": true, "Error": true, "DebugContext": true, "InfoContext": true, "WarnContext": true, "ErrorContext": true}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			from := 1
			switch {
			case ok && (selector(sel) == "slog.Any" || selector(sel) == "slog.String" || sel.Sel.Name == "With"):
				from = 0
			case !ok || !levels[sel.Sel.Name] || len(call.Args) < 3:
				return true
			}
			for _, arg := range call.Args[min(from, len(call.Args)):] {
				if key, ok := arg.(*ast.BasicLit); ok && key.Value == `"error"` {
					t.Errorf("%s logs an error under the key \"error\"; the key is \"err\"", s.path)
				}
			}
			return true
		})
	}
}

func TestNothingIsLeftForLater(t *testing.T) {
	words := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	sleeps := regexp.MustCompile(`\btime\.Sl` + `eep\b`)
	skips := regexp.MustCompile(`\b(t|tb|b|f)\.Sk` + `ip`)
	bubble := regexp.MustCompile(`(?m)^\s+"testing/synctest"$|^//go:build .*\bsynctests\b`) // where time is not the machine's
	elsewhere := regexp.MustCompile(`\.\./sha` + `red|/wo` + `rk/`)
	for _, s := range sources(t) {
		for what, re := range map[string]*regexp.Regexp{"a note for later": words, "a path outside the project": elsewhere} {
			if m := re.FindString(s.text); m != "" {
				t.Errorf("%s has %s: %s", s.path, what, m)
			}
		}
		if strings.HasSuffix(s.path, "_test.go") {
			if skips.MatchString(s.text) && s.path != "e2e/soak_test.go" { // which runs for as long as it is asked to, or says that it was not
				t.Errorf("%s skips a test", s.path)
			}
			if sleeps.MatchString(s.text) && !bubble.MatchString(s.text) {
				t.Errorf("%s sleeps in a test", s.path)
			}
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
		}
	}
}

func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "schemas/*.md", "deploy/*.md", "deploy/*/*.md", ".github/*.md", ".github/*/*.md", ".github/*/*.yml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			out[p] = string(b)
		}
	}
	return out
}

// TestDocumentsNameVerbsThatExist finds every `neuronx verb …` and every indented neuronx command in the documents among the tool's
// commands and flags.
func TestDocumentsNameVerbsThatExist(t *testing.T) {
	root := cli.Root(dev.Command())
	line := regexp.MustCompile("(?m)(?:`|^ {4})neuronx ((?:[a-z]+(?:-[a-z]+)* ?)+)([^`\n]*)")
	flag := regexp.MustCompile(`--([a-z][a-z-]*)`)
	for doc, text := range documents(t) {
		for _, m := range line.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(m[1])
			cmd, rest, err := root.Find(words)
			if err != nil || cmd == root || (cmd.HasSubCommands() && len(rest) > 0) {
				t.Errorf("%s names neuronx %s, which is no command", doc, m[1])
				continue
			}
			for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
				if cmd.Flags().Lookup(f[1]) == nil && cmd.InheritedFlags().Lookup(f[1]) == nil {
					t.Errorf("%s gives neuronx %s the flag --%s, which it does not have", doc, m[1], f[1])
				}
			}
		}
	}
}

func TestDocumentsNameWhatExists(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	quoted := regexp.MustCompile("(?m)(?:`|^ {4}|^ *- run: )((?:\\./)?(?:pkg|services|schemas|deploy|docs|e2e|examples|\\.ci|\\.github)/[A-Za-z0-9_./-]*)(?:[\\s`]|$)")
	target := regexp.MustCompile("(?m)(?:`|^ {4}|&& |^ *- run: )make ([a-z0-9]+)")
	for doc, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", doc, m[1])
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s names %s, which does not exist", doc, m[1])
			}
		}
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which is no target", doc, m[1])
			}
		}
	}
}
