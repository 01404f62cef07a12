package avro

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linkedin/goavro/v2"
)

// catalogued are the schemas of the repository, and one with every type.
func catalogued(t testing.TB) []*Schema {
	t.Helper()
	paths, err := filepath.Glob("../../schemas/*/*.avsc")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d schemas found (%v)", len(paths), err)
	}
	slices.Sort(paths)
	all := []*Schema{mustParse(t, everything)}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mustParse(t, string(text)))
	}
	return all
}

type goldenRecord struct {
	Input json.RawMessage `json:"input"`
	Body  string          `json:"body"`
}

func goldenOf(t testing.TB, eventType string) goldenRecord {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../schemas/golden", eventType+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var g goldenRecord
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// FuzzCheck: what Check accepts, everything else reads, with nothing left and with one meaning; goavro too, which may
// decode here because Check went first.
func FuzzCheck(f *testing.F) {
	all := catalogued(f)
	for i, s := range all[1:] {
		body, err := hex.DecodeString(goldenOf(f, s.EventType()).Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i+1), body)
	}
	body, err := all[0].EncodeJSON([]byte(everythingJSON))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), body)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		s := all[int(which)%len(all)]
		if err := s.Check(body); err != nil {
			if _, ok := errors.AsType[*BodyError](err); !ok {
				t.Fatalf("%T is not a BodyError", err)
			}
			return
		}
		agree(t, s, body)
		native, rest, err := s.encoder.NativeFromBinary(body)
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro leaves %d bytes (%v) of %x", len(rest), err, body)
		}
		again, err := s.encoder.BinaryFromNative(nil, native)
		if err != nil || s.Check(again) != nil {
			t.Fatalf("goavro encodes %x again as %x (%v)", body, again, err)
		}
	})
}

// FuzzEncodeJSON: JSON is refused with problems, or encoded into a body that passes the check and renders to JSON with
// the same body.
func FuzzEncodeJSON(f *testing.F) {
	all := catalogued(f)
	f.Add(uint8(0), []byte(everythingJSON))
	for i, s := range all[1:] {
		f.Add(uint8(i+1), []byte(goldenOf(f, s.EventType()).Input))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		s := all[int(which)%len(all)]
		body, err := s.EncodeJSON(data)
		if err != nil {
			if e, ok := errors.AsType[*InvalidError](err); !ok || len(e.Problems) == 0 {
				t.Fatalf("%T %v has no problems", err, err)
			}
			return
		}
		if err := s.Check(body); err != nil {
			t.Fatal(err)
		}
		if twice, err := s.EncodeJSON(data); err != nil || !bytes.Equal(body, twice) {
			t.Fatalf("encoded as %x, then as %x (%v)", body, twice, err)
		}
		rendered, err := s.RenderJSON(body)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.EncodeJSON(rendered); err != nil || !bytes.Equal(body, again) {
			t.Fatalf("%s encodes as %x, rendered as %s encodes as %x (%v)", data, body, rendered, again, err)
		}
		agree(t, s, body)
	})
}

// FuzzParse: a schema is refused, or has a canonical text that is the same schema, and compilers of all codecs agree.
func FuzzParse(f *testing.F) {
	for _, s := range catalogued(f) {
		f.Add(s.Text())
	}
	f.Add([]byte(everything))
	f.Add([]byte(of(`{"type":"fixed","name":"F","size":16,"logicalType":"decimal","precision":38}`, `"F"`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			e, ok := errors.AsType[*SchemaError](err)
			if !ok {
				t.Fatalf("%T is not a SchemaError", err)
			}
			// Whatever gets as far as a codec is accepted by it: else a rule of ours is missing.
			if bytes.Contains([]byte(e.Message), []byte("avro:")) {
				t.Fatalf("a codec refused what the parser let through: %v", err)
			}
			return
		}
		again, err := Parse(s.Text())
		if err != nil || again.Fingerprint() != s.Fingerprint() {
			t.Fatalf("the canonical text %s is another schema (%v)", s.Text(), err)
		}
		if err := CheckCompatible(s, again); err != nil {
			t.Fatalf("not compatible with itself: %v", err)
		}
		if _, err := goavro.NewCodec(wireSchema(s.root)); err != nil {
			t.Fatal(err)
		}
		_ = Lint("schemas/lead/created.v1.avsc", text)
		if err := s.Check(nil); err == nil && len(s.root.fields) > 0 {
			t.Fatal("nothing is a value of a record with fields")
		}
		if body, err := s.EncodeJSON([]byte(`{}`)); err == nil {
			agree(t, s, body)
		}
	})
}

// FuzzCanonicalJSON: canonical text is canonical, and is refused exactly when a strict reader refuses it.
func FuzzCanonicalJSON(f *testing.F) {
	for _, seed := range []string{everythingJSON, `{"b":[1.0,1e2,-0],"a":{"é":null,"e":true}}`, `"\ud83d\ude00"`, `9007199254740993`, `{"a":1,"a":2}`, `"\u0000"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := CanonicalJSON(data)
		if err != nil {
			return
		}
		if !json.Valid(data) || !json.Valid(out) {
			t.Fatalf("%q was taken, and gave %q", data, out)
		}
		if again, err := CanonicalJSON(out); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q gives %q gives %q (%v)", data, out, again, err)
		}
	})
}
