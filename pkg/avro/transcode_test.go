package avro

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/jsonscan"
)

// transcodersAgree holds the transcoder against goavro: it takes what the tree takes, unless the scanner leaves it to that,
// and gives the same bytes; its canonical form is that of CanonicalJSON; and EncodeJSON refuses in the tree's words.
func transcodersAgree(t *testing.T, s *Schema, data []byte) (taken bool) {
	t.Helper()
	want, wantErr := s.encodeTree(data, nil)
	var doc jsonscan.Doc
	var coder Transcoder
	scanned := len(data) <= MaxJSON && doc.Scan(data, MaxDepth)
	if scanned {
		var body []byte
		body, taken = coder.Append([]byte("before"), s, &doc, 0)
		if taken {
			if wantErr != nil || !bytes.Equal(body, append([]byte("before"), want...)) {
				t.Fatalf("%s is transcoded as %x, goavro has %x (%v)", data, body[len("before"):], want, wantErr)
			}
			canonical := coder.AppendCanonical([]byte("ahead"), s, &doc, 0)
			if form, err := CanonicalJSON(data); err != nil || string(canonical) != "ahead"+string(form) {
				t.Fatalf("%s: canonical form\n%s, want\n%s (%v)", data, canonical[len("ahead"):], form, err)
			}
			again, taken := coder.Append(nil, s, &doc, 0)
			if !taken || !bytes.Equal(again, want) {
				t.Fatalf("%s: transcoded again as %x (%v), want %x", data, again, taken, want)
			}
		} else if string(body) != "before" {
			t.Fatalf("%s is not taken, and leaves %q", data, body)
		}
	}
	if scanned && !taken && wantErr == nil {
		t.Fatalf("%s is scanned and good, and not taken", data)
	}
	if got, err := s.EncodeJSON(data); !bytes.Equal(got, want) || !reflect.DeepEqual(err, wantErr) {
		t.Fatalf("%s is encoded as %x (%v), want %x (%v)", data, got, err, want, wantErr)
	}
	return taken
}

// FuzzTranscode: the transcoder and goavro give the same bytes for every schema of the repository, or both refuse.
func FuzzTranscode(f *testing.F) {
	all := catalogued(f)
	f.Add(uint8(0), []byte(everythingJSON))
	for i, s := range all[1:] {
		f.Add(uint8(i+1), []byte(goldenOf(f, s.EventType()).Input))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		transcodersAgree(t, all[int(which)%len(all)], data)
	})
}

// FuzzTranscodeMadeUp: the same for schemas and data made up from a seed, with bytes changed where the fuzzer picks.
func FuzzTranscodeMadeUp(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint16(0), byte(0))
		f.Add(seed, uint16(7*seed+3), byte(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, at uint16, change byte) {
		m := &maker{Rand: rand.New(rand.NewPCG(seed, 11))}
		s, err := Parse([]byte(m.record(4)))
		if err != nil {
			return // the maker makes up unions of what looks alike, too
		}
		data, err := json.Marshal(m.value(s.root))
		if err != nil {
			t.Fatal(err)
		}
		data[int(at)%len(data)] ^= change
		transcodersAgree(t, s, data)
	})
}

func TestTranscoder_AgreesWithGoavroOnTheCatalogue(t *testing.T) {
	for i, s := range catalogued(t) {
		data := []byte(everythingJSON)
		if i > 0 {
			data = goldenOf(t, s.EventType()).Input
		}
		if !transcodersAgree(t, s, data) {
			t.Errorf("%s: the golden record is not taken", s.FullName())
		}
		// Whatever one byte becomes, both say the same; most is refused, in the words of the tree.
		for at := range data {
			for _, change := range []byte{1, 2, 16, 32, 64} {
				damaged := bytes.Clone(data)
				damaged[at] ^= change
				transcodersAgree(t, s, damaged)
			}
			transcodersAgree(t, s, data[:at])
		}
	}
}

