package avro

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// spoil changes something in values that fit a schema.
func (m *maker) spoil(n *node, v any) any {
	if m.IntN(8) == 0 {
		odd := []any{nil, true, 7, int32(7), int64(7), int64(math.MaxInt64), 1.5, float32(1.5), math.NaN(), math.Inf(-1), "text", "\xff", "a\x00b", "2026-03-01", []byte{1}, []any{}, []any{nil}, map[string]any{},
			json.Number("1"), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC), time.Date(12026, 3, 1, 0, 0, 0, 0, time.UTC), time.Time{}}
		return odd[m.IntN(len(odd))]
	}
	switch v := v.(type) {
	case map[string]any:
		n = n.branch(kindRecord)
		for i, f := range n.fields {
			switch {
			case m.IntN(10) == 0:
				delete(v, f.name)
			default:
				v[f.name] = m.spoil(n.fields[i].node, v[f.name])
			}
		}
		if m.IntN(20) == 0 {
			v["unknown"] = nil
		}
	case []any:
		n = n.branch(kindArray)
		for i := range v {
			v[i] = m.spoil(n.items, v[i])
		}
	case string: // times as Go has them
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && m.IntN(2) == 0 {
			return t
		}
	}
	return v
}

// What values are encoded to directly is what goavro makes of them, and what it refuses is not taken.
func TestEncodeMap_WritesValuesAsGoavroDoes(t *testing.T) {
	taken, left, refused := 0, 0, 0
	for seed := uint64(0); taken < 3000; seed++ {
		if seed > 100_000 {
			t.Fatalf("only %d values were taken", taken)
		}
		m := &maker{Rand: rand.New(rand.NewPCG(seed, 11))}
		s, err := Parse([]byte(m.record(3)))
		if err != nil {
			continue
		}
		v := m.value(s.root).(map[string]any)
		if m.IntN(3) > 0 {
			spoiled, is := m.spoil(s.root, v).(map[string]any)
			if !is {
				continue
			}
			v = spoiled
		}
		want, err := s.encode(v, &encoder{})
		got, ok := s.encodeValues(v)
		switch {
		case !ok && err == nil:
			left++
		case !ok:
			refused++
		case err != nil || !bytes.Equal(got, want):
			t.Fatalf("seed %d: %v is %x; goavro has %x (%v)", seed, v, got, want, err)
		default:
			taken++
		}
	}
	if refused < 500 || left < 100 {
		t.Errorf("%d taken, %d refused, %d left to goavro: the test has lost its teeth", taken, refused, left)
	}
}

func BenchmarkEncodeMap(b *testing.B) {
	s, err := Parse([]byte(`{"type":"record","name":"test.v1.Lead","fields":[{"name":"lead_id","type":"string"},{"name":"score","type":"long"},{"name":"reason","type":["null","string"],"default":null},
		{"name":"tags","type":{"type":"array","items":"string"}},{"name":"not_after","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null}]}`))
	if err != nil {
		b.Fatal(err)
	}
	v := map[string]any{"lead_id": "42", "score": int64(72), "reason": "a referral", "tags": []any{"qualified"}, "not_after": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	for name, encode := range map[string]func() bool{
		"directly": func() bool { _, taken := s.encodeValues(v); return taken },
		"goavro":   func() bool { _, err := s.encode(v, &encoder{}); return err == nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !encode() {
					b.Fatal("not encoded")
				}
			}
		})
	}
}
