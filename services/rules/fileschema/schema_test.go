package fileschema

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/rulefile"
)

var update = flag.Bool("update", false, "write docs/schema")

const folder = "../../../docs/schema/"

func TestFiles_AreThoseOfTheDocuments(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if *update {
			if err := os.WriteFile(folder+name, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(folder + name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/schema/%s is not what is generated (%v); run go generate ./services/rules/fileschema", name, err)
		}
	}
	there, err := filepath.Glob(folder + "*")
	if err != nil || len(there) != len(files) {
		t.Errorf("docs/schema has %v (%v), want %v", there, err, slices.Sorted(maps.Keys(files)))
	}
}

// compiled are the schemas by kind.
func compiled(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*jsonschema.Schema{}
	for _, kind := range []string{"Rule", "Workflow", "ContactPolicy", "Lookup", "Calendar"} {
		name := strings.ToLower(kind) + ".schema.json"
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		if out[kind], err = c.Compile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// valid validates a text by the schema of its kind.
func valid(schemas map[string]*jsonschema.Schema, text string) error {
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return fmt.Errorf("read YAML: %w", err)
	}
	top, _ := doc.(map[string]any)
	kind, _ := top["kind"].(string)
	schema := schemas[kind]
	if schema == nil {
		return fmt.Errorf("no schema of kind %q", kind)
	}
	return schema.Validate(doc)
}

func TestSchemas_TakeEveryExample(t *testing.T) {
	schemas := compiled(t)
	seen := 0
	for _, pattern := range []string{"../flow/testdata/*.yaml", "../../neuronx/demo/*/*.yaml", "../../../examples/library/*/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.yaml") {
				continue // tests of rules are no files of a bundle
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if err := valid(schemas, string(text)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d examples, want at least 40", seen)
	}
}

// TestSchemas_RefuseWhatIsMisspelt: what Parse refuses for a key or a word, the schema refuses.
func TestSchemas_RefuseWhatIsMisspelt(t *testing.T) {
	schemas := compiled(t)
	text, err := os.ReadFile("../flow/testdata/speed-to-lead.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new string }{
		{"concurrency:", "concurency:"}, {"on_conflict: replace", "on_conflict: replaces"}, {"policy: after_end", "policy: afterend"}, {"status: completed", "status: complete"},
		{"- sla: {wait: {for: PT5M, counting: office}}", "- sla: {wait: {counting: office}}"}, {"- sla: {wait:", "- sla: {wiat:"}, {"- sla: {wait:", "- SLA: {wait:"},
		{"- sla: {wait:", "- sla: {set: {x: 1}, wait:"}, {"errors: [command/*, timeout]", "errors: [comand/*]"}, {"then: cancelled}", "then: cancel}"},
		{"for: {each: round,", "for: {eech: round,"}, {"call: crm.message.send", "call: http"}, {"with: {channel", "without: {channel"}, {"assign: {pool: sales-team, as: owner", "assign: {pool: sales-team, es: owner"},
		{"body: {text:", "body: {txt:"}, {"on: [lead.created]", "on: []"}, {"key: data.lead_id", "kee: data.lead_id"}, {"PT2H", "2 hours"},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Fatalf("the example has no %q", c.old)
		}
		left := rulefile.MaxExpressions
		_, problems := flow.Parse("w.yaml", changed, flow.Options{Edition: flow.Edition, Left: &left, Reach: func(string) string { return "" }})
		if problems.Err() == nil {
			t.Errorf("%s: Parse takes it", c.new)
		}
		if valid(schemas, changed) == nil {
			t.Errorf("%s: the schema takes it", c.new)
		}
	}
}

// TestSchemas_HaveTheKeysOfTheReaders compares the objects of the schemas with the calls of rulefile.Reader.Entries that read them: both
// list the same keys, and need the same ones.
func TestSchemas_HaveTheKeysOfTheReaders(t *testing.T) {
	read := map[string]bool{}
	for _, pattern := range []string{"../flow/*.go", "../ruleset/parse.go", "../ruleset/assign.go", "../rulefile/*.go", "../tables/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if keys, ok := entriesOf(n); ok {
					read[keys] = true
				}
				return true
			})
		}
	}
	described := map[string]bool{}
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range files {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		collect(doc, described)
	}
	if len(read) < 15 {
		t.Fatalf("%d calls found: this test looks at the wrong thing", len(read))
	}
	for keys := range read {
		if !described[keys] {
			t.Errorf("no object of the schemas has the keys that are read: %s", keys)
		}
	}
	for keys := range described {
		if !read[keys] {
			t.Errorf("nothing reads an object of the schemas with the keys %s", keys)
		}
	}
}

// entriesOf is what a call of Entries reads: the keys that must be there, and all. "one", "any" and "all" are named by constants.
func entriesOf(n ast.Node) (string, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 4 {
		return "", false
	}
	if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Entries" {
		return "", false
	}
	needed, ok := call.Args[2].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	count, err := strconv.Atoi(needed.Value)
	if err != nil {
		return "", false
	}
	var keys []string
	for _, a := range call.Args[3:] {
		switch a := a.(type) {
		case *ast.BasicLit:
			s, err := strconv.Unquote(a.Value)
			if err != nil {
				return "", false
			}
			keys = append(keys, s)
		case *ast.CallExpr: // string(One)
			keys = append(keys, strings.ToLower(a.Args[0].(*ast.Ident).Name))
		default:
			return "", false // the keys of a task, which depend on what it does
		}
	}
	return written(keys[:count], keys), true
}

func written(needed, keys []string) string {
	needed, keys = slices.Clone(needed), slices.Clone(keys)
	slices.Sort(needed)
	slices.Sort(keys)
	return fmt.Sprintf("%s (needed: %s)", strings.Join(keys, ", "), strings.Join(needed, ", "))
}

// collect finds the objects of a schema that name their keys, but for tasks.
func collect(n any, into map[string]bool) {
	switch n := n.(type) {
	case []any:
		for _, x := range n {
			collect(x, into)
		}
	case map[string]any:
		properties, is := n["properties"].(map[string]any)
		if _, task := properties["fork"]; is && !task {
			var needed []string
			required, _ := n["required"].([]any)
			for _, r := range required {
				needed = append(needed, r.(string))
			}
			into[written(needed, slices.Collect(maps.Keys(properties)))] = true
		}
		for _, x := range n {
			collect(x, into)
		}
	}
}
