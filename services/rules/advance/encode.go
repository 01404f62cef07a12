package advance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/neuronx/engine/services/rules/value"
)

const (
	stateVersion = 1
	// maxState bounds either part of an instance, in bytes. It is above what every token in its deepest loop, every slot and every compensation may
	// hold, MaxVarsBytes each: what was written and can't be read would stall the tenant for good.
	maxState = 8 << 20
)

// MarshalJSON writes the values as package value does.
func (s State) MarshalJSON() ([]byte, error) { return value.Append(nil, map[string]any(s)) }

// UnmarshalJSON reads them.
func (s *State) UnmarshalJSON(b []byte) error {
	v, err := value.Read(b)
	if err != nil {
		return fmt.Errorf("read a state: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return errors.New("read a state: it is no map")
	}
	*s = m
	return nil
}

// MarshalJSON writes the values as package value does.
func (l Values) MarshalJSON() ([]byte, error) { return value.Append(nil, []any(l)) }

// UnmarshalJSON reads them.
func (l *Values) UnmarshalJSON(b []byte) error {
	v, err := value.Read(b)
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	list, ok := v.([]any)
	if !ok {
		return errors.New("read values: they are no list")
	}
	*l = list
	return nil
}

// stored is the part of an instance without personal values.
type stored struct {
	Version  int      `json:"v"`
	Instance Instance `json:"instance"`
}

// secret is the other part: what comes from personal fields, by where it stands.
type secret struct {
	Vars   State             `json:"vars,omitzero"`
	Loops  map[string]Values `json:"loops,omitzero"`  // by token and frame
	Errors map[string]Error  `json:"errors,omitzero"` // by token and frame
	Slots  map[string]State  `json:"slots,omitzero"`  // by number
	Undo   map[string]State  `json:"undo,omitzero"`   // by number
}

// Encode writes an instance as two JSON texts, the same for the same instance: what may be shown, and what comes from personal fields, which is
// empty where nothing does. The second can be destroyed without the first.
func (in Instance) Encode() (state, personal []byte, err error) {
	in = in.clone()
	var s secret
	if len(in.Personal) > 0 {
		s.Vars = in.Personal
	}
	in.Personal = nil
	for _, t := range in.Tokens {
		for i, f := range t.Frames {
			key := strconv.FormatInt(t.ID, 10) + "/" + strconv.Itoa(i)
			if !f.Personal {
				continue
			}
			if f.Caught != nil {
				put(&s.Errors, key, *f.Caught)
				f.Caught = &Error{Type: f.Caught.Type}
			} else {
				put(&s.Loops, key, f.Values)
				f.Values = nil
			}
		}
	}
	for i, slot := range in.Slots {
		own := State{}
		for _, k := range slot.Personal {
			if v, there := slot.Set[k]; there {
				own[k] = v
			}
		}
		if len(own) > 0 {
			put(&s.Slots, strconv.Itoa(i), own)
			slot.Set = without(slot.Set, own)
		}
	}
	for i := range in.Undo {
		if u := &in.Undo[i]; u.Personal && len(u.Locals) > 0 {
			put(&s.Undo, strconv.Itoa(i), u.Locals)
			u.Locals = nil
		}
	}
	if state, err = json.Marshal(stored{stateVersion, in}); err != nil {
		return nil, nil, fmt.Errorf("encode instance %s: %w", in.ID, err)
	}
	if s.Vars == nil && s.Loops == nil && s.Errors == nil && s.Slots == nil && s.Undo == nil {
		return state, nil, nil
	}
	if personal, err = json.Marshal(s); err != nil {
		return nil, nil, fmt.Errorf("encode the personal values of instance %s: %w", in.ID, err)
	}
	return state, personal, nil
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

func without(s, own State) State {
	out := State{}
	for k, v := range s {
		if _, there := own[k]; !there {
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Decode reads what Encode wrote. A text that it cannot have written is an error: an instance is not guessed.
func Decode(state, personal []byte) (Instance, error) {
	var s stored
	if err := read(state, &s); err != nil {
		return Instance{}, err
	}
	if s.Version != stateVersion {
		return Instance{}, fmt.Errorf("read an instance: version %d of its form is not known; a newer build wrote it", s.Version)
	}
	in := s.Instance
	if err := in.check(); err != nil {
		return Instance{}, err
	}
	if len(personal) == 0 {
		return in, nil
	}
	var p secret
	if err := read(personal, &p); err != nil {
		return Instance{}, err
	}
	in.Personal = p.Vars
	for _, t := range in.Tokens {
		for i, f := range t.Frames {
			key := strconv.FormatInt(t.ID, 10) + "/" + strconv.Itoa(i)
			if e, ok := p.Errors[key]; ok && f.Personal && f.Caught != nil {
				f.Caught = &e
			}
			if v, ok := p.Loops[key]; ok && f.Personal && f.Caught == nil {
				f.Values = v
			}
		}
	}
	for i, slot := range in.Slots {
		own := p.Slots[strconv.Itoa(i)]
		if len(own) > 0 {
			slot.Set = merged(slot.Set, own)
		}
	}
	for i := range in.Undo {
		if l := p.Undo[strconv.Itoa(i)]; l != nil && in.Undo[i].Personal {
			in.Undo[i].Locals = l
		}
	}
	return in, nil
}

func read(b []byte, into any) error {
	if len(b) > maxState {
		return fmt.Errorf("read an instance: it has %d bytes, more than %d", len(b), maxState)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read an instance: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read an instance: something follows it")
	}
	return nil
}

// check refuses what no instance is, so that Advance need not.
func (in *Instance) check() error {
	if in.ID == "" || len(in.Tokens) > MaxTokens+1 || len(in.Undo) > MaxUndo {
		return errors.New("read an instance: it has no id, or more tokens or compensations than an instance may")
	}
	last := int64(0)
	for _, t := range in.Tokens {
		if t == nil || t.ID <= last || t.Parent >= t.ID || t.Parent < 0 || t.ID > in.LastToken {
			return errors.New("read an instance: its tokens are not in order")
		}
		last = t.ID
		for _, f := range t.Frames {
			if f == nil || len(f.Values) > MaxLoop {
				return errors.New("read an instance: a frame is missing or too large")
			}
		}
	}
	for _, s := range in.Slots {
		if s == nil {
			return errors.New("read an instance: a slot is missing")
		}
	}
	return nil
}
