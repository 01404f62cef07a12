package calendar

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocalTimesAreResolvedInOnePlace: time.Date has its own idea of gaps and overlaps, and time.LoadLocation and time.Local are the
// machine's. Only localSeconds calls time.Date, with UTC; parsing a text in a location is time.Date in another dress.
func TestLocalTimesAreResolvedInOnePlace(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	allowed := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			name := ""
			if f, ok := decl.(*ast.FuncDecl); ok {
				name = f.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "time" {
					return true
				}
				switch sel.Sel.Name {
				case "Date":
					if name != "localSeconds" {
						t.Errorf("%s calls time.Date; see Resolve", fset.Position(n.Pos()))
					}
					allowed++
				case "Local":
					if name != "checked" {
						t.Errorf("%s uses time.Local; see zone.Load", fset.Position(n.Pos()))
					}
				case "LoadLocation", "LoadLocationFromTZData":
					t.Errorf("%s calls time.%s; see zone.Load", fset.Position(n.Pos()), sel.Sel.Name)
				case "ParseInLocation", "Now", "Since", "Until":
					t.Errorf("%s calls time.%s", fset.Position(n.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
	if allowed != 1 {
		t.Errorf("time.Date stands in %d places, want 1", allowed)
	}
}
