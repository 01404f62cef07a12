package avro

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// TestEncodeJSON_ReadsNoMoreThanTheSchemaNeedsAndSaysTheSame holds reading under a schema against reading everything.
func TestEncodeJSON_ReadsNoMoreThanTheSchemaNeedsAndSaysTheSame(t *testing.T) {
	s := mustParse(t, of(`{"type":"record","name":"Inner","fields":[{"name":"a","type":["null","string"]},{"name":"l","type":{"type":"array","items":"int"}},
		{"name":"r","type":["null",{"type":"record","name":"Q","fields":[{"name":"x","type":"double"}]}]}]}`))
	values := []string{`null`, `1`, `"s"`, `true`, `1e999`, `"a\u0000b"`, `"\\u0000"`, `[]`, `{}`, `[1,2]`, `{"x":1}`, `{"x":{"y":[1,{"z":2}]}}`, `[[1]]`, `{"a":"q","l":[3]}`, `{"l":[]}`}
	names := []string{"f0", "a", "l", "r", "x", "zz", `q\u0000`}
	var text func(depth int) string
	text = func(depth int) string {
		if depth == 0 || rand.IntN(3) == 0 {
			return values[rand.IntN(len(values))]
		}
		if rand.IntN(4) == 0 {
			return "[" + text(depth-1) + "," + text(depth-1) + "]"
		}
		var members []string
		for range rand.IntN(5) {
			members = append(members, fmt.Sprintf(`"%s":%s`, names[rand.IntN(len(names))], text(depth-1)))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	taken, refused := 0, 0
	for range 30_000 {
		data := []byte(`{"f0":` + text(4) + `}`)
		var want []byte
		tree, wantErr := readJSON(data, dataBounds)
		if wantErr == nil {
			want, wantErr = s.encode(tree, &encoder{})
		}
		got, err := s.encodeTree(data, nil)
		if string(got) != string(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%s\n%x %v\n%x %v", data, got, err, want, wantErr)
		}
		if err == nil {
			taken++
		} else {
			refused++
		}
	}
	if taken < 100 || refused < 100 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestEncodeJSON_RefusesDataOfManySmallValuesWithinAFewTimesItsSize(t *testing.T) {
	s := mustParse(t, of(`"string"`))
	for name, one := range map[string]string{"objects": `{"a":1},`, "arrays": `[[]],`, "numbers": `1,`, "strings": `"abc",`, "nulls": `null,`} {
		list := "[" + strings.TrimSuffix(strings.Repeat(one, min(1<<20/len(one), 90_000)), ",") + "]"
		for where, data := range map[string]string{"of a field": `{"f0":` + list + `}`, "of an unknown field": `{"f0":"","other":` + list + `}`} {
			var err error
			took := allocated(func() { _, err = s.encodeTree([]byte(data), nil) })
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Errorf("%s %s: %v", name, where, err)
			}
			if most := uint64(8*len(data) + 1<<20); took > most {
				t.Errorf("%s %s: %d bytes took %d", name, where, len(data), took)
			}
		}
	}
}

func TestEncodeJSON_ListsFiftyUnknownFieldsAndCountsTheOthers(t *testing.T) {
	s := mustParse(t, of(`"string"`))
	var data strings.Builder
	data.WriteString(`{"f0":""`)
	for i := range 700 {
		fmt.Fprintf(&data, `,"unknown_%d":1`, i)
	}
	data.WriteString("}")
	_, err := s.EncodeJSON([]byte(data.String()))
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok || len(invalid.Problems) != 51 || invalid.Problems[50].Message != "650 more problems" {
		t.Errorf("%v", err)
	}
}

func TestEncodeJSONWithin_AsksBeforeItUsesMemory(t *testing.T) {
	s := mustParse(t, of(`{"type":"array","items":{"type":"record","name":"Inner","fields":[{"name":"a","type":["null","int"]},{"name":"b","type":["null","int"]},{"name":"c","type":"int"}]}}`))
	data := []byte(`{"f0":[` + strings.TrimSuffix(strings.Repeat(`{"c":1.5},`, 50_000), ",") + `]}`)
	asked := 0
	var err error
	took := allocated(func() { _, err = s.EncodeJSONWithin(data, func(n int) error { asked += n; return nil }) })
	if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Fatal(err)
	}
	t.Logf("%d bytes of JSON, asked for %d, allocated %d", len(data), asked, took)
	if uint64(asked) < took/2 || uint64(asked) > 3*took {
		t.Errorf("asked for %d bytes, allocated %d", asked, took)
	}
	enough := errors.New("no more")
	left := 1 << 20
	took = allocated(func() {
		_, err = s.EncodeJSONWithin(data, func(n int) error {
			if left -= n; left < 0 {
				return enough
			}
			return nil
		})
	})
	if !errors.Is(err, enough) || took > 20<<20 {
		t.Errorf("%v, allocated %d", err, took)
	}
}
