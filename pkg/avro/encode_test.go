package avro

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestEncodeJSON_RendersBackWhatItWasGiven(t *testing.T) {
	s := mustParse(t, everything)
	body, err := s.EncodeJSON([]byte(everythingJSON))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := s.RenderJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(everythingJSON)); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(string(rendered), "\u2028", `\u2028`); got != want.String() {
		t.Errorf("rendered\n%s, want\n%s", got, want.String())
	}
	agree(t, s, body)
}

func TestDecode_GivesThePromisedTypes(t *testing.T) {
	s := mustParse(t, everything)
	body, err := s.EncodeJSON([]byte(everythingJSON))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"b": true, "i": int64(-2147483648), "l": int64(9007199254740993), "f": float64(float32(0.1)), "d": -1e-7,
		"by": []byte{0, 0xfe, 0x7c}, "s": "Grüße \u2028 \"x\"", "fx": []byte{0, 1, 2, 3}, "e": "RED",
		"id": "018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f", "date": time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC),
		"tms": "23:59:59.999", "tus": "00:00:00.000001", "ms": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		"us": time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), "money": "-99999999999999.9999",
		"rate": "99999999999999999999999999999999999999", "inner": map[string]any{"x": "", "c": "GREEN"},
		"list":  []any{[]any{nil, map[string]any{"x": "a", "c": "RED"}}, []any{}},
		"maybe": map[string]any{"x": "m", "c": "RED"}, "any": []any{int64(1), int64(-1)},
		"def": map[string]any{"x": "d", "c": "RED"},
	}
	want["by"], got["by"] = nil, nil // compared by the golden rendering
	for name := range want {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s is %#v, want %#v", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d fields, want %d", len(got), len(want))
	}
}

