package workflows

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// monday is 12:00 UTC, 7:00 in New York.
var monday = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// catalogue has the schemas of this build and those of testdata.
type catalogue map[string]advance.Schema

func (c catalogue) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	s, known := c[typ]
	if !known {
		return 0, nil, ruleset.ErrUnknown
	}
	return s.ID, s.Avro, nil
}

func (c catalogue) Types(context.Context) ([]string, error) { return slices.Sorted(maps.Keys(c)), nil }

var known = sync.OnceValue(func() catalogue {
	files, err := schemas.Files()
	if err != nil {
		panic(err)
	}
	var texts [][]byte
	for _, f := range files {
		texts = append(texts, f.Text)
	}
	out := catalogue{}
	for i, text := range texts {
		parsed, err := avro.Parse(text)
		if err != nil {
			panic(err)
		}
		if parsed.EventType() == "" {
			continue
		}
		if out[parsed.EventType()], err = advance.NewSchema(int32(i+1), parsed); err != nil {
			panic(err)
		}
	}
	return out
})

// rig is a tenant with a log, a clock that only the test moves, and the fold.
type rig struct {
	t        testing.TB
	store    *Memory
	fold     *Fold
	bundle   *Bundle
	sets     map[int64]*ruleset.Set
	files    map[int64][]ruleset.File
	now      time.Time
	log      []event.Recorded
	applied  int
	last     Out
	rename   func(lead string) string // what a random day calls a lead; nil: as it is
	spared   int                      // events whose data was left out, because nothing reads it
	spares   bool                     // such data is left out
	restarts bool                     // a new Fold over the store for each event, as after a restart
	broken   int                      // so many schemas are found until one is not, once; 0: all are
	asked    int
}

func newRig(t testing.TB, files ...ruleset.File) *rig {
	t.Helper()
	w := &rig{t: t, store: NewMemory(), now: monday, sets: map[int64]*ruleset.Set{}, files: map[int64][]ruleset.File{}}
	w.fold = New("t1", w.store, w, nil)
	w.publish(files...)
	return w
}

func (w *rig) Schemas(context.Context, []string) (advance.Schemas, error) {
	if w.asked++; w.broken > 0 && w.asked == w.broken {
		return nil, fmt.Errorf("the registry does not answer")
	}
	return advance.Schemas(known()), nil
}

func (w *rig) Program(_ context.Context, name string, bundle int64) (*flow.Program, error) {
	return w.sets[bundle].Workflow(name), nil
}

func (w *rig) Recorded(_ context.Context, sequence int64) (*Input, error) {
	if sequence < 1 || sequence > int64(w.applied) {
		w.t.Fatalf("the fold asks for event %d before it was folded: the archive may never have it", sequence)
	}
	r := w.log[sequence-1]
	return &Input{Event: r, Data: w.data(&r)}, nil
}

// publish puts a bundle in force.
func (w *rig) publish(files ...ruleset.File) {
	w.t.Helper()
	w.send("rules.published", ruleset.PublishedData(files, int64(len(w.sets))+1, ""))
}

// workflow is a file of a workflow.
func workflow(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: " + name + "}\nspec:\n  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"}
}

func example(t testing.TB, names ...string) (out []ruleset.File) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../flow/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ruleset.File{Name: name, Text: string(text)})
	}
	return out
}

// record appends an event to the log.
func (w *rig) record(e event.Event) {
	e.TenantID, e.ContentType = "t1", event.ContentTypeAvro
	position := event.PositionAt(w.now.UnixMilli())
	if n := len(w.log); n > 0 {
		position = max(position, w.log[n-1].Position+1)
	}
	w.log = append(w.log, event.Recorded{Event: e, Sequence: int64(len(w.log)) + 1, Position: position, RecordedTime: w.now, LogID: "l"})
	if e.ID == "quiet" {
		w.log[len(w.log)-1].Quiet = event.QuietStorm
	}
}

func (w *rig) event(typ string, data map[string]any, change ...func(e *event.Event)) event.Event {
	w.t.Helper()
	s, there := known()[typ]
	if !there {
		w.t.Fatalf("no schema of %s", typ)
	}
	body, err := s.Avro.EncodeMap(data)
	if err != nil {
		w.t.Fatal(err)
	}
	prefix, id := s.Avro.Subject(typ, body)
	e := event.Event{ID: fmt.Sprint("e", len(w.log)+1), Source: "/test", Type: typ, Subject: prefix + string(id), Time: w.now, Value: event.Frame(s.ID, body)}
	for _, c := range change {
		c(&e)
	}
	return e
}

// send records an event from outside, and applies it and all that comes of it.
func (w *rig) send(typ string, data map[string]any, change ...func(e *event.Event)) Out {
	w.t.Helper()
	w.record(w.event(typ, data, change...))
	return w.drain()
}

