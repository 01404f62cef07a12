package admission

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

var update = flag.Bool("update", false, "write golden files again")

func goldenState() (*State, *Overlay) {
	s := NewState([16]byte{0xaa, 1: 0xbb, 15: 0xff}, 3, uuid.NewSHA1(uuid.Nil, []byte("log")).String(), 0)
	s.Next, s.Position, s.Log, s.Dead = 100, 1_764_000_000_000<<20, Ends{Next: 90}, Ends{Next: 7}
	s.Tenants["acme"] = &Tenant{Status: StatusActive, Sequence: 41, Derivers: map[string]int64{"rules": 5, "gohighlevel": 2}, Counts: Counts{41, 3, 2, 0, 1}}
	s.Tenants[NoTenant] = &Tenant{Counts: Counts{Refused: 9}}
	s.Keys.Put(keys.HashOf("acme", "k1"), keys.Verdict{Fingerprint: 0xdeadbeef, Number: 40, MS: 1_764_000_000_000})
	s.Keys.Put(keys.HashOf("acme", "k2"), keys.Verdict{Fingerprint: 1, Refused: true, Number: 12, MS: 1_764_000_000_000})
	o := NewOverlay(s, nil, 0)
	o.Next, o.position, o.log, o.dead = 103, s.Position+1, 1, 1
	t := o.edit("acme")
	t.Sequence, t.Status, t.Derivers["rules"], t.Counts.Admitted = 42, statusSuspended, 6, 42
	o.put(keys.HashOf("acme", "k3"), keys.Verdict{Fingerprint: 2, Number: 42, MS: 1_764_000_000_001})
	return s, o
}

// packed is the state record of a transaction that follows what its state has.
func packed(o *Overlay) []byte {
	d := NewDelta(o.base, o)
	return d.Encode(o.base)
}

func TestState_FormatOneIsWhatTheGoldenFileSays(t *testing.T) {
	s, o := goldenState()
	var got strings.Builder
	for _, c := range Snapshot(s) {
		fmt.Fprintf(&got, "snapshot %x\n", c)
	}
	fmt.Fprintf(&got, "delta %x\n", packed(o))
	const path = "testdata/state.v1.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Fatalf("the state format changed; stored state would not be read:\n%s", got.String())
	}
	l := &Loader{TopicID: s.topicID, Partition: 3, Trimmed: true}
	for i, line := range strings.Split(strings.TrimSpace(string(want)), "\n") {
		b, err := hex.DecodeString(line[strings.Index(line, " ")+1:])
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Add(int64(i), b); err != nil {
			t.Fatal(err)
		}
	}
	s.Merge(o, 0, 0)
	if !reflect.DeepEqual(l.State.Tenants, s.Tenants) || l.State.Next != 103 || l.State.Log != (Ends{90, 1}) || l.State.Dead != (Ends{7, 1}) || l.State.Keys.Len() != 3 {
		t.Fatalf("%+v", l.State)
	}
}

func TestLoader_NamesWhatIsMissing(t *testing.T) {
	s, o := goldenState()
	first := packed(o)
	s.Merge(o, 1, 1)
	o2 := NewOverlay(s, nil, 0)
	o2.Next++
	second := packed(o2)
	s.Merge(o2, 0, 0)
	o3 := NewOverlay(s, nil, 0)
	o3.Next++
	third := packed(o3)
	other, _ := goldenState()
	other.topicID[0]++
	for name, tt := range map[string]struct {
		trimmed bool
		recs    [][]byte
	}{
		"a delta in between":              {false, [][]byte{first, third}},
		"the beginning":                   {true, [][]byte{first, second}},
		"state of another ingress topic":  {false, [][]byte{packed(NewOverlay(other, nil, 0))}},
		"a record that is none":           {false, [][]byte{[]byte("hello")}},
		"a snapshot that goes back":       {false, [][]byte{first, second, func() []byte { s, _ := goldenState(); return Snapshot(s)[0] }()}},
		"a record of a newer format":      {false, [][]byte{append([]byte("NX\x02"), first[3:]...)}},
		"a delta with something trailing": {false, [][]byte{append(bytes.Clone(first), 0)}},
	} {
		l := &Loader{TopicID: [16]byte{0xaa, 1: 0xbb, 15: 0xff}, Partition: 3, Trimmed: tt.trimmed}
		var err error
		for i, r := range tt.recs {
			if err = l.Add(int64(i), r); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestState_LargeSnapshotsComeInChunks(t *testing.T) {
	s, _ := goldenState()
	for i := range 60_000 {
		s.Keys.Put(keys.HashOf("acme", fmt.Sprint(i)), keys.Verdict{Number: int64(i), MS: 1_764_000_000_000 + int64(i)})
	}
	chunks := Snapshot(s)
	l := &Loader{TopicID: s.topicID, Partition: 3}
	for i, c := range chunks {
		if len(c) > maxChunk {
			t.Fatalf("chunk of %d bytes", len(c))
		}
		if err := l.Add(int64(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if len(chunks) < 2 || l.State.Keys.Len() != s.Keys.Len() {
		t.Fatalf("%d chunks, %d keys of %d", len(chunks), l.State.Keys.Len(), s.Keys.Len())
	}
}

func FuzzParseState(f *testing.F) {
	s, o := goldenState()
	f.Add(packed(o))
	f.Add(Snapshot(s)[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseState(b)
		if err != nil {
			return
		}
		copied := r
		copied.keys = packedKeys{}
		if err := r.keys.each(r.position, func(ks []keys.Item) {
			for _, k := range ks {
				copied.keys.add(k.Hash, k.Verdict, r.position)
			}
		}); err != nil {
			return
		}
		again, err := parseState(copied.encode())
		if err != nil || !reflect.DeepEqual(r.keys.n, again.keys.n) || !bytes.Equal(r.keys.b, again.keys.b) {
			t.Fatalf("keys read again: %v", err)
		}
		r.keys, again.keys = packedKeys{}, packedKeys{}
		if !reflect.DeepEqual(r, again) {
			t.Fatal("read again as something else")
		}
	})
}
