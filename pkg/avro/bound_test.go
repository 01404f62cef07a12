package avro

import (
	"strings"
	"testing"
)

func TestCheckNew_BoundsIdentifiersAndCheckDoesNot(t *testing.T) {
	s, err := Parse([]byte(`{"type":"record","name":"X","fields":[{"name":"lead_id","type":"string"},{"name":"note","type":"string"},
		{"name":"owner_id","type":["null","string"],"default":null},{"name":"tag_ids","type":{"type":"array","items":"string"}},
		{"name":"part_ids","type":["null",{"type":"array","items":["null","string"]}],"default":null},
		{"name":"any_ids","type":["null","long",{"type":"array","items":"string"}],"default":null},
		{"name":"code","type":"string","max_bytes":3},{"name":"paid","type":["null","string"],"default":null},
		{"name":"inner","type":{"type":"record","name":"Y","fields":[{"name":"id","type":"string"}]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", MaxIdentifier+1)
	good := func(field string, v any) map[string]any {
		data := map[string]any{"lead_id": "1", "note": "n", "owner_id": "o", "tag_ids": []any{"t"}, "code": "abc", "inner": map[string]any{"id": "i"}}
		if field != "" {
			data[field] = v
		}
		return data
	}
	for _, tc := range []struct {
		field, path, says string
		value             any
	}{
		{"", "", "", nil}, {"note", "", "", long}, {"paid", "", "", long}, {"lead_id", "", "", long[1:]},
		{"lead_id", "lead_id", "has 513 bytes, more than the 512", long}, {"owner_id", "owner_id", "513", long},
		{"tag_ids", "tag_ids[]", "513", []any{"t", long}}, {"part_ids", "part_ids[]", "513", []any{"t", long}},
		{"any_ids", "any_ids[]", "513", []any{"t", long}}, {"any_ids", "", "", []any{long[1:]}},
		{"part_ids", "", "", []any{"t", long[1:]}}, {"inner", "inner.id", "513", map[string]any{"id": long}},
		{"lead_id", "lead_id", "has 514 bytes", strings.Repeat("ä", 257)}, {"code", "code", "has 4 bytes, more than the 3", "abcd"},
	} {
		body, err := s.EncodeMap(good(tc.field, tc.value))
		if err != nil {
			t.Fatalf("%s: %v", tc.field, err)
		}
		if err := s.Check(body); err != nil {
			t.Errorf("%s: Check, which readers of a log use, gives %v", tc.field, err)
		}
		for name, check := range map[string]func([]byte) error{"CheckNew": s.CheckNew, "CheckBounds": s.CheckBounds} {
			switch err := check(body); {
			case tc.path == "" && err != nil:
				t.Errorf("%s of %s gives %v", name, tc.field, err)
			case tc.path != "" && (err == nil || !strings.Contains(err.Error(), "field "+tc.path+":") || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("%s of %s gives %v, want field %s and %q", name, tc.field, err, tc.path, tc.says)
			}
		}
	}
}

func TestParse_RefusesABoundThatIsNone(t *testing.T) {
	for _, bad := range []string{`0`, `-1`, `"512"`, `1.5`, `99999999999`} {
		_, err := Parse([]byte(`{"type":"record","name":"X","fields":[{"name":"a","type":"string","max_bytes":` + bad + `}]}`))
		if err == nil || !strings.Contains(err.Error(), "max_bytes") {
			t.Errorf("max_bytes %s gives %v", bad, err)
		}
	}
}
