package archive

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

var update = flag.Bool("update", false, "write the expected bytes of golden files that have none")

// golden is one file: a record of the log, and the bytes that the archive keeps of it for ever.
type golden struct {
	Tenant      string     `json:"tenant"`
	Headers     [][]string `json:"headers"`
	Value       string     `json:"value"`       // hex
	Fingerprint string     `json:"fingerprint"` // hex
	Stored      string     `json:"stored"`      // hex
}

func (g golden) event(t *testing.T) (event.Recorded, [32]byte) {
	t.Helper()
	var hs []event.Header
	for _, h := range g.Headers {
		hs = append(hs, event.Header{Key: h[0], Value: []byte(h[1])})
	}
	value, err := hex.DecodeString(g.Value)
	if err != nil {
		t.Fatal(err)
	}
	r, err := event.ParseRecorded([]byte(g.Tenant), hs, value)
	if err != nil {
		t.Fatal(err)
	}
	fp, err := hex.DecodeString(g.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return r, [32]byte(fp)
}

func TestStored_NeverChanges(t *testing.T) {
	files, err := filepath.Glob("testdata/stored/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var g golden
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatal(file, err)
		}
		r, fp := g.event(t)
		stored, err := Stored(r, fp)
		if err != nil {
			t.Fatal(file, err)
		}
		if *update && g.Stored == "" {
			g.Stored = hex.EncodeToString(stored)
			out, err := json.MarshalIndent(g, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := hex.EncodeToString(stored); got != g.Stored {
			t.Errorf("%s:\ngot  %s\nwant %s", file, got, g.Stored)
		}
	}
}

func full() event.Recorded {
	return event.Recorded{
		Event: event.Event{
			TenantID: "acme", ID: "e-1", Source: "/crm", Type: "lead.created", Subject: "lead/42",
			Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), ContentType: event.ContentTypeAvro,
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b", IdempotencyKey: "key",
			CorrelationID: "corr", CausationID: "cause", Hops: 3, Origin: event.OriginRedrive, Deriver: "rules", DeriverNumber: 7,
			Path:  []string{"lead.scored<score@1", "lead.qualified<q@2"},
			Extra: []event.Header{{Key: "ce_a", Value: []byte{0xff, 0}}, {Key: "x", Value: []byte("1")}, {Key: "x", Value: []byte("0")}},
			Value: event.Frame(9, []byte{1, 2}),
		},
		Sequence: 12, Position: event.PositionAt(1_700_000_000_000) + 3, RecordedTime: time.Date(2026, 1, 2, 3, 4, 6, 7000, time.UTC),
		LogID: "log", Partition: -1, Offset: -1,
	}
}

func TestParseStored_IsTheInverse(t *testing.T) {
	bare := event.Recorded{Event: event.Event{TenantID: "a", ID: "i", Type: "a.b", ContentType: event.ContentTypeAvro, Value: event.Frame(1, nil)},
		Sequence: 1, Position: 1, RecordedTime: time.UnixMicro(0).UTC(), LogID: "l", Partition: -1, Offset: -1}
	old := full()
	old.Time = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	fp := [32]byte{1, 31: 2}
	for _, want := range []event.Recorded{full(), bare, old} {
		stored, err := Stored(want, fp)
		if err != nil {
			t.Fatal(err)
		}
		got, gotFP, err := ParseStored(stored)
		if err != nil || gotFP != fp {
			t.Fatal(err, gotFP)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// The encoder is written by hand: the library must write the same bytes.
func TestStored_IsTheAvroOfItsSchema(t *testing.T) {
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Stored(full(), [32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	m, err := schema.Decode(stored)
	if err != nil {
		t.Fatal(err)
	}
	again, err := schema.EncodeMap(m)
	if err != nil || !bytes.Equal(again, stored) {
		t.Fatalf("%v\ngot  %x\nwant %x", err, again, stored)
	}
}

func TestStored_DoesNotDependOnTheOrderOfHeaders(t *testing.T) {
	a, b := full(), full()
	b.Extra = []event.Header{b.Extra[1], b.Extra[2], b.Extra[0]} // equal names keep their order
	x, err1 := Stored(a, [32]byte{})
	y, err2 := Stored(b, [32]byte{})
	if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
		t.Fatal("differs", err1, err2)
	}
	b.Extra = []event.Header{b.Extra[1], b.Extra[0], b.Extra[2]}
	if y, _ := Stored(b, [32]byte{}); bytes.Equal(x, y) {
		t.Fatal("two values of one name were exchanged, unseen")
	}
}

func TestStored_CoversEverythingButTheLocation(t *testing.T) {
	base, err := Stored(full(), [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*event.Recorded){
		"tenant": func(r *event.Recorded) { r.TenantID = "b" }, "sequence": func(r *event.Recorded) { r.Sequence++ },
		"position": func(r *event.Recorded) { r.Position++ }, "log": func(r *event.Recorded) { r.LogID = "m" },
		"recorded": func(r *event.Recorded) { r.RecordedTime = r.RecordedTime.Add(time.Microsecond) },
		"id":       func(r *event.Recorded) { r.ID = "x" }, "source": func(r *event.Recorded) { r.Source = "x" },
		"type": func(r *event.Recorded) { r.Type = "x.y" }, "subject": func(r *event.Recorded) { r.Subject = "" },
		"time": func(r *event.Recorded) { r.Time = time.Time{} }, "trace": func(r *event.Recorded) { r.TraceParent = "" },
		"key": func(r *event.Recorded) { r.IdempotencyKey = "x" }, "cause": func(r *event.Recorded) { r.CausationID = "x" },
		"hops": func(r *event.Recorded) { r.Hops++ }, "origin": func(r *event.Recorded) { r.Origin = event.OriginLive },
		"number": func(r *event.Recorded) { r.DeriverNumber++ }, "path": func(r *event.Recorded) { r.Path = nil },
		"extra": func(r *event.Recorded) { r.Extra = nil }, "schema id": func(r *event.Recorded) { r.Value = event.Frame(8, []byte{1, 2}) },
		"body": func(r *event.Recorded) { r.Value = event.Frame(9, []byte{1, 3}) },
	} {
		r := full()
		change(&r)
		if got, err := Stored(r, [32]byte{}); err != nil || bytes.Equal(got, base) {
			t.Errorf("%s: no difference, %v", name, err)
		}
	}
	r := full()
	r.Partition, r.Offset, r.Signature = 3, 99, "v1,k,x"
	if got, err := Stored(r, [32]byte{}); err != nil || !bytes.Equal(got, base) {
		t.Error("location or signature make a difference", err)
	}
	if got, _ := Stored(full(), [32]byte{1}); bytes.Equal(got, base) {
		t.Error("the fingerprint makes no difference")
	}
}

func TestParseStored_RefusesWhatIsNotOne(t *testing.T) {
	stored, err := Stored(full(), [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	next := slices.Clone(stored)
	next[0] = 4 // format 2
	if _, _, err := ParseStored(next); !errors.Is(err, ErrFormat) {
		t.Errorf("format 2: %v", err)
	}
	for n := range stored {
		if _, _, err := ParseStored(stored[:n]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	if _, _, err := ParseStored(append(slices.Clone(stored), 0)); err == nil {
		t.Error("a byte too many: accepted")
	}
	if _, err := Stored(event.Recorded{}, [32]byte{}); err == nil {
		t.Error("stores an event without a value")
	}
}

func FuzzParseStored(f *testing.F) {
	stored, err := Stored(full(), [32]byte{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Add([]byte{2, 0xfe, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, fp, err := ParseStored(b)
		if err != nil {
			return
		}
		if again, err := Stored(r, fp); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("two encodings of one event: %v\n%x\n%x", err, again, b)
		}
	})
}

func TestHeaders_AreKeptByteForByte(t *testing.T) {
	want := []event.Header{{Key: "a", Value: []byte{0, 0xff}}, {Key: "", Value: []byte{}}, {Key: "\xff\x00", Value: []byte("v")}}
	b := EncodeHeaders(want)
	got, err := DecodeHeaders(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v %q", err, got)
	}
	if _, err := DecodeHeaders(b[:len(b)-1]); err == nil {
		t.Error("accepts a cut")
	}
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add([]byte{1, 'a', 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		hs, err := DecodeHeaders(b)
		if err != nil {
			return
		}
		if back, err := DecodeHeaders(EncodeHeaders(hs)); err != nil || !reflect.DeepEqual(back, hs) {
			t.Fatal(err, hs)
		}
	})
}

func BenchmarkParseStored(b *testing.B) {
	stored, err := Stored(full(), [32]byte{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := ParseStored(stored); err != nil {
			b.Fatal(err)
		}
	}
}
