package typecheck

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
)

// Event is the envelope of an event of a type, of which on are all that the rule hears.
func Event(typ string, on []string) expr.Type {
	t := expr.Type{Kind: expr.Object, Name: "event", Fields: map[string]expr.Type{}}
	for _, f := range expr.EventFields() {
		t.Fields[f] = expr.Type{Kind: expr.Text}
	}
	for _, f := range []string{"hops", "position", "sequence"} {
		t.Fields[f] = expr.Type{Kind: expr.Int}
	}
	for _, f := range []string{"recorded_time", "time"} {
		t.Fields[f] = expr.Type{Kind: expr.Time}
	}
	t.Fields["type"] = expr.Type{Kind: expr.Text, Known: typ, Symbols: on}
	t.Fields["origin"] = expr.Type{Kind: expr.Text, Symbols: []string{
		string(event.OriginLive), string(event.OriginImport), string(event.OriginBackfill), string(event.OriginRedrive)}}
	return t
}

// Data is the data of an event of a type. What only other types have that the rule hears is absent from it.
func Data(typ string, triggers map[string]*Record) expr.Type {
	t := triggers[typ].Object(typ)
	for _, other := range slices.Sorted(maps.Keys(triggers)) {
		for _, f := range triggers[other].Fields {
			if _, own := t.Fields[f.Name]; !own {
				t.Fields[f.Name] = expr.Type{Kind: expr.Any, Maybe: true}
			}
		}
	}
	return t
}

// Object is the type of the record's data; name is for messages.
func (r *Record) Object(name string) expr.Type {
	t := expr.Type{Kind: expr.Object, Name: name, Fields: map[string]expr.Type{}}
	for _, f := range r.Fields {
		t.Fields[f.Name] = avroType(f.Type)
	}
	return t
}

// avroType is the type of a value that avro.Schema.Decode gives. What can be of several kinds, and a type that stands elsewhere in the
// schema, is any.
func avroType(raw json.RawMessage) expr.Type {
	var branches []json.RawMessage
	if json.Unmarshal(raw, &branches) == nil {
		var t expr.Type
		nullable, others := false, 0
		for _, b := range branches {
			if string(b) == `"null"` {
				nullable = true
				continue
			}
			others++
			t = avroType(b)
		}
		if others != 1 {
			t = expr.Type{}
		}
		t.Nullable = nullable
		return t
	}
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return expr.Type{Kind: map[string]expr.Kind{"boolean": expr.Bool, "int": expr.Int, "long": expr.Int, "float": expr.Double, "double": expr.Double,
			"bytes": expr.Bytes, "string": expr.Text}[name]}
	}
	var complex struct {
		Type    json.RawMessage `json:"type"`
		Logical string          `json:"logicalType"`
		Name    string          `json:"name"`
		Fields  []Field         `json:"fields"`
		Items   json.RawMessage `json:"items"`
		Symbols []string        `json:"symbols"`
	}
	if json.Unmarshal(raw, &complex) != nil {
		return expr.Type{}
	}
	switch complex.Logical {
	case "decimal":
		return expr.Type{Kind: expr.Amount}
	case "date", "timestamp-millis", "timestamp-micros":
		return expr.Type{Kind: expr.Time}
	case "time-millis", "time-micros", "uuid":
		return expr.Type{Kind: expr.Text}
	}
	switch string(complex.Type) {
	case `"record"`:
		return (&Record{Fields: complex.Fields}).Object(complex.Name)
	case `"enum"`:
		return expr.Type{Kind: expr.Text, Symbols: complex.Symbols}
	case `"array"`:
		elem := avroType(complex.Items)
		return expr.Type{Kind: expr.List, Elem: &elem}
	case `"fixed"`:
		return expr.Type{Kind: expr.Bytes}
	}
	return avroType(complex.Type)
}

// Describe spells a type of CEL out.
func Describe(t string) string {
	inner, nullable := strings.CutPrefix(t, "wrapper(")
	if nullable {
		return Describe(strings.TrimSuffix(inner, ")")) + " or null"
	}
	if t == "google.protobuf.Timestamp" {
		return "time"
	}
	return t
}
