package read

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// crowd is a record with n empty headers.
func crowd(delta int32, n int) []byte {
	k := kmsg.Record{OffsetDelta: delta, Key: []byte("acme"), Value: []byte("a value")}
	body := k.AppendTo(nil)[1:] // its length, 0, takes one byte
	body = binary.AppendVarint(body[:len(body)-1], int64(n))
	body = append(body, make([]byte, 2*n)...)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

// A turn that inflated as much as a batch can come to would stop every other partition meanwhile: half a GiB of empty headers, in a batch of
// twenty kilobytes, take minutes to read.
func TestApart_OneTurnInflatesAStepAndNoMore(t *testing.T) {
	fine := func(delta int32) []byte { return framed(delta, "acme", []byte("fine")) }
	block := framed(0, "acme", make([]byte, 1<<20))
	var many bytes.Buffer
	for i := range 80 {
		many.Write(framed(int32(i), "acme", make([]byte, 1<<20)))
	}
	for name, c := range map[string]struct {
		n       int32
		raw     []byte
		from    int64 // of 100
		records []int64
		fats    int
	}{
		"headers beyond what is held":       {3, slices.Concat(fine(0), crowd(1, 30<<20), fine(2)), 100, []int64{100, 102}, 1},
		"a value beyond what is held":       {3, slices.Concat(fine(0), framed(1, "acme", make([]byte, 100<<20)), fine(2)), 100, []int64{100, 102}, 1},
		"what was read before":              {80, many.Bytes(), 178, []int64{178, 179}, 0},
		"records that repeat an offset":     {81, slices.Concat(bytes.Repeat(block, 80), fine(80)), 100, []int64{100, 180}, 0},
		"a large one that was read already": {3, slices.Concat(fine(0), framed(1, "acme", make([]byte, 100<<20)), fine(2)), 102, []int64{102}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := opened(t, kgo.ZstdCompression(), c.n, c.raw)
			a.next = c.from
			var got []int64
			fats := 0
			for !a.over() {
				p := a.pieces // it is given up at the end of the batch
				before := p.read
				recs, fat := a.take(1_000)
				if step := p.read - before; step > apartStep+2<<20 {
					t.Fatalf("%d bytes are inflated in one turn", step)
				}
				for _, r := range recs {
					got = append(got, r.Offset)
				}
				if fat != nil {
					if s := fat.Stand(); string(s.Key) != "acme" || len(s.Value) == 0 || fat.Next != fat.Offset+1 {
						t.Errorf("%v stands as %q with %d bytes", fat, s.Key, len(s.Value))
					}
					fats++
					a.pass(fat)
				}
			}
			if !slices.Equal(got, c.records) || fats != c.fats {
				t.Errorf("records %v and %d refused, want %v and %d", got, fats, c.records, c.fats)
			}
		})
	}
}

func TestApart_RefusesARecordWhoseHeadersTakeMoreThanABatchMay(t *testing.T) {
	const n = 7_500_000 // 15 MB, and 300 as a record of the client
	a := opened(t, kgo.ZstdCompression(), 2, slices.Concat(crowd(0, n), framed(1, "beta", []byte("fine"))))
	recs, fat := a.take(10)
	if len(recs) != 0 || fat == nil || fat.Offset != 100 || fat.Next != 101 || !strings.Contains(fat.Error(), "it has 7500000 headers") {
		t.Fatalf("%d records, %v", len(recs), fat)
	}
	if s := fat.Stand(); string(s.Key) != "acme" || string(s.Value) != "a value" || len(s.Headers) == 0 || len(s.Headers) > 2_000 {
		t.Errorf("it stands as %q, %q with %d headers", s.Key, s.Value, len(s.Headers))
	}
	a.pass(fat)
	if recs, fat := a.take(10); len(recs) != 1 || fat != nil || string(recs[0].Key) != "beta" || !a.over() {
		t.Errorf("behind it: %d records, %v", len(recs), fat)
	}
}

func TestInflater_CountsHeadersAndWhatTinyRecordsTake(t *testing.T) {
	var tiny, plain bytes.Buffer
	for i := range 110_000 {
		tiny.Write(framed(int32(i), "", nil)) // less than a megabyte of them, and 22 as records
	}
	for i := range 800 {
		k := kmsg.Record{OffsetDelta: int32(i), Value: make([]byte, 1_000), Headers: make([]kmsg.Header, 20)}
		plain.Write(frame(k)[kafka.BatchOverhead:])
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"headers":      {crowd(0, 450_000), kgo.ErrMaxDecompress},
		"tiny records": {tiny.Bytes(), kgo.ErrMaxDecompress},
		"ordinary":     {plain.Bytes(), nil},
	} {
		if len(c.raw) > inflateFirst {
			t.Fatalf("%s: %d bytes", name, len(c.raw))
		}
		src, codec := squeezed(t, kgo.GzipCompression(), c.raw)
		i := newInflater()
		if _, err := i.Decompress(src, codec); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if err == nil && i.out != len(c.raw) {
			t.Errorf("%s: %d bytes count as %d", name, len(c.raw), i.out)
		}
	}
}

func TestApart_GoesOnWithAWiderWindowWhereAMatchLiesFarBack(t *testing.T) {
	noise := make([]byte, 11<<20)
	_, _ = rand.Read(noise)
	var raw []byte
	for i := range 4 {
		raw = append(raw, framed(int32(2*i), "acme", []byte("small"))...)
		raw = append(raw, framed(int32(2*i+1), "acme", noise)...)
	}
	big := framed(8, "acme", slices.Concat(noise, noise, []byte("end"))) // with a match within what is passed over
	raw = append(append(raw, big...), framed(9, "acme", []byte("last"))...)
	var src bytes.Buffer
	w, err := zstd.NewWriter(&src, zstd.WithWindowSize(128<<20), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	a := openedRaw(t, kgo.CodecZstd, 10, src.Bytes())
	var got []int64
	for !a.over() {
		recs, fat := a.take(3)
		for _, r := range recs {
			if got = append(got, r.Offset); len(r.Value) > 10 && !bytes.Equal(r.Value, noise) {
				t.Errorf("offset %d has other bytes", r.Offset)
			}
		}
		if fat != nil {
			if fat.Offset != 108 || !bytes.Equal(fat.Stand().Value, noise[:maxKept]) {
				t.Errorf("%v", fat)
			}
			a.pass(fat)
		}
	}
	if want := []int64{100, 101, 102, 103, 104, 105, 106, 107, 109}; !slices.Equal(got, want) || src.Len() > 12<<20 {
		t.Errorf("records %v of %d bytes, want %v", got, src.Len(), want)
	}
}