func (w *rig) data(r *event.Recorded) map[string]any {
	w.t.Helper()
	_, body, err := event.Unframe(r.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := known()[r.Type].Avro.Decode(body)
	if err != nil {
		w.t.Fatalf("%s: %v", r.Type, err)
	}
	return data
}

// drain applies the log to its end. The answer is what its first event did.
func (w *rig) drain() (first Out) {
	w.t.Helper()
	for i := 0; w.applied < len(w.log); i++ {
		if len(w.log) > 60_000 {
			w.t.Fatal("the log has more than 60,000 events")
		}
		out := w.apply(w.log[w.applied])
		if w.applied++; i == 0 {
			first = out
		}
		for _, e := range out.Events {
			if e.Hops <= event.MaxHops {
				w.record(e)
			}
		}
	}
	w.last = first
	return first
}

func (w *rig) apply(r event.Recorded) Out {
	w.t.Helper()
	in := Input{Event: r, Data: w.data(&r)}
	if w.restarts || w.broken > 0 { // a fold that has asked for schemas does not ask again
		w.fold = New("t1", w.store, w, w.bundle)
	}
	if w.spares {
		needs, err := w.fold.NeedsData(w.t.Context(), &r)
		if err != nil {
			w.t.Fatal(err)
		}
		if !needs {
			in.Data = nil
			w.spared++
		}
	}
	if r.Type == "rules.published" {
		files, version, _, err := ruleset.ParsePublished(in.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		set, problems := ruleset.Compile(files)
		if problems.Err() != nil {
			w.t.Fatal(problems)
		}
		w.sets[r.Sequence], w.bundle = set, &Bundle{Sequence: r.Sequence, Version: version, Set: set}
		if err := w.fold.Publish(w.t.Context(), w.bundle); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.broken > 0 {
		w.asked = 0
		if out, err := w.fold.Apply(w.t.Context(), in); err == nil {
			return out
		}
	}
	out, err := w.fold.Apply(w.t.Context(), in)
	if err != nil {
		w.t.Fatalf("%s: %v", r.Type, err)
	}
	return out
}

// until fires the timers that are due by then, each at its due, and moves the clock.
func (w *rig) until(t time.Time) {
	w.t.Helper()
	for {
		timer, armed := w.store.Next()
		if !armed || timer.Due.After(t) {
			break
		}
		w.fire(timer)
	}
	if t.After(w.now) {
		w.now = t
	}
}

func (w *rig) fire(t Timer) Out {
	w.t.Helper()
	if t.Due.After(w.now) {
		w.now = t.Due.Truncate(time.Millisecond).Add(time.Millisecond)
	}
	return w.send("timer.fired", map[string]any{"timer_id": t.ID, "due": t.Due, "instance_id": t.Instance, "task": t.Task, "armed_sequence": t.Armed})
}

func (w *rig) later(d time.Duration) { w.t.Helper(); w.until(w.now.Add(d)) }

func (w *rig) merge(from, into string) Out {
	w.t.Helper()
	return w.send("subject.merged", map[string]any{"from": from, "into": into}, func(e *event.Event) { e.Subject = from })
}

func (w *rig) unmerge(from, into string) Out {
	w.t.Helper()
	return w.send("subject.unmerged", map[string]any{"from": from, "into": into}, func(e *event.Event) { e.Subject = from })
}

func (w *rig) lead(id string, more ...any) Out {
	w.t.Helper()
	data := map[string]any{"lead_id": id, "phone": "+15551234567"}
	for i := 0; i < len(more); i += 2 {
		data[more[i].(string)] = more[i+1]
	}
	return w.send("lead.created", data)
}

func (w *rig) consent(id, channel string, granted bool, change ...func(e *event.Event)) {
	w.t.Helper()
	w.send("consent.changed", map[string]any{"lead_id": id, "channel": channel, "granted": granted, "basis": "form"}, change...)
}

// since lists the types of what was derived from a place in the log on, without what tells that an instance started or went on.
func (w *rig) since(n int) string {
	var out []string
	for i := range w.log[n:] {
		r := &w.log[n+i]
		if r.Source != advance.Source || r.Type == advance.TypeAdvanced || r.Type == advance.TypeStarted {
			continue
		}
		data := w.data(r)
		typ := strings.TrimSuffix(strings.TrimPrefix(r.Type, "crm."), ".requested")
		for _, field := range []string{"outcome", "reason", "code", "owner_id"} {
			if v, _ := data[field].(string); v != "" {
				typ += ":" + v
			}
		}
		out = append(out, typ)
	}
	return strings.Join(out, " ")
}

// only is the only instance that lives, or the last that there was.
func (w *rig) only() advance.Instance {
	w.t.Helper()
	rows := w.store.Instances()
	if len(rows) == 0 {
		w.t.Fatal("there is no instance")
	}
	in, err := advance.Decode(rows[len(rows)-1].State, rows[len(rows)-1].Personal)
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

func (w *rig) statuses() string {
	var out []string
	for _, r := range w.store.Instances() {
		in, err := advance.Decode(r.State, r.Personal)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, strings.Trim(fmt.Sprintf("%s/%s:%s %s", r.Workflow, r.Key, in.Status, in.Outcome), " "))
	}
	return strings.Join(out, ", ")
}

func (w *rig) is(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// bytes is everything that was derived, and everything that is kept.
func (w *rig) bytes() []byte {
	var b bytes.Buffer
	for i := range w.log {
		r := &w.log[i]
		fmt.Fprintln(&b, r.Sequence, r.ID, r.Type, r.Subject, r.Time.UnixNano(), r.CausationID, r.CorrelationID, r.Hops, r.Path, r.Origin, r.Value)
	}
	for _, r := range w.store.Instances() {
		fmt.Fprintln(&b, r.ID, r.Status, r.Sequence, r.Waits, string(r.State), string(r.Personal))
	}
	for _, k := range slices.SortedFunc(maps.Keys(w.store.named), func(a, b namedKey) int {
		return strings.Compare(string(a.kind)+" "+a.name, string(b.kind)+" "+b.name)
	}) {
		fmt.Fprintln(&b, k, string(w.store.named[k]))
	}
	fmt.Fprintln(&b, w.store.Timers(), w.store.keys, w.store.claims, w.store.aliases)
	for _, lead := range slices.Sorted(maps.Keys(w.store.contacts)) {
		fmt.Fprintln(&b, lead, string(w.store.contacts[lead]))
	}
	return b.Bytes()
}
