package asyncapi

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/schemas"
)

func made(t *testing.T) []byte {
	t.Helper()
	topics, err := topology.Topics()
	if err != nil {
		t.Fatal(err)
	}
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Document(topics, files)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocument_TheCommittedOneIsCurrent(t *testing.T) {
	have, err := os.ReadFile("../../../docs/asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, made(t)) {
		t.Error("docs/asyncapi.json is old: go run ./services/neuronx/cmd schemas asyncapi > docs/asyncapi.json")
	}
}

// document is what AsyncAPI 3.0 requires of it.
type document struct {
	AsyncAPI string
	Info     struct{ Title, Version string }
	Channels map[string]struct {
		Address  string
		Messages map[string]reference
		Bindings struct {
			Kafka struct{ Topic, BindingVersion string }
		}
	}
	Operations map[string]struct {
		Action  string
		Channel reference
	}
	Components struct {
		Messages map[string]struct {
			Name    string
			Headers json.RawMessage
			Payload struct {
				SchemaFormat string
				Schema       json.RawMessage
			}
		}
	}
}

type reference struct {
	Ref string `json:"$ref"`
}

func TestDocument_KeepsTheRulesOfAsyncAPI3(t *testing.T) {
	text := made(t)
	var doc document
	var whole any
	for _, into := range []any{&doc, &whole} {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	if doc.AsyncAPI != "3.0.0" || doc.Info.Title == "" || doc.Info.Version == "" {
		t.Errorf("%+v", doc.Info)
	}
	key := regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	addresses := map[string]bool{}
	for name, c := range doc.Channels {
		if !key.MatchString(name) || c.Address == "" || addresses[c.Address] || c.Bindings.Kafka.Topic != c.Address || len(c.Messages) == 0 {
			t.Errorf("channel %s: %+v", name, c)
		}
		addresses[c.Address] = true
	}
	used := map[string]bool{}
	for name, o := range doc.Operations {
		if o.Action != "send" && o.Action != "receive" || !strings.HasPrefix(o.Channel.Ref, "#/channels/") {
			t.Errorf("operation %s: %+v", name, o)
		}
		used[o.Channel.Ref] = true
	}
	if len(used) != len(doc.Channels) {
		t.Errorf("%d of %d channels have an operation", len(used), len(doc.Channels))
	}
	for name := range doc.Components.Messages {
		if !key.MatchString(name) {
			t.Errorf("message %s", name)
		}
	}
	walk(whole, func(ref string) {
		at := whole
		for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			m, _ := at.(map[string]any)
			at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		}
		if at == nil || !strings.HasPrefix(ref, "#/") {
			t.Errorf("%s leads nowhere", ref)
		}
	})
}

func walk(v any, fn func(ref string)) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			fn(ref)
		}
		for _, x := range v {
			walk(x, fn)
		}
	case []any:
		for _, x := range v {
			walk(x, fn)
		}
	}
}

func TestDocument_EveryTypeIsAMessageAndOnlyTheEngineSendsReservedOnes(t *testing.T) {
	var doc document
	if err := json.Unmarshal(made(t), &doc); err != nil {
		t.Fatal(err)
	}
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		m := doc.Components.Messages[s.EventType()]
		back, err := avro.Parse(m.Payload.Schema)
		if err != nil || back.Fingerprint() != s.Fingerprint() || m.Payload.SchemaFormat != avroFormat || m.Name != s.FullName() {
			t.Errorf("%s: %v", s.EventType(), err)
		}
		_, in := doc.Channels["ingress"].Messages[s.EventType()]
		_, out := doc.Channels["events"].Messages[s.EventType()]
		if in == event.Reserved(s.EventType()) || !out {
			t.Errorf("%s: taken at the door %v, in the log %v", s.EventType(), in, out)
		}
	}
	if n := len(doc.Components.Messages); n != len(files)+2 {
		t.Errorf("%d messages of %d schemas", n, len(files))
	}
}

func TestDocument_ATopicThatIsNotDeclaredIsNamed(t *testing.T) {
	topics, err := topology.Topics()
	if err != nil {
		t.Fatal(err)
	}
	topics = slices.DeleteFunc(topics, func(d topology.Topic) bool { return d.Name == kafka.TopicReceipts })
	if _, err := Document(topics, nil); err == nil || !strings.Contains(err.Error(), kafka.TopicReceipts) {
		t.Error(err)
	}
}
