package importer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Recorded is an event as the archive holds it.
type Recorded struct {
	ID       string
	Subject  string
	Sequence int64
	Time     time.Time
	Data     []byte // in JSON; nil when they can't be shown
}

// Archive tells which events are recorded. Each of found's calls gets one event; its error ends the search.
type Archive interface {
	// Known finds the tenant's events of these ids, in the order of the log.
	Known(ctx context.Context, tenant string, ids []string, found func(Recorded) error) error
	// Updates finds the tenant's events of a source and a type about these subjects, in the order of the log.
	Updates(ctx context.Context, tenant, source, eventType string, subjects []string, found func(Recorded) error) error
	// Last is the sequence of the tenant's newest event; 0 if there is none.
	Last(ctx context.Context, tenant string) (int64, error)
}

// imported is what earlier imports have made of an event: the event itself, and the updates that followed.
type imported struct {
	sequence int64
	lastID   string // of the event that told the newest data
	subject  string
	time     time.Time
	data     map[string]any // nil when they can't be compared
}

// consult fills in what the archive holds of the pending events.
func (r *run) consult(ctx context.Context) error {
	if r.Archive == nil || len(r.pending) == 0 {
		return nil
	}
	byID := map[string][]*item{}
	for _, it := range r.pending {
		byID[it.event.ID] = append(byID[it.event.ID], it)
	}
	err := r.Archive.Known(ctx, r.Tenant, slices.Sorted(maps.Keys(byID)), func(rec Recorded) error {
		for _, it := range byID[rec.ID] {
			if it.was != nil {
				continue // an id may be recorded again after the key window; the first one counts
			}
			it.was = &imported{sequence: rec.Sequence, lastID: rec.ID, subject: rec.Subject, time: rec.Time}
			if it.event.stored == nil || rec.Data == nil {
				continue
			}
			var err error
			if it.was.data, err = object(rec.Data); err != nil {
				return fmt.Errorf("read event %s: %w", rec.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ask the archive: %w", err)
	}
	for i := range r.in.Events {
		if m := &r.in.Events[i]; m.Update != "" {
			if err := r.layUpdates(ctx, m); err != nil {
				return fmt.Errorf("ask the archive: %w", err)
			}
		}
	}
	return nil
}

// layUpdates lays the updates that earlier imports have sent over what the events said.
func (r *run) layUpdates(ctx context.Context, m *Mapping) error {
	bySubject := map[string][]*item{}
	for _, it := range r.pending {
		if it.event.mapping == m && it.was != nil && it.was.data != nil && it.was.subject != "" {
			bySubject[it.was.subject] = append(bySubject[it.was.subject], it)
		}
	}
	if len(bySubject) == 0 {
		return nil
	}
	return r.Archive.Updates(ctx, r.Tenant, r.source(), m.Update, slices.Sorted(maps.Keys(bySubject)), func(rec Recorded) error {
		if rec.Data == nil {
			return nil
		}
		data, err := object(rec.Data)
		if err != nil {
			return fmt.Errorf("read event %s: %w", rec.ID, err)
		}
		for _, it := range bySubject[rec.Subject] {
			it.was.lastID = rec.ID
			maps.Copy(it.was.data, data)
		}
		return nil
	})
}

func (r *run) source() string { return "/import/" + r.Spec.Name }

// object reads data, without fields that are null.
func object(text []byte) (map[string]any, error) {
	var out map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&out); err != nil {
		return nil, err
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out, nil
}

// changed lists the fields, sorted, in which an event differs from what was imported before; time and subject are named as such. An
// empty text is the same as none.
func (it *item) changed() (fields []string, err error) {
	if it.was.subject != it.event.Subject && (it.was.subject != "" || !it.event.implied) { // builds before derived no subject from the data
		fields = append(fields, "(subject)")
	}
	if it.event.Time != "" && !it.was.time.IsZero() {
		t, err := time.Parse(time.RFC3339Nano, it.event.Time)
		if err != nil {
			return nil, err
		}
		if !t.Truncate(time.Microsecond).Equal(it.was.time.Truncate(time.Microsecond)) {
			fields = append(fields, "(time)")
		}
	}
	if it.was.data == nil || it.event.stored == nil {
		return fields, nil
	}
	now, err := object(it.event.stored)
	if err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(now))
	names = slices.AppendSeq(names, maps.Keys(it.was.data))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !same(it.was.data[name], now[name]) {
			fields = append(fields, name)
		}
	}
	return fields, nil
}

func same(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil || b == ""
	case string:
		return x == b || x == "" && b == nil
	case json.Number:
		y, ok := b.(json.Number)
		if !ok || x == y {
			return ok
		}
		p, known := new(big.Rat).SetString(x.String())
		q, other := new(big.Rat).SetString(y.String())
		return known && other && p.Cmp(q) == 0
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, same)
	}
	return a == b
}

// asUpdate makes the event that tells what has changed. Its id follows from what it changes and into what, so that the same edit is sent
// once, and a further one is another event. It has the time of its arrival: the edit is news, whatever the time of the fact.
func (it *item) asUpdate(tenant, mapping string, fields []string) (Event, error) {
	e := it.event
	m := e.mapping
	if m.Update == "" {
		return e, fmt.Errorf("the spec names no type for updates of %s (update: …)", m.Type)
	}
	if m.updated == nil {
		return e, fmt.Errorf("the schema of %s is not known here", m.Update)
	}
	if e.Subject == "" || it.was.subject == "" {
		return e, fmt.Errorf("the event has no subject, by which its updates are found: the spec names none (subject: …), and the schema of %s none that its data have", m.Type)
	}
	now, err := object(e.stored)
	if err != nil {
		return e, err
	}
	root := m.updated.root
	data := map[string]any{}
	for _, name := range fields {
		to := root.fields[name]
		v, there := e.Data[name]
		switch {
		case to == nil:
			return e, fmt.Errorf("%s has no field %s", m.Update, strings.Trim(name, "()"))
		case there:
			data[name] = v
		case to.text:
			data[name] = "" // an empty text clears, a null would say that nothing changed
		default:
			return e, fmt.Errorf("%s can't clear the field %s", m.Update, name)
		}
	}
	for _, name := range root.needed {
		if _, there := data[name]; !there {
			if data[name] = e.Data[name]; data[name] == nil {
				return e, fmt.Errorf("%s requires the field %s", m.Update, name)
			}
		}
	}
	text, err := json.Marshal(now) // sorted, so the same data give the same text
	if err != nil {
		return e, err
	}
	sum := sha256.Sum256(text)
	e.ID = event.DerivedID(tenant, mapping, m.Update, e.key, it.was.lastID, hex.EncodeToString(sum[:]))
	e.Type, e.Time, e.Data = m.Update, "", data
	if _, err := m.updated.check(tenant, &e); err != nil {
		return e, err
	}
	return e, nil
}
