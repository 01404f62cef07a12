package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/avro"
)

// version is one schema under one subject.
type version struct {
	Subject string
	Version int
	ID      int32
	Schema  *avro.Schema
}

// state is what the topic _schemas says: a fold over its records. It knows no Kafka.
type state struct {
	subjects map[string][]version // versions 1, 2, 3 …
	byID     map[int32]*avro.Schema
	ids      map[[32]byte]int32 // fingerprint of the canonical text to id
	lastID   int32
}

func newState() *state {
	return &state{subjects: map[string][]version{}, byID: map[int32]*avro.Schema{}, ids: map[[32]byte]int32{}}
}

// maxVersions bounds the memory of the registry.
const maxVersions = 20_000

// record is a record of _schemas in the shape of Confluent's registry.
type recordKey struct {
	KeyType string `json:"keytype"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
	Magic   int    `json:"magic"`
}

type recordValue struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int32  `json:"id"`
	Schema  string `json:"schema"`
	Deleted bool   `json:"deleted"`
}

func (v version) record() (key, value []byte, err error) {
	key, err = json.Marshal(recordKey{KeyType: "SCHEMA", Subject: v.Subject, Version: v.Version, Magic: 1})
	if err != nil {
		return nil, nil, err
	}
	value, err = json.Marshal(recordValue{Subject: v.Subject, Version: v.Version, ID: v.ID, Schema: string(v.Schema.Text())})
	return key, value, err
}

// fold takes one record of the topic. An error means that something else wrote the topic, and no id can be trusted.
func (s *state) fold(key, value []byte) error {
	var k recordKey
	if err := json.Unmarshal(key, &k); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if k.KeyType != "SCHEMA" {
		return fmt.Errorf("key type %q: written by another registry", k.KeyType)
	}
	var v recordValue
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if v.Subject != k.Subject || v.Version != k.Version || v.ID < 1 || v.Deleted {
		return errors.New("value does not fit its key: written by another registry")
	}
	schema, err := avro.Parse([]byte(v.Schema))
	if err != nil {
		return fmt.Errorf("schema %d: %w", v.ID, err)
	}
	return s.add(version{Subject: v.Subject, Version: v.Version, ID: v.ID, Schema: schema})
}

func (s *state) add(v version) error {
	have := s.subjects[v.Subject]
	if v.Version <= len(have) { // seen again: compaction has not come by yet
		if have[v.Version-1].ID != v.ID {
			return fmt.Errorf("subject %s version %d has ids %d and %d", v.Subject, v.Version, have[v.Version-1].ID, v.ID)
		}
		return nil
	}
	if v.Version != len(have)+1 {
		return fmt.Errorf("subject %s goes from version %d to %d", v.Subject, len(have), v.Version)
	}
	fingerprint := v.Schema.Fingerprint()
	if other, ok := s.byID[v.ID]; ok && other.Fingerprint() != fingerprint {
		return fmt.Errorf("id %d has two schemas", v.ID)
	}
	s.subjects[v.Subject] = append(have, v)
	s.byID[v.ID] = v.Schema
	s.ids[fingerprint] = v.ID
	s.lastID = max(s.lastID, v.ID)
	return nil
}

// find returns the version of a subject that has this very schema.
func (s *state) find(subject string, schema *avro.Schema) (version, bool) {
	for _, v := range s.subjects[subject] {
		if v.Schema.Fingerprint() == schema.Fingerprint() {
			return v, true
		}
	}
	return version{}, false
}

// register decides what registering a schema means: the version it gets, and whether that is new and must be written.
func (s *state) register(subject string, schema *avro.Schema) (v version, isNew bool, err error) {
	if v, ok := s.find(subject, schema); ok {
		return v, false, nil
	}
	if err := s.compatible(subject, schema); err != nil {
		return version{}, false, err
	}
	if s.count() >= maxVersions || s.lastID == math.MaxInt32 {
		return version{}, false, refuse(codeOperation, "the registry holds %d versions, which is its bound", maxVersions)
	}
	id, ok := s.ids[schema.Fingerprint()]
	if !ok {
		id = s.lastID + 1
	}
	return version{Subject: subject, Version: len(s.subjects[subject]) + 1, ID: id, Schema: schema}, true, nil
}

func (s *state) count() (n int) {
	for _, versions := range s.subjects {
		n += len(versions)
	}
	return n
}

func (s *state) compatible(subject string, schema *avro.Schema) error {
	for _, earlier := range s.subjects[subject] {
		if err := avro.CheckCompatible(schema, earlier.Schema); err != nil {
			return refuse(codeIncompatible, "schema is incompatible with version %d of %s (FULL_TRANSITIVE): %v", earlier.Version, subject, err)
		}
	}
	return nil
}

// names returns the subjects with the prefix, sorted.
func (s *state) names(prefix string) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.subjects)) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}
