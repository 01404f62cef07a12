package httpin

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/jsonscan"
)

// attr is one CloudEvents attribute.
type attr struct{ name, value string }

// attrs are the attributes of one event, each name once, in the order received.
type attrs []attr

func (a attrs) lookup(name string) (string, bool) {
	for i := range a {
		if a[i].name == name {
			return a[i].value, true
		}
	}
	return "", false
}

func (a attrs) get(name string) string {
	value, _ := a.lookup(name)
	return value
}

func (a *attrs) set(name, value string) {
	for i := range *a {
		if (*a)[i].name == name {
			(*a)[i].value = value
			return
		}
	}
	*a = append(*a, attr{name, value})
}

func (a *attrs) remove(name string) {
	for i := range *a {
		if (*a)[i].name == name {
			*a = append((*a)[:i], (*a)[i+1:]...)
			return
		}
	}
}

// scratch is the memory that reading one request needs and the next one can use again.
type scratch struct {
	doc   jsonscan.Doc // of the whole body
	data  jsonscan.Doc // of the data of one event, where that came in another form
	coder avro.Transcoder
	body  []byte // framed Avro of one event
	canon []byte // canonical JSON of one event

	envs   []envelope    // of a batch
	attrs  attrs         // of all of its events
	events []event.Event // that were made of them

	typ    string // the type that was looked up last in this request, and its schema
	id     int32
	schema *avro.Schema
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Bounds on the memory that a pooled scratch may hold on to, in tokens and bytes.
const (
	keepTokens = 16 << 10
	keepBytes  = 64 << 10
	keepEvents = 256 // and so many times ten attributes
)

// release gives the scratch back. Nothing that was read with it may be in use: tokens are overwritten.
func (w *scratch) release() {
	w.doc.Text, w.data.Text, w.typ, w.schema = nil, nil, "", nil
	clear(w.envs)
	clear(w.attrs)
	clear(w.events)
	if cap(w.doc.Tokens) <= keepTokens && cap(w.data.Tokens) <= keepTokens && cap(w.body) <= keepBytes && cap(w.canon) <= keepBytes &&
		cap(w.envs) <= keepEvents && cap(w.events) <= keepEvents && cap(w.attrs) <= 10*keepEvents {
		scratches.Put(w)
	}
}

// size is about how many bytes it holds on to.
func (w *scratch) size() int64 {
	return int64(24*(cap(w.doc.Tokens)+cap(w.data.Tokens)) + cap(w.body) + cap(w.canon) + 200*cap(w.envs) + 32*cap(w.attrs) + 600*cap(w.events))
}

// Levels of arrays and objects around the data of an event.
const (
	aroundOne   = 1
	aroundBatch = 2
)

// scanOne reads one event in the JSON format, if it is what most are: strict, and nothing about its form in doubt. Else
// readStructured finds out.
func (w *scratch) scanOne(body []byte) (envelope, bool) {
	if len(body) > avro.MaxJSON || !w.doc.Scan(body, avro.MaxDepth+aroundOne) || w.doc.Tokens[0].Kind != '{' {
		return envelope{}, false
	}
	return w.envelope(0, string(body), make(attrs, 0, w.doc.Tokens[0].Len)), true
}

// scanBatch is scanOne for a batch; what it leaves is for readBatch.
func (w *scratch) scanBatch(body []byte) ([]envelope, bool) {
	if !w.doc.Scan(body, avro.MaxDepth+aroundBatch) {
		return nil, false
	}
	tokens := w.doc.Tokens
	if tokens[0].Kind != '[' || tokens[0].Len > maxBatchItems {
		return nil, false
	}
	members := 0
	for at := uint32(1); int(at) < len(tokens); at = tokens[at].Next {
		if tokens[at].Kind != '{' {
			return nil, false
		}
		members += int(tokens[at].Len)
	}
	w.envs = slices.Grow(w.envs[:0], int(tokens[0].Len))
	w.attrs = slices.Grow(w.attrs[:0], members)[:members]
	room, text := w.attrs, string(body) // of which every attribute is a part
	for at := uint32(1); int(at) < len(tokens); at = tokens[at].Next {
		n := tokens[at].Len
		w.envs = append(w.envs, w.envelope(at, text, room[:0:n]))
		room = room[n:]
	}
	return w.envs, true
}

// room is memory for the events of a batch.
func (w *scratch) room(n int) []event.Event {
	w.events = slices.Grow(w.events[:0], n)[:n]
	return w.events
}

// envelope reads the event whose object is at a token. text is the scanned text, room is memory for its attributes.
func (w *scratch) envelope(at uint32, text string, room attrs) envelope {
	env := envelope{attrs: room}
	var data, base64Data jsontext.Value
	for name := at + 1; name < w.doc.Tokens[at].Next; name = w.doc.Tokens[name+1].Next {
		key, value := w.doc.Tokens[name], w.doc.Tokens[name+1]
		start, end := value.Start, value.End
		if value.Kind == '"' {
			start, end = start-1, end+1
		}
		raw := jsontext.Value(w.doc.Text[start:end])
		switch called := text[key.Start:key.End]; {
		case called == "data":
			data, env.at = raw, name+1
		case called == "data_base64":
			base64Data = raw
		case !env.takes(called):
		case value.Kind == '"' && !value.Escaped:
			env.attrs.set(called, text[value.Start:value.End])
		default:
			env.attribute(called, raw)
		}
	}
	if env.setData(data, base64Data); data != nil && base64Data == nil && env.form == dataJSON {
		env.doc = &w.doc
	}
	return env
}

// byType looks a type up, once for events of one type that follow each other.
func (w *scratch) byType(ctx context.Context, schemas Catalogue, typ string) (int32, *avro.Schema, error) {
	if w.schema != nil && w.typ == typ {
		return w.id, w.schema, nil
	}
	id, schema, err := schemas.ByType(ctx, typ)
	if err == nil {
		w.typ, w.id, w.schema = typ, id, schema
	}
	return id, schema, err
}

// transcode encodes the data of an event under a schema and takes its fingerprint. false says that encode must find out
// what is wrong, if anything is.
func (w *scratch) transcode(e *event.Event, env *envelope, id int32, schema *avro.Schema) bool {
	doc, at := env.doc, env.at
	if doc == nil {
		if doc, at = &w.data, 0; !doc.Scan(env.data, avro.MaxDepth) {
			return false
		}
	}
	var taken bool
	if w.body, taken = w.coder.Append(event.AppendFrame(w.body[:0], id), schema, doc, at); !taken {
		return false
	}
	w.canon = w.coder.AppendCanonical(w.canon[:0], schema, doc, at)
	e.Value = append(make([]byte, 0, len(w.body)), w.body...)
	e.Fingerprint = event.FingerprintJSON(e.Type, e.Subject, e.Source, w.canon)
	return true
}

// baseType returns a media type without its parameters, in lower case.
func baseType(media string) string {
	media, _, _ = strings.Cut(media, ";")
	return strings.ToLower(strings.TrimSpace(media))
}
