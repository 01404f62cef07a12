package sequencer

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
)

var update = flag.Bool("update", false, "write golden files again")

func goldenState() (*State, *overlay) {
	s := newState([16]byte{0xaa, 1: 0xbb, 15: 0xff}, 3, uuid.NewSHA1(uuid.Nil, []byte("log")).String(), 0)
	s.next, s.position, s.log, s.dead = 100, 1_764_000_000_000<<20, ends{Next: 90}, ends{Next: 7}
	s.tenants["acme"] = &tenant{status: statusActive, sequence: 41, derivers: map[string]int64{"rules": 5, "gohighlevel": 2}, counts: counts{41, 3, 2, 0, 1}}
	s.tenants[nobody] = &tenant{counts: counts{Refused: 9}}
	s.keys.put(hashKey("acme", "k1"), verdict{fingerprint: 0xdeadbeef, number: 40, ms: 1_764_000_000_000})
	s.keys.put(hashKey("acme", "k2"), verdict{fingerprint: 1, refused: true, number: 12, ms: 1_764_000_000_000})
	o := newOverlay(s, nil, 0)
	o.next, o.position, o.log, o.dead = 103, s.position+1, 1, 1
	t := o.edit("acme")
	t.sequence, t.status, t.derivers["rules"], t.counts.Admitted = 42, statusSuspended, 6, 42
	o.put(hashKey("acme", "k3"), verdict{fingerprint: 2, number: 42, ms: 1_764_000_000_001})
	return s, o
}

// packed is the state record of a transaction that follows what its state has.
func packed(o *overlay) []byte {
	d := newDelta(o.base, o)
	return d.encode(o.base)
}

func TestState_FormatOneIsWhatTheGoldenFileSays(t *testing.T) {
	s, o := goldenState()
	var got strings.Builder
	for _, c := range snapshot(s) {
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
	l := &loader{TopicID: s.topicID, Partition: 3, Trimmed: true}
	for i, line := range strings.Split(strings.TrimSpace(string(want)), "\n") {
		b, err := hex.DecodeString(line[strings.Index(line, " ")+1:])
		if err != nil {
			t.Fatal(err)
		}
		if err := l.add(int64(i), b); err != nil {
			t.Fatal(err)
		}
	}
	s.merge(o, 0, 0)
	if !reflect.DeepEqual(l.State.tenants, s.tenants) || l.State.next != 103 || l.State.log != (ends{90, 1}) || l.State.dead != (ends{7, 1}) || l.State.keys.len() != 3 {
		t.Fatalf("%+v", l.State)
	}
}

func TestLoader_NamesWhatIsMissing(t *testing.T) {
	s, o := goldenState()
	first := packed(o)
	s.merge(o, 1, 1)
	o2 := newOverlay(s, nil, 0)
	o2.next++
	second := packed(o2)
	s.merge(o2, 0, 0)
	o3 := newOverlay(s, nil, 0)
	o3.next++
	third := packed(o3)
	other, _ := goldenState()
	other.topicID[0]++
	for name, tt := range map[string]struct {
		trimmed bool
		recs    [][]byte
	}{
		"a delta in between":              {false, [][]byte{first, third}},
		"the beginning":                   {true, [][]byte{first, second}},
		"state of another ingress topic":  {false, [][]byte{packed(newOverlay(other, nil, 0))}},
		"a record that is none":           {false, [][]byte{[]byte("hello")}},
		"a snapshot that goes back":       {false, [][]byte{first, second, func() []byte { s, _ := goldenState(); return snapshot(s)[0] }()}},
		"a record of a newer format":      {false, [][]byte{append([]byte("NX\x02"), first[3:]...)}},
		"a delta with something trailing": {false, [][]byte{append(bytes.Clone(first), 0)}},
	} {
		l := &loader{TopicID: [16]byte{0xaa, 1: 0xbb, 15: 0xff}, Partition: 3, Trimmed: tt.trimmed}
		var err error
		for i, r := range tt.recs {
			if err = l.add(int64(i), r); err != nil {
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
		s.keys.put(hashKey("acme", fmt.Sprint(i)), verdict{number: int64(i), ms: 1_764_000_000_000 + int64(i)})
	}
	chunks := snapshot(s)
	l := &loader{TopicID: s.topicID, Partition: 3}
	for i, c := range chunks {
		if len(c) > maxChunk {
			t.Fatalf("chunk of %d bytes", len(c))
		}
		if err := l.add(int64(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if len(chunks) < 2 || l.State.keys.len() != s.keys.len() {
		t.Fatalf("%d chunks, %d keys of %d", len(chunks), l.State.keys.len(), s.keys.len())
	}
}

func FuzzParseState(f *testing.F) {
	s, o := goldenState()
	f.Add(packed(o))
	f.Add(snapshot(s)[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseState(b)
		if err != nil {
			return
		}
		copied := r
		copied.keys = packedKeys{}
		if err := r.keys.each(r.position, func(ks []keyed) {
			for _, k := range ks {
				copied.keys.add(k.hash, k.verdict, r.position)
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
