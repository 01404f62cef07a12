package schemas_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/schemas"
)

var update = flag.Bool("update", false, "complete golden records that hold an input and no body")

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
	if got := len(catalogue(t)); got < 44 {
		t.Errorf("%d event types, want 44 or more: is a folder missing from the embedded tree?", got)
	}
}

func TestGolden_BytesOfEveryTypeStayAsTheyWere(t *testing.T) {
	all := catalogue(t)
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("golden", name+".json")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("every event type has a golden record: %v", err)
			}
			var g golden
			if err := json.Unmarshal(text, &g); err != nil {
				t.Fatal(err)
			}
			body, err := s.EncodeJSON(g.Input)
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := s.RenderJSON(body)
			if err != nil {
				t.Fatal(err)
			}
			if g.Body == "" && *update {
				writeGolden(t, path, golden{Input: g.Input, Body: hex.EncodeToString(body), Rendered: rendered})
				return
			}
			if got := hex.EncodeToString(body); got != g.Body {
				t.Errorf("body is %s, was %s", got, g.Body)
			}
			var was bytes.Buffer
			if err := json.Compact(&was, g.Rendered); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(rendered, was.Bytes()) {
				t.Errorf("rendered as %s, was %s", rendered, was.Bytes())
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
	if len(paths) != len(all) {
		t.Errorf("%d golden records for %d event types", len(paths), len(all))
	}
}

// writeGolden is for a new event type: write a file with its "input" alone, run with -update, read the result.
// A body that is there is never written over: it is what producers have already sent.
func writeGolden(t *testing.T, path string, g golden) {
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
