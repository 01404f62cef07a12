package engine

import (
	"cmp"
	"flag"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/gohighlevel"
	"github.com/neuronx/engine/services/neuronx/cli"
	"github.com/neuronx/engine/services/neuronx/dev"
)

var update = flag.Bool("update", false, "write the list of published names again")

// TestPublishedNames_StayUntilARelease: dashboards, alerts, scripts and deployments of others name metrics, settings, flags, topics, groups
// and roles. A name that a release had and that is gone was renamed by a refactoring, unless somebody meant it: then the changelog says so
// and the list is written again, with `go test . -run TestPublishedNames -args -update`. New names need no entry before the next release.
func TestPublishedNames_StayUntilARelease(t *testing.T) {
	path := filepath.Join("testdata", "published.txt")
	now := publishedNames(t)
	if *update {
		text := "# Names that " + app.Release + " published, see published_test.go\n" + strings.Join(slices.Sorted(maps.Keys(now)), "\n") + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if !strings.Contains(first, " "+app.Release+" ") {
		t.Errorf("the list of published names is of another release than %s: write it again with -args -update", app.Release)
	}
	names := strings.Split(rest, "\n")
	for _, name := range names {
		if !now[name] {
			t.Errorf("%s is gone, which a release published; put it back, or say in CHANGELOG.md that it was renamed and write the list again with -args -update", name)
		}
	}
	if len(names) < 400 {
		t.Errorf("%d names are published: this test looks at the wrong thing", len(names))
	}
}

// publishedNames finds the names in the product: of metrics, database roles, topics, groups and variables as whole strings, of flags where they
// are declared.
func publishedNames(t *testing.T) map[string]bool {
	t.Helper()
	whole := regexp.MustCompile(`^(neuronx_[a-z0-9_]*[a-z0-9]|neuronx\.[a-z_.]*[a-z]|NEURONX_[A-Z0-9_]*[A-Z0-9])$`)
	names := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") || !strings.HasPrefix(s.path, "pkg/") && !strings.HasPrefix(s.path, "services/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && whole.MatchString(text) {
					names[text] = true
				}
			case *ast.CallExpr: // fs.StringVar(&x, "name", …)
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || len(n.Args) < 3 || !strings.HasSuffix(sel.Sel.Name, "Var") && !strings.HasSuffix(sel.Sel.Name, "VarP") {
					return true
				}
				if lit, ok := n.Args[1].(*ast.BasicLit); ok && lit.Kind == token.STRING && service(s.path) != "neuronx" {
					text, _ := strconv.Unquote(lit.Value)
					names[cmp.Or(service(s.path), "pkg")+" --"+text] = true
				}
			}
			return true
		})
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		names[cmd.CommandPath()] = true
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { names[cmd.CommandPath()+" --"+f.Name] = true })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(cli.Root(dev.Command()))
	adapter := pflag.NewFlagSet("", pflag.ContinueOnError) // its flags are declared where those of every adapter are
	gohighlevel.Config().Bind(adapter)
	adapter.VisitAll(func(f *pflag.Flag) { names["gohighlevel --"+f.Name] = true })
	return names
}
