package breakers_test

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/schemas/breakers"
)

func TestCases_AreAdmittedOrRefusedAsTheySay(t *testing.T) {
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	byType := map[string]*avro.Schema{}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		byType[s.EventType()] = s
	}
	names := map[string]bool{}
	for _, c := range breakers.Cases() {
		if names[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		names[c.Name] = true
		body, err := byType[c.Type].EncodeMap(c.Data)
		if err == nil {
			err = byType[c.Type].CheckNew(body)
		}
		switch {
		case c.Refused == "" && err != nil:
			t.Errorf("%s is refused: %v", c.Name, err)
		case c.Refused != "" && (err == nil || !strings.Contains(err.Error(), c.Refused)):
			t.Errorf("%s: admission says %v, want %q", c.Name, err, c.Refused)
		}
	}
	if len(names) < 50 {
		t.Errorf("%d cases, want 50 or more", len(names))
	}
}
