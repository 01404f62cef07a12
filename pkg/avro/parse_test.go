package avro

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse_RefusesSchemasThatHurt(t *testing.T) {
	field := func(f string) string {
		return `{"type":"record","name":"R","namespace":"t","fields":[` + f + `]}`
	}
	for name, text := range map[string]string{
		"empty":                   ``,
		"not JSON":                `{`,
		"trailing":                of(`"int"`) + `x`,
		"two texts":               of(`"int"`) + of(`"int"`),
		"not UTF-8":               field("{\"name\":\"a\",\"type\":\"int\",\"doc\":\"\xff\"}"),
		"NUL":                     field(`{"name":"a","type":"int","doc":"\u0000"}`),
		"name twice":              `{"type":"record","type":"record","name":"R","fields":[]}`,
		"name twice, escaped":     `{"type":"record","name":"R","n\u0061me":"S","fields":[]}`,
		"string":                  `"string"`,
		"union":                   `["null","string"]`,
		"array":                   `{"type":"array","items":"int"}`,
		"error":                   `{"type":"error","name":"R","fields":[]}`,
		"map":                     of(`{"type":"map","values":"int"}`),
		"map by name":             of(`"map"`),
		"recursion":               field(`{"name":"n","type":["null","R"]}`),
		"recursion by full name":  field(`{"name":"n","type":["null","t.R"]}`),
		"record of itself":        field(`{"name":"n","type":"R"}`),
		"mutual recursion":        field(`{"name":"a","type":{"type":"record","name":"A","fields":[{"name":"b","type":{"type":"record","name":"B","fields":[{"name":"a","type":{"type":"array","items":"A"}}]}}]}}`),
		"unknown type":            of(`"Missing"`),
		"type before definition":  of(`"test.v1.E"`, `{"type":"enum","name":"E","symbols":["A"]}`),
		"null field":              of(`"null"`),
		"empty record field":      of(`{"type":"record","name":"E","fields":[]}`),
		"array of null":           of(`{"type":"array","items":"null"}`),
		"array of empty record":   of(`{"type":"array","items":{"type":"record","name":"E","fields":[]}}`),
		"union of empty record":   of(`["null",{"type":"record","name":"E","fields":[]}]`),
		"empty union":             of(`[]`),
		"union in union":          of(`["null",["int","string"]]`),
		"union twice":             of(`["int","int"]`),
		"union alike":             of(`["int","double"]`),
		"union alike in JSON":     of(`["string","bytes"]`),
		"union of two records":    of(`[{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}]`),
		"symbol twice":            of(`{"type":"enum","name":"E","symbols":["A","A"]}`),
		"no symbols":              of(`{"type":"enum","name":"E","symbols":[]}`),
		"symbol of letters":       of(`{"type":"enum","name":"E","symbols":["Ä"]}`),
		"enum default":            of(`{"type":"enum","name":"E","symbols":["A"],"default":"B"}`),
		"fixed of nothing":        of(`{"type":"fixed","name":"F","size":0}`),
		"fixed negative":          of(`{"type":"fixed","name":"F","size":-1}`),
		"fixed huge":              of(`{"type":"fixed","name":"F","size":9223372036854775807}`),
		"fixed beyond int64":      of(`{"type":"fixed","name":"F","size":9223372036854775808}`),
		"fixed fraction":          of(`{"type":"fixed","name":"F","size":1.5}`),
		"fixed float":             of(`{"type":"fixed","name":"F","size":4.0}`),
		"precision huge":          of(`{"type":"bytes","logicalType":"decimal","precision":2147483647,"scale":2147483646}`),
		"precision none":          of(`{"type":"bytes","logicalType":"decimal"}`),
		"scale over precision":    of(`{"type":"bytes","logicalType":"decimal","precision":4,"scale":5}`),
		"scale negative":          of(`{"type":"bytes","logicalType":"decimal","precision":4,"scale":-1}`),
		"decimal in small fixed":  of(`{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":9}`),
		"decimal over string":     of(`{"type":"string","logicalType":"decimal","precision":9}`),
		"uuid over int":           of(`{"type":"int","logicalType":"uuid"}`),
		"uuid over fixed":         of(`{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`),
		"timestamp over int":      of(`{"type":"int","logicalType":"timestamp-micros"}`),
		"unknown logical type":    of(`{"type":"long","logicalType":"timestamp-nanos"}`),
		"logical type of an int":  of(`{"type":"int","logicalType":7}`),
		"logical type on enum":    of(`{"type":"enum","name":"E","symbols":["A"],"logicalType":"uuid"}`),
		"field twice":             field(`{"name":"a","type":"int"},{"name":"a","type":"int"}`),
		"alias of a field":        field(`{"name":"a","type":"int"},{"name":"b","type":"int","aliases":["a"]}`),
		"alias cycle":             field(`{"name":"a","type":"int","aliases":["b"]},{"name":"b","type":"int","aliases":["a"]}`),
		"alias of itself":         field(`{"name":"a","type":"int","aliases":["a"]}`),
		"aliases no list":         field(`{"name":"a","type":"int","aliases":"b"}`),
		"field name":              field(`{"name":"a-b","type":"int"}`),
		"field name unicode":      field(`{"name":"ä","type":"int"}`),
		"field name digit":        field(`{"name":"1a","type":"int"}`),
		"field name long":         field(`{"name":"` + strings.Repeat("a", 300) + `","type":"int"}`),
		"field without name":      field(`{"type":"int"}`),
		"field without type":      field(`{"name":"a"}`),
		"field no object":         field(`"a"`),
		"fields no list":          `{"type":"record","name":"R","fields":{}}`,
		"no fields":               `{"type":"record","name":"R"}`,
		"no name":                 `{"type":"record","fields":[]}`,
		"name of a primitive":     `{"type":"record","name":"string","fields":[]}`,
		"name of record":          `{"type":"record","name":"record","fields":[]}`,
		"name with empty word":    `{"type":"record","name":"a..R","fields":[]}`,
		"namespace no string":     `{"type":"record","name":"R","namespace":7,"fields":[]}`,
		"namespace with space":    `{"type":"record","name":"R","namespace":"a b","fields":[]}`,
		"type defined twice":      of(`{"type":"enum","name":"E","symbols":["A"]}`, `{"type":"enum","name":"E","symbols":["A"]}`),
		"type named as the top":   of(`{"type":"enum","name":"R","symbols":["A"]}`),
		"default of other type":   field(`{"name":"a","type":"int","default":"1"}`),
		"default beyond int":      field(`{"name":"a","type":"int","default":2147483648}`),
		"default fraction":        field(`{"name":"a","type":"long","default":1.5}`),
		"default of 2nd branch":   field(`{"name":"a","type":["null","string"],"default":"x"}`),
		"default null":            field(`{"name":"a","type":"string","default":null}`),
		"default no symbol":       field(`{"name":"a","type":{"type":"enum","name":"E","symbols":["A"]},"default":"B"}`),
		"default no byte":         field(`{"name":"a","type":"bytes","default":"\u0100"}`),
		"default of other size":   field(`{"name":"a","type":{"type":"fixed","name":"F","size":2},"default":"a"}`),
		"default no uuid":         field(`{"name":"a","type":{"type":"string","logicalType":"uuid"},"default":"x"}`),
		"default of other record": field(`{"name":"a","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]},"default":{}}`),
		"default, unknown field":  field(`{"name":"a","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]},"default":{"x":1,"y":2}}`),
		"default in array":        field(`{"name":"a","type":{"type":"array","items":"int"},"default":[1,"2"]}`),
		"default beyond float":    field(`{"name":"a","type":"float","default":1e39}`),
		"default beyond double":   field(`{"name":"a","type":"double","default":1e400}`),
		"doc no string":           field(`{"name":"a","type":"int","doc":1}`),
		"order":                   field(`{"name":"a","type":"int","order":"up"}`),
		"pii no string":           field(`{"name":"a","type":"string","pii":true}`),
		"pii on a type":           field(`{"name":"a","type":{"type":"string","pii":"email"}}`),
		"pii_subject alone":       field(`{"name":"a","type":"string","pii_subject":"b"}`),
		"event_type no string":    `{"type":"record","name":"R","event_type":1,"fields":[]}`,
		"event_type one word":     `{"type":"record","name":"R","event_type":"lead","fields":[]}`,
		"event_type upper case":   `{"type":"record","name":"R","event_type":"lead.Created","fields":[]}`,
		"event_type empty word":   `{"type":"record","name":"R","event_type":"lead..created","fields":[]}`,
		"type in a type":          of(`{"type":{"type":"string"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(text))
			if _, ok := errors.AsType[*SchemaError](err); !ok {
				t.Errorf("got %v, %v from %s", s, err, text)
			}
		})
	}
}

func TestParse_RefusesBombsCheaply(t *testing.T) {
	nest := func(open, middle, end string, n int) string {
		return of(strings.Repeat(open, n) + middle + strings.Repeat(end, n))
	}
	var doubling strings.Builder // L1 has two L0, L2 two L1, …: 2^30 fields in a few lines
	doubling.WriteString(`{"type":"record","name":"L0","fields":[{"name":"a","type":"int"}]}`)
	for i := 1; i <= 30; i++ {
		fmt.Fprintf(&doubling, `,{"type":"record","name":"L%d","fields":[{"name":"a","type":"L%d"},{"name":"b","type":"L%d"}]}`, i, i-1, i-1)
	}
	var levels []string
	for i, definition := range strings.Split(doubling.String(), `,{"type":"record"`) {
		if i > 0 {
			definition = `{"type":"record"` + definition
		}
		levels = append(levels, definition)
	}
	var fields strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&fields, `{"name":"f%d","type":"int"},`, i)
	}
	for name, text := range map[string]string{
		"50 MB":                    of(`"int"`) + strings.Repeat(" ", 50<<20),
		"20,000 arrays deep":       nest(`{"type":"array","items":`, `"int"`, `}`, 20_000),
		"33 arrays deep":           nest(`{"type":"array","items":`, `"int"`, `}`, 33),
		"20,000 brackets":          strings.Repeat("[", 20_000),
		"a million objects":        strings.Repeat(`{"type":`, 1_000_000),
		"unions deep":              nest(`["null",`, `"int"`, `]`, 5_000),
		"100,000 fields":           `{"type":"record","name":"R","fields":[` + strings.TrimSuffix(fields.String(), ",") + `]}`,
		"1,001 fields":             of(strings.Split(strings.TrimSuffix(strings.Repeat(`"int",`, 1001), ","), ",")...),
		"doubling at every level":  of(levels...),
		"10,000 symbols":           of(`{"type":"enum","name":"E","symbols":[` + strings.TrimSuffix(strings.Repeat(`"A",`, 10_000), ",") + `]}`),
		"long name":                `{"type":"record","name":"` + strings.Repeat("a", 200_000) + `","fields":[]}`,
		"deep default":             `{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}]}`,
		"deep property":            `{"type":"record","name":"R","x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,"fields":[]}`,
		"100,000 values":           `{"type":"record","name":"R","x":[` + strings.Repeat("1,", 100_000) + `1],"fields":[]}`,
		"recursion under 30 names": nest(`{"type":"array","items":`, `"R"`, `}`, 30),
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(text)
			cheap(t, 16, func() {
				if _, err := Parse(data); err == nil {
					t.Error("accepted")
				} else if len(err.Error()) > 2_000 {
					t.Errorf("the error is %d bytes long", len(err.Error()))
				}
			})
		})
	}
}

func TestParse_AcceptsWhatIsAtTheBounds(t *testing.T) {
	for name, text := range map[string]string{
		"no fields":      `{"type":"record","name":"R","fields":[]}`,
		"no namespace":   `{"type":"record","name":"R","fields":[{"name":"e","type":{"type":"enum","name":"x.E","symbols":["A"]}},{"name":"f","type":"x.E"}]}`,
		"1,000 fields":   of(strings.Split(strings.TrimSuffix(strings.Repeat(`"int",`, 1000), ","), ",")...),
		"30 arrays deep": of(strings.Repeat(`{"type":"array","items":`, 30) + `"int"` + strings.Repeat(`}`, 30)),
		"keywords":       `{"type":"record","name":"class","namespace":"for.if","fields":[{"name":"type","type":"int"},{"name":"null","type":"string"}]}`,
		"two decimals":   of(`{"type":"bytes","logicalType":"decimal","precision":38,"scale":38}`, `{"type":"bytes","logicalType":"decimal","precision":1}`),
		"fixed decimal":  of(`{"type":"fixed","name":"F","size":16,"logicalType":"decimal","precision":38}`),
		"aliases":        `{"type":"record","name":"R","aliases":["x.Q"],"fields":[{"name":"a","type":"int","aliases":["b"]}]}`,
		"64 KiB fixed":   of(`{"type":"fixed","name":"F","size":65536}`),
		"everything":     everything,
	} {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, text)
			again := mustParse(t, string(s.Text()))
			if !bytes.Equal(s.Text(), again.Text()) || s.Fingerprint() != again.Fingerprint() {
				t.Errorf("the canonical text of the canonical text differs: %s", again.Text())
			}
		})
	}
}

