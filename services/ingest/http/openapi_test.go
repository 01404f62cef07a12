package httpin

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"mime"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/neuronx/engine/pkg/event"
)

// contract is the served document, and a validator of the schemas in it.
type contract struct {
	Paths   map[string]map[string]operation
	whole   any
	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema // compiled, by pointer
}

type operation struct {
	RequestBody struct{ Content map[string]media }
	Responses   map[string]struct {
		Content map[string]media
		Codes   []event.Code `json:"x-codes"`
	}
}

type media struct {
	Example  json.RawMessage
	Examples map[string]struct{ Value json.RawMessage }
}

func readContract(t testing.TB) *contract {
	t.Helper()
	var c contract
	if err := json.Unmarshal(openAPI, &c); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.whole, err = jsonschema.UnmarshalJSON(bytes.NewReader(openAPI)); err != nil {
		t.Fatal(err)
	}
	c.schemas = map[string]*jsonschema.Schema{}
	return &c
}

func (c *contract) schema(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.schemas[pointer]; s != nil {
		return s
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", c.whole); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile(pointer)
	if err != nil {
		t.Fatal(err)
	}
	c.schemas[pointer] = s
	return s
}

// check validates a JSON text against the schema that path leads to in the document.
func (c *contract) check(t testing.TB, text []byte, path ...string) {
	t.Helper()
	pointer := "openapi.json#"
	for _, p := range path {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B").Replace(p)
	}
	schema := c.schema(t, pointer)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%s: %.300s: %v", pointer, text, err)
	}
}

// holds checks that an answer is one that the document promises.
func (c *contract) holds(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	if r.Method == http.MethodHead {
		return
	}
	path := r.URL.Path
	if id, ok := strings.CutPrefix(path, "/v1/events/"); ok && id != "" {
		path = "/v1/events/{id}"
	}
	media, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Errorf("%s %s: content type %v", r.Method, path, err)
		return
	}
	ops, known := c.Paths[path]
	if !known { // what answers for every other path
		if w.Code != http.StatusNotFound {
			t.Errorf("%s is answered %d and not in the document", path, w.Code)
		}
		c.check(t, w.Body.Bytes(), "components", "schemas", "Problem")
		return
	}
	method := strings.ToLower(r.Method)
	if _, there := ops[method]; !there { // the refusal of a method stands with the one that is there
		for method = range ops {
		}
	}
	status := strconv.Itoa(w.Code)
	answer, there := ops[method].Responses[status]
	if _, typed := answer.Content[media]; !there || !typed {
		t.Errorf("%s %s: %s as %s is not in the document: %.200s", method, path, status, media, w.Body)
		return
	}
	c.check(t, w.Body.Bytes(), "paths", path, method, "responses", status, "content", media, "schema")
	if media == "application/problem+json" {
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || !slices.Contains(answer.Codes, p.Code) {
			t.Errorf("%s %s: %s with the code %q is not in the document (%v)", method, path, status, p.Code, err)
		}
	}
}

func TestOpenAPI_ExamplesFitTheirSchemas(t *testing.T) {
	c := readContract(t)
	n := 0
	each := func(m map[string]media, path ...string) {
		for name, m := range m {
			at := append(slices.Clone(path), "content", name, "schema")
			if m.Example != nil {
				n++
				c.check(t, m.Example, at...)
			}
			for _, e := range m.Examples {
				n++
				c.check(t, e.Value, at...)
			}
		}
	}
	for path, ops := range c.Paths {
		for method, op := range ops {
			each(op.RequestBody.Content, "paths", path, method, "requestBody")
			for status, r := range op.Responses {
				each(r.Content, "paths", path, method, "responses", status)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d examples", n)
	}
}

// TestOpenAPI_NamesEveryRouteAndEveryCodeOfTheHandlers reads the handlers' source: the routes that they are mounted at and the codes
// that they make problems of. The answers of all other tests are held against the document when they are given.
func TestOpenAPI_NamesEveryRouteAndEveryCodeOfTheHandlers(t *testing.T) {
	c := readContract(t)
	named := map[event.Code]map[string]bool{}
	for _, ops := range c.Paths {
		for _, op := range ops {
			for status, r := range op.Responses {
				for _, code := range r.Codes {
					if named[code] == nil {
						named[code] = map[string]bool{}
					}
					named[code][status] = true
				}
			}
		}
	}
	values := codeValues(t)
	values["codeInternal"] = codeInternal
	made, routes := map[event.Code]bool{}, map[string]bool{}
	for _, file := range sources(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			switch fn := call.Fun.(type) {
			case *ast.Ident:
				if code, ok := values[nameOf(call.Args[0])]; ok && fn.Name == "problem" {
					made[code] = true
				}
			case *ast.SelectorExpr:
				if lit, ok := call.Args[0].(*ast.BasicLit); ok && nameOf(fn.X) == "mux" && fn.Sel.Name == "Handle" {
					routes[strings.Trim(lit.Value, `"`)] = true
				}
			}
			return true
		})
	}
	delete(routes, "/") // everything else
	if len(made) < 12 || len(routes) < 3 {
		t.Fatalf("the source was not understood: codes %v, routes %v", made, routes)
	}
	for code := range made {
		if status := strconv.Itoa(statusOf(code)); !named[code][status] {
			t.Errorf("the handlers answer %s with %s, and the document has no such answer", status, code)
		}
	}
	for code, statuses := range named {
		for status := range statuses { // 422 is also what the sequencer's refusals get, whatever their code
			if want := strconv.Itoa(statusOf(code)); status != want && status != "422" {
				t.Errorf("the document has %s for %s, the handlers %s", status, code, want)
			}
		}
	}
	for path := range c.Paths {
		if !routes[path] {
			t.Errorf("%s is in the document and has no handler", path)
		}
	}
	for path := range routes {
		if c.Paths[path] == nil {
			t.Errorf("%s has a handler and is not in the document", path)
		}
	}
}

func sources(t *testing.T, dir string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// codeValues maps the names of the codes' constants to the codes.
func codeValues(t *testing.T) map[string]event.Code {
	t.Helper()
	out := map[string]event.Code{}
	for _, f := range sources(t, "../../../pkg/event") {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 && strings.HasPrefix(spec.Names[0].Name, "Code") {
				if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
					out[spec.Names[0].Name] = event.Code(strings.Trim(lit.Value, `"`))
				}
			}
			return true
		})
	}
	return out
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