func TestTranscoder_TakesMembersInAnyOrderAndSpelling(t *testing.T) {
	s := mustParse(t, everything)
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(everythingJSON), &members); err != nil {
		t.Fatal(err)
	}
	want, err := s.encodeTree([]byte(everythingJSON), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		var parts []string
		for name, value := range members { // in a random order
			parts = append(parts, "\n\t\""+name+"\" : "+string(value))
		}
		data := []byte("{" + strings.Join(parts, " ,") + " } ")
		if !transcodersAgree(t, s, data) {
			t.Fatalf("%s is not taken", data)
		}
		if body, err := s.EncodeJSON(data); err != nil || !bytes.Equal(body, want) {
			t.Fatalf("%s is encoded as %x (%v), want %x", data, body, err, want)
		}
	}
	for _, c := range []struct{ typ, value string }{
		{`"string"`, `"\u0041\/\ud83d\ude00\n\\"`}, {`"string"`, `"\u2028\u007f\u001f"`}, {`"bytes"`, `"\/\/8="`}, {`"bytes"`, `"\n"`}, {`"bytes"`, `"===="`}, {`"bytes"`, `"AA=A"`},
		{`"double"`, `-0.0`}, {`"double"`, `1E5`}, {`"double"`, `12345678901234567890`}, {`"float"`, `1e-50`}, {`"float"`, `-0`}, {`"long"`, `-0`},
		{`{"type":"long","logicalType":"timestamp-micros"}`, `"2026-01-31T12:00:00\u005a"`}, {`{"type":"enum","name":"E","symbols":["A","B"]}`, `"\u0042"`},
		{`{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}`, `"1\u002e5"`}, {`{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}`, `-0.50`},
		{`["null",{"type":"bytes","logicalType":"decimal","precision":6,"scale":2},"boolean"]`, `12`}, {`{"type":"string","logicalType":"uuid"}`, `"018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f"`},
	} {
		transcodersAgree(t, mustParse(t, of(c.typ)), []byte(`{"f0":`+c.value+`}`))
	}
}

func TestTranscoder_FindsFieldsOfWideRecords(t *testing.T) {
	types := make([]string, 300)
	var forward, backward []string
	for i := range types {
		types[i] = `["null","int"]`
		if i%2 == 0 && len(forward) < 120 {
			forward = append(forward, `"f`+itoa(i)+`":`+itoa(i))
		}
	}
	for _, part := range forward {
		backward = append([]string{part}, backward...)
	}
	s := mustParse(t, of(types...))
	for _, parts := range [][]string{forward, backward} {
		if !transcodersAgree(t, s, []byte("{"+strings.Join(parts, ",")+"}")) {
			t.Error("not taken")
		}
	}
	if transcodersAgree(t, s, []byte(`{"f300":1}`)) {
		t.Error("a field that is not there is taken")
	}
}

func itoa(i int) string {
	b, _ := json.Marshal(i)
	return string(b)
}

func TestEncodeJSON_RefusesWhatDefaultsBlowUpCheaply(t *testing.T) {
	fields := make([]string, 900)
	for i := range fields {
		fields[i] = `{"name":"f` + itoa(i) + `","type":["null","int"],"default":null}`
	}
	s := mustParse(t, of(`{"type":"array","items":{"type":"record","name":"Wide","fields":[`+strings.Join(fields, ",")+`]}}`))
	data := []byte(`{"f0":[` + strings.Repeat("{},", 60_000) + `{}]}`)
	cheap(t, 1024, func() {
		if body, err := s.EncodeJSON(data); err == nil || !strings.Contains(err.Error(), "takes more than") {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	})
}

func TestTranscoder_AllocatesNothingOfItsOwn(t *testing.T) {
	s := mustParse(t, everything)
	var doc jsonscan.Doc
	var coder Transcoder
	body, canonical := make([]byte, 0, 4096), make([]byte, 0, 4096)
	data := []byte(`{"b":false,"l":1,"d":0.25,"s":"x\ny","fx":"AAAAAA==","id":"00000000-0000-0000-0000-000000000000","date":"1970-01-01",` +
		`"tms":"00:00:00","tus":"00:00:00","ms":"1970-01-01T01:00:00+01:00","money":"125.50","inner":{"x":"","c":"RED"},"list":[[null]]}`)
	if n := testing.AllocsPerRun(100, func() {
		if !doc.Scan(data, MaxDepth) {
			t.Fatal("not scanned")
		}
		if _, taken := coder.Append(body, s, &doc, 0); !taken {
			t.Fatal("not taken")
		}
		coder.AppendCanonical(canonical, s, &doc, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
