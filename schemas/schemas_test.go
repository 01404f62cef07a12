package schemas_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/schemas"
)

var update = flag.Bool("update", false, "write the golden records of event types that have none")

// golden is one record of one event type: what producers send, what lies in Kafka, what people see.
type golden struct {
	Input    json.RawMessage `json:"input"`
	Body     string          `json:"body"` // hex
	Rendered json.RawMessage `json:"rendered"`
}

func catalogue(t *testing.T) map[string]*avro.Schema {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	byType := map[string]*avro.Schema{}
	for _, f := range files {
		for _, problem := range avro.Lint(f.Path, f.Text) {
			t.Error(problem)
		}
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		if byType[s.EventType()] != nil {
			t.Errorf("%s: event type %s has two files", f.Path, s.EventType())
		}
		byType[s.EventType()] = s
	}
	return byType
}

func TestCatalogue_KeepsItsRules(t *testing.T) {
	if got := len(catalogue(t)); got < 78 {
		t.Errorf("%d event types, want 78 or more: is a folder missing from the embedded tree?", got)
	}
}

// TestNamedRecords_AreTheSameInAllFiles: who generates classes from the files has one for a name.
func TestNamedRecords_AreTheSameInAllFiles(t *testing.T) {
	type definition struct {
		text string
		of   string // event type
	}
	known := map[string]definition{}
	var walk func(of, namespace string, typ any)
	walk = func(of, namespace string, typ any) {
		switch v := typ.(type) {
		case []any:
			for _, x := range v {
				walk(of, namespace, x)
			}
		case map[string]any:
			if name, ok := v["name"].(string); ok && (v["fields"] != nil || v["symbols"] != nil) {
				text, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				if was, ok := known[namespace+"."+name]; ok && was.text != string(text) {
					t.Errorf("%s.%s of %s is not that of %s", namespace, name, of, was.of)
				}
				known[namespace+"."+name] = definition{string(text), of}
			}
			for _, x := range v {
				walk(of, namespace, x)
			}
		}
	}
	for typ, s := range catalogue(t) {
		var tree map[string]any
		if err := json.Unmarshal(s.Text(), &tree); err != nil {
			t.Fatal(err)
		}
		namespace, _ := tree["namespace"].(string)
		walk(typ, namespace, tree)
	}
	if len(known) <= len(catalogue(t)) {
		t.Error("no file has a named record besides its own")
	}
}

func TestGolden_BytesOfEveryTypeStayAsTheyWere(t *testing.T) {
	all := catalogue(t)
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("golden", name+".json")
			g := read(t, path, s)
			body, err := s.EncodeJSON(g.Input)
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := s.RenderJSON(body)
			if err != nil {
				t.Fatal(err)
			}
			if g.Body == "" {
				g.Body, g.Rendered = hex.EncodeToString(body), rendered
				if *update {
					write(t, path, g)
				} else {
					t.Logf("no golden record yet: run go test ./schemas -update, and commit %s with the schema", path)
				}
			}
			var was bytes.Buffer
			if err := json.Compact(&was, g.Rendered); err != nil {
				t.Fatal(err)
			}
			bodyWas, renderedWas := grown(t, s, g.Body, was.Bytes())
			if got := hex.EncodeToString(body); got != bodyWas {
				t.Errorf("body is %s, was %s", got, bodyWas)
			}
			if !bytes.Equal(rendered, renderedWas) {
				t.Errorf("rendered as %s, was %s", rendered, renderedWas)
			}
			again, err := s.EncodeJSON(rendered)
			if err != nil || !bytes.Equal(again, body) {
				t.Errorf("what was rendered encodes as %x (%v), not as the body", again, err)
			}
			values, err := s.Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := s.EncodeMap(values); err != nil || !bytes.Equal(again, body) {
				t.Errorf("what was decoded encodes as %x (%v), not as the body", again, err)
			}
		})
	}
	paths, err := filepath.Glob("golden/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if name := strings.TrimSuffix(filepath.Base(path), ".json"); all[name] == nil {
			t.Errorf("%s has no schema any more", path)
		}
	}
}

// grown is a golden record as it is under a schema that got nullable fields at its end since: each is one byte more, for null.
func grown(t *testing.T, s *avro.Schema, body string, rendered []byte) (string, []byte) {
	t.Helper()
	var had map[string]json.RawMessage
	if err := json.Unmarshal(rendered, &had); err != nil {
		t.Fatal(err)
	}
	var record struct{ Fields []struct{ Name string } }
	if err := json.Unmarshal(s.Text(), &record); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(string(rendered), "}")
	for _, f := range record.Fields {
		if _, ok := had[f.Name]; ok {
			continue
		}
		body += "00"
		text += `,"` + f.Name + `":null`
	}
	return body, []byte(text + "}")
}

// read returns a golden record; for a new type, which needs no more than its schema, one made up from that.
func read(t *testing.T, path string, s *avro.Schema) (g golden) {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var schema map[string]any
		if err := json.Unmarshal(s.Text(), &schema); err != nil {
			t.Fatal(err)
		}
		if g.Input, err = json.Marshal(sample("", schema)); err != nil {
			t.Fatal(err)
		}
		return g
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// sample makes up a value of a type that Lint accepts.
func sample(name string, typ any) any {
	object, _ := typ.(map[string]any)
	if object == nil {
		object = map[string]any{"type": typ}
	}
	switch {
	case object["logicalType"] == "timestamp-micros":
		return "2026-03-02T09:30:00.25Z"
	case object["logicalType"] == "date":
		return "2026-03-02"
	case object["logicalType"] == "decimal":
		return "1"
	case object["logicalType"] == "uuid":
		return "018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f"
	}
	switch kind := object["type"].(type) {
	case []any:
		return sample(name, kind[len(kind)-1])
	case map[string]any:
		return sample(name, kind)
	case string:
		switch kind {
		case "boolean":
			return true
		case "int", "long", "float", "double":
			return 42
		case "bytes":
			return "AAEC"
		case "fixed":
			return make([]byte, int(object["size"].(float64)))
		case "enum":
			return object["symbols"].([]any)[0]
		case "array":
			return []any{sample(name, object["items"])}
		case "record":
			values := map[string]any{}
			for _, f := range object["fields"].([]any) {
				field := f.(map[string]any)
				values[field["name"].(string)] = sample(field["name"].(string), field["type"])
			}
			return values
		}
	}
	return name
}

// write keeps a new golden record. One that is there is never written over: it is what producers have already sent.
func write(t *testing.T, path string, g golden) {
	t.Helper()
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(g); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