func TestParse_ReadsNamesTypeAndPersonalFields(t *testing.T) {
	s := mustParse(t, everything)
	if s.FullName() != "test.v1.Everything" || s.EventType() != "test.everything" {
		t.Errorf("names: %s %s", s.FullName(), s.EventType())
	}
	want := []PersonalField{
		{"inner.x", "name", "s"}, {"list[][].x", "name", "s"}, {"maybe.x", "name", "s"}, {"any.x", "name", "s"}, {"def.x", "name", "s"},
	}
	if got := s.Personal(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("personal fields: %v, want %v", got, want)
	}
	spaced := mustParse(t, strings.ReplaceAll(everything, `":`, "\" :\n "))
	if s.Fingerprint() != spaced.Fingerprint() {
		t.Error("layout changes the fingerprint")
	}
	if other := mustParse(t, strings.Replace(everything, "test.everything", "test.other", 1)); other.Fingerprint() == s.Fingerprint() {
		t.Error("another event type has the same fingerprint")
	}
}

func TestCatalogueMajor_IsZeroForRecordsOutsideTheRules(t *testing.T) {
	for text, want := range map[string]int{
		`{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","event_type":"lead.created","fields":[]}`:            1,
		`{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v12","event_type":"lead.created","fields":[]}`:           12,
		`{"type":"record","name":"TenantKeyIssued","namespace":"neuronx.tenant.v1","event_type":"tenant.key_issued","fields":[]}`: 1,
		`{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v01","event_type":"lead.created","fields":[]}`:           0,
		`{"type":"record","name":"Other","namespace":"neuronx.lead.v1","event_type":"lead.created","fields":[]}`:                  0,
		`{"type":"record","name":"LeadCreated","namespace":"evil.lead.v1","event_type":"lead.created","fields":[]}`:               0,
		`{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","fields":[]}`:                                        0,
	} {
		if got := mustParse(t, text).CatalogueMajor(); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