func TestEncodeJSON_FillsWhatMayBeLeftOut(t *testing.T) {
	s := mustParse(t, everything)
	body, err := s.EncodeJSON([]byte(`{"b":false,"l":0,"d":0,"s":"","fx":"AAAAAA==","id":"00000000-0000-0000-0000-000000000000",` +
		`"date":"1970-01-01","tms":"00:00:00","tus":"00:00:00","ms":"1970-01-01T01:00:00+01:00","money":0,"inner":{"x":"","c":"RED"}}`))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := s.RenderJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"b":false,"i":-7,"l":0,"f":0.5,"d":0,"by":"/wE=","s":"","fx":"AAAAAA==","e":"GREEN","id":"00000000-0000-0000-0000-000000000000",` +
		`"date":"1970-01-01","tms":"00:00:00.000","tus":"00:00:00.000000","ms":"1970-01-01T00:00:00.000Z","us":null,"money":"0.0000","rate":null,` +
		`"inner":{"x":"","c":"RED"},"list":[],"maybe":null,"any":null,"def":{"x":"y","c":"GREEN"}}`
	if string(rendered) != want {
		t.Errorf("rendered\n%s, want\n%s", rendered, want)
	}
}

func TestEncodeJSON_NamesEveryProblemAtOnce(t *testing.T) {
	s := mustParse(t, everything)
	_, err := s.EncodeJSON([]byte(`{"b":1,"i":2147483648,"l":1.5,"f":1e39,"by":"?","s":7,"fx":"AA==","e":"BLUE","id":"x","date":"2026-02-30",` +
		`"tms":"24:00:00","tus":"1:2:3","ms":"2026-01-01T00:00:00.0001Z","us":"yesterday","money":"1.00001","rate":"1e9","inner":{"c":"RED","y":1},` +
		`"list":[[1]],"maybe":"x","any":{"x":1,"c":"RED"},"def":null,"a/b~c":1,"d":"0"}`))
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatal(err)
	}
	var got []string
	for _, p := range invalid.Problems {
		got = append(got, p.Location)
		if p.Message == "" {
			t.Errorf("%s has no message", p.Location)
		}
	}
	want := "/b /i /l /f /d /by /s /fx /e /id /date /tms /tus /ms /us /money /rate /inner/x /inner/y /list/0/0 /maybe /any/x /def /a~1b~0c"
	if strings.Join(got, " ") != want {
		t.Errorf("problems at\n%s, want\n%s\n%v", strings.Join(got, " "), want, err)
	}
}

func TestEncodeJSON_CountsProblemsBeyondTheFirstFifty(t *testing.T) {
	s := mustParse(t, of(`{"type":"array","items":"int"}`))
	_, err := s.EncodeJSON([]byte(`{"f0":[` + strings.Repeat("true,", 99) + `true]}`))
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok || len(invalid.Problems) != 51 || invalid.Problems[50].Message != "50 more problems" {
		t.Errorf("got %v", err)
	}
}

func TestEncodeJSON_IsStrictAboutValues(t *testing.T) {
	micros := `{"type":"long","logicalType":"timestamp-micros"}`
	decimal := `{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}`
	for _, c := range []struct {
		typ, value string
		want       string // rendered; "" for a problem
	}{
		{`"int"`, `1`, `1`}, {`"int"`, `-0`, `0`}, {`"int"`, `1e3`, `1000`}, {`"int"`, `1.0`, `1`}, {`"int"`, `-5.0E1`, `-50`}, {`"int"`, `1200e-2`, `12`},
		{`"int"`, `1.5`, ``}, {`"int"`, `1e-1`, ``}, {`"int"`, `1e10`, ``}, {`"int"`, `1e99999999999999999999`, ``}, {`"long"`, `12345678901234567.0`, ``}, {`"int"`, `"1"`, ``}, {`"int"`, `null`, ``},
		{`"long"`, `-9223372036854775808`, `-9223372036854775808`}, {`"long"`, `9223372036854775808`, ``},
		{`"double"`, `1e308`, `1e+308`}, {`"double"`, `1e309`, ``}, {`"double"`, `"NaN"`, ``}, {`"double"`, `-0.0`, `-0`},
		{`"float"`, `16777217`, `16777216`}, {`"boolean"`, `"true"`, ``}, {`"boolean"`, `0`, ``},
		{`"string"`, `"\ud83d\ude00"`, `"😀"`}, {`"string"`, `""`, `""`},
		{`"bytes"`, `""`, `""`}, {`"bytes"`, `"AA"`, ``}, {`"bytes"`, `"AB=="`, ``}, {`"bytes"`, `"A-__"`, ``}, {`"bytes"`, `"AA=\n="`, ``},
		{micros, `"2026-01-31T12:00:00+02:00"`, `"2026-01-31T10:00:00.000000Z"`}, {micros, `"2026-01-31T12:00:00.1234567Z"`, ``},
		{micros, `"2026-01-31T12:00:00.123456000Z"`, `"2026-01-31T12:00:00.123456Z"`}, {micros, `"2026-01-31 12:00:00Z"`, ``},
		{micros, `"2026-01-31T12:00:00"`, ``}, {micros, `"2026-01-31T12:00:00,5Z"`, ``}, {micros, `"2026-01-31T2:00:00Z"`, ``}, {micros, `1769860800000000`, ``},
		{micros, `"0000-12-31T23:59:59Z"`, ``}, {micros, `"9999-12-31T23:59:59-01:00"`, ``}, {micros, `"2026-06-30T23:59:60Z"`, ``},
		{micros, `"2026-06-30T23:59:50+24:00"`, ``}, {micros, `"2026-06-30T23:59:50.Z"`, ``}, {micros, `"2026-06-30T23:59:50.12345600000000Z"`, ``}, {micros, `"2026-06-30T23:59:50z"`, ``},
		{decimal, `"1"`, `"1.00"`}, {decimal, `"-0.10"`, `"-0.10"`}, {decimal, `"1.100"`, `"1.10"`}, {decimal, `"1.101"`, ``}, {decimal, `"-0"`, `"0.00"`},
		{decimal, `"9999.99"`, `"9999.99"`}, {decimal, `"10000"`, ``}, {decimal, `"+1"`, ``}, {decimal, `"01"`, ``}, {decimal, `"1."`, ``}, {decimal, `".5"`, ``},
		{decimal, `"1e2"`, ``}, {decimal, `""`, ``}, {decimal, `"٣"`, ``}, {decimal, `12.5`, `"12.50"`}, {decimal, `1e2`, `"100.00"`}, {decimal, `-1.2E+2`, `"-120.00"`},
		{decimal, `1E-2`, `"0.01"`}, {decimal, `1E-3`, ``}, {decimal, `0e9`, `"0.00"`}, {decimal, `0E-9`, `"0.00"`}, {decimal, `1.25e1`, `"12.50"`}, {decimal, `1e9`, ``}, {decimal, `1e65`, ``},
		{decimal, `1e-99999999999`, ``}, {decimal, `true`, ``},
		{decimal, `0.00000000000000000000000001`, ``}, {decimal, `12345678901234567`, ``},
		{`["null","string"]`, `{"string":"x"}`, ``}, {`["null","string"]`, `"x"`, `"x"`}, {`["null","string"]`, `1`, ``},
		{`["string","int"]`, `1`, `1`}, {`["string","int"]`, `null`, ``}, {`["string","int"]`, `[]`, ``},
		{`{"type":"array","items":"int"}`, `{}`, ``}, {`{"type":"array","items":"int"}`, `[[]]`, ``},
	} {
		s := mustParse(t, of(c.typ))
		body, err := s.EncodeJSON([]byte(`{"f0":` + c.value + `}`))
		if c.want == "" {
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Errorf("%s as %s: %x, %v", c.value, c.typ, body, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s as %s: %v", c.value, c.typ, err)
			continue
		}
		if rendered, err := s.RenderJSON(body); err != nil || string(rendered) != `{"f0":`+c.want+`}` {
			t.Errorf("%s as %s is rendered %s (%v), want %s", c.value, c.typ, rendered, err, c.want)
		}
		agree(t, s, body)
	}
}

func TestEncodeJSON_RefusesHostileJSONCheaply(t *testing.T) {
	s := mustParse(t, of(`["null","string"]`, `["null",{"type":"array","items":"int"}]`))
	for name, text := range map[string]string{
		"empty":               ``,
		"space":               `   `,
		"cut":                 `{"f0":"a"`,
		"no object":           `[]`,
		"null":                `null`,
		"trailing":            `{"f0":"a"} x`,
		"two":                 `{"f0":"a"}{}`,
		"doubled":             `{"f0":"a","f0":"b"}`,
		"doubled by escape":   `{"f0":"a","\u00660":"b"}`,
		"other case":          `{"F0":"a"}`,
		"not UTF-8":           "{\"f0\":\"\xff\"}",
		"lone surrogate":      `{"f0":"\ud800"}`,
		"surrogates reversed": `{"f0":"\ude00\ud83d"}`,
		"NUL":                 `{"f0":"\u0000"}`,
		"raw NUL":             "{\"f0\":\"\x00\"}",
		"NUL in a name":       `{"f\u0000":"a"}`,
		"control character":   "{\"f0\":\"\n\"}",
		"byte order mark":     "\ufeff{}",
		"comment":             `{/* */}`,
		"trailing comma":      `{"f0":"a",}`,
		"single quotes":       `{'f0':'a'}`,
		"NaN":                 `{"f0":NaN}`,
		"leading zero":        `{"f1":[01]}`,
		"hex":                 `{"f1":[0x1]}`,
		"33 levels":           `{"f1":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
		"a million levels":    `{"f1":` + strings.Repeat("[", 1_000_000),
		"a million objects":   strings.Repeat(`{"f0":`, 600_000),
		"a million values":    `{"f1":[` + strings.Repeat("1,", 1_000_000) + `1]}`,
		"5 MB":                `{"f0":"` + strings.Repeat("a", 5<<20) + `"}`,
		"3 MB of text":        `{"f0":"` + strings.Repeat("a", 3<<20) + `"}`,
		"long number":         `{"f1":[` + strings.Repeat("9", 1_000_000) + `]}`,
		"long name":           `{"` + strings.Repeat("a", 1_000_000) + `":1}`,
		"long name, NUL":      `{"` + strings.Repeat("ä", 500_000) + `":{"x":"\u0000"}}`,
		"long name doubled":   `{"` + strings.Repeat("a", 1_000_000) + `":1,"` + strings.Repeat("a", 1_000_000) + `":1}`,
		"long name, no JSON":  `{"` + strings.Repeat("a", 1_000_000) + `":{x`,
		"array, comma":        `{"f1":[1,]}`,
		"100,001 items":       `{"f1":[` + strings.Repeat("1,", MaxItems) + `1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(text)
			cheap(t, 64, func() {
				body, err := s.EncodeJSON(data)
				if _, ok := errors.AsType[*InvalidError](err); !ok {
					t.Errorf("got %x, %v", body, err)
				} else if len(err.Error()) > 2_000 {
					t.Errorf("the error is %d bytes long", len(err.Error()))
				} else if !utf8.ValidString(err.Error()) {
					t.Error("the error is not UTF-8")
				}
			})
		})
	}
}

func TestEncodeMap_TakesGoValues(t *testing.T) {
	s := mustParse(t, everything)
	at := time.Date(2026, 1, 31, 13, 0, 0, 5000, time.FixedZone("x", 3600))
	body, err := s.EncodeMap(map[string]any{
		"b": true, "i": 7, "l": int32(8), "f": 1, "d": float32(0.5), "by": []byte("x"), "s": "s", "fx": []byte("four"), "e": "RED",
		"id": "018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f", "date": "2026-01-31", "tms": "01:02:03", "tus": "01:02:03.000004",
		"ms": at.Truncate(time.Second), "us": at, "money": 12, "rate": nil, "inner": map[string]any{"x": "", "c": "RED"}, "any": "text",
	})
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := s.RenderJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"b":true,"i":7,"l":8,"f":1,"d":0.5,"by":"eA==","s":"s","fx":"Zm91cg==","e":"RED","id":"018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f",` +
		`"date":"2026-01-31","tms":"01:02:03.000","tus":"01:02:03.000004","ms":"2026-01-31T12:00:00.000Z","us":"2026-01-31T12:00:00.000005Z",` +
		`"money":"12.0000","rate":null,"inner":{"x":"","c":"RED"},"list":[],"maybe":null,"any":"text","def":{"x":"y","c":"GREEN"}}`
	if string(rendered) != want {
		t.Errorf("rendered\n%s, want\n%s", rendered, want)
	}
}

func TestEncodeMap_RefusesOtherGoValues(t *testing.T) {
	for typ, values := range map[string][]any{
		`"int"`:                             {1.0, float32(1), "1", uint(1), int64(1 << 40), time.Second, struct{}{}},
		`"string"`:                          {[]byte("x"), "a\x00", "\xff", 1, fmt.Errorf("x")},
		`"double"`:                          {"1", true, func() {}},
		`["null","string"]`:                 {1, []string{"x"}},
		`{"type":"array","items":"string"}`: {[]string{"x"}, []any{1}},
		`{"type":"long","logicalType":"timestamp-micros"}`: {1, time.Unix(0, 1), time.Time{}.Add(-time.Hour)},
		`{"type":"int","logicalType":"date"}`:              {time.Unix(1, 0)},
	} {
		s := mustParse(t, of(typ))
		for _, v := range values {
			body, err := s.EncodeMap(map[string]any{"f0": v})
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Errorf("%T %v as %s: %x, %v", v, v, typ, body, err)
			}
		}
	}
	empty := mustParse(t, `{"type":"record","name":"R","fields":[]}`)
	if body, err := empty.EncodeMap(nil); err != nil || len(body) != 0 {
		t.Errorf("nil for a record without fields: %x, %v", body, err)
	}
	if _, err := empty.EncodeMap(map[string]any{"x": nil}); err == nil {
		t.Error("an unknown key was taken")
	}
}

func TestCanonicalJSON_FollowsRFC8785(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[ 1.0 , 1e2, -0.0, 0.000001, 1E21, 1e-7 ] }`: `{"a":[1,100,0,0.000001,1e+21,1e-7],"b":1}`,
		`{"\u20ac":1,"\r":2,"\ud83d\ude00":3,"1":4,"\u00f6":5}`:  `{"\r":2,"1":4,"ö":5,"€":1,"😀":3}`,
		`"\u0061\/\u001f\""`: `"a/\u001f\""`,
		`333333333.33333329`: `333333333.3333333`,
		`9007199254740993`:   `9007199254740993`,
		` null `:             `null`,
	} {
		if got, err := CanonicalJSON([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s: %s (%v), want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `{"a":1,"a":1}`, `1e400`, `[1e999]`, `{"a":"\u0000"}`, "\"\xff\"", `1 2`, strings.Repeat("[", 40) + strings.Repeat("]", 40)} {
		if got, err := CanonicalJSON([]byte(in)); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
	data := []byte(`{"b":1, "a":2}`)
	if _, err := CanonicalJSON(data); err != nil || string(data) != `{"b":1, "a":2}` {
		t.Errorf("the input was changed to %s (%v)", data, err)
	}
}
