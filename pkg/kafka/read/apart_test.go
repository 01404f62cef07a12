package read

import (
	"bufio"
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// opened is a batch at offset 100 whose records stand in raw, compressed.
func opened(t testing.TB, c kgo.CompressionCodec, n int32, raw []byte) *apart {
	t.Helper()
	src, codec := squeezed(t, c, raw)
	return openedRaw(t, codec, n, src)
}

func openedRaw(t testing.TB, codec kgo.CompressionCodecType, n int32, src []byte) *apart {
	t.Helper()
	a := &apart{tp: kafka.TopicPartition{Topic: "t"}, next: 100, end: 100 + int64(n)}
	a.batch = kmsg.RecordBatch{Magic: 2, FirstOffset: 100, LastOffsetDelta: n - 1, NumRecords: n, Attributes: int16(codec), ProducerID: -1}
	p, err := newPieces(src, codec)
	if err != nil {
		return nil
	}
	a.pieces, a.in = p, bufio.NewReaderSize(p, 32<<10)
	return a
}

func framed(delta int32, key string, value []byte) []byte {
	return frame(kmsg.Record{OffsetDelta: delta, Key: []byte(key), Value: value})[kafka.BatchOverhead:]
}

func TestApart_HoldsFewRecordsOfABombAtATime(t *testing.T) {
	const n = 200
	var raw bytes.Buffer
	for i := range n {
		raw.Write(framed(int32(i), "acme", make([]byte, 1<<20)))
	}
	for _, c := range codecs {
		if c == kgo.SnappyCompression() { // 200 MiB are ten megabytes of it, which no topic takes
			continue
		}
		a := opened(t, c, n, raw.Bytes())
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, got := heap(), 0
		var most uint64
		for !a.over() {
			recs, fat := a.take(1_000)
			if fat != nil {
				t.Fatal(fat)
			}
			got += len(recs)
			most = max(most, heap())
			runtime.KeepAlive(recs)
		}
		if got != n || most > before+32<<20 {
			t.Errorf("%v: %d records, %d bytes of heap more", c, got, int64(most-before))
		}
	}
}

func TestApart_EndsWithATrueReasonAndWhatCanBeRead(t *testing.T) {
	fine := framed(0, "acme", []byte("fine"))
	zstd := kgo.ZstdCompression()
	for name, c := range map[string]struct {
		n     int32
		raw   []byte
		recs  int
		next  int64
		why   string
		key   string
		value int
	}{
		"records beyond what is passed over": {3, bytes.Join([][]byte{fine, framed(1, "acme", make([]byte, maxPassed+1<<20)), framed(2, "acme", nil)}, nil), 1, 103, "come to more than", "acme", maxKept},
		"fewer records than it claims":       {5, fine, 1, 105, "the batch ends after 1 of its 5 records", "", 0},
		"no records":                         {2, bytes.Repeat([]byte{0xff}, 100), 0, 102, "overflow", "", 0},
		"a length that no record has":        {2, append(bytes.Clone(fine), 2, 0), 1, 102, "a record claims to have 1 bytes", "", 0},
		"a length beyond any client's":       {2, append(bytes.Clone(fine), 0xfe, 0xff, 0xff, 0xff, 0x7f), 1, 102, "a record claims to have", "", 0},
		"a cut record":                       {2, append(bytes.Clone(fine), framed(1, "acme", make([]byte, 100))[:50]...), 1, 102, "the batch ends after 1 of its 2 records", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := opened(t, zstd, c.n, c.raw)
			recs, fat := a.take(10)
			if fat == nil || len(recs) != c.recs || fat.Offset != 100+int64(c.recs) || fat.Next != c.next || !strings.Contains(fat.Error(), c.why) {
				t.Fatalf("%d records, then %v", len(recs), fat)
			}
			if s := fat.Stand(); s.Offset != c.next-1 || string(s.Key) != c.key || len(s.Value) != c.value {
				t.Errorf("it stands as offset %d, key %q, %d bytes", s.Offset, s.Key, len(s.Value))
			}
			if more, again := a.take(10); len(more) > 0 || again != nil || a.over() {
				t.Errorf("it does not wait for Skip: %d records, %v", len(more), again)
			}
			if a.pass(fat); !a.over() {
				t.Error("it goes on behind its end")
			}
		})
	}
}

func TestApart_NamesAWindowThatNobodyReads(t *testing.T) {
	src := announcing(t, 128<<20, bytes.Repeat(framed(0, "acme", nil), 10))
	src[5] = 18 << 3 // 256 MiB
	a := openedRaw(t, kgo.CodecZstd, 10, src)
	if why := a.why(errors.New("a match lies too far back")); !strings.Contains(why, "needs a window of 268435456 bytes, and at most 134217728 are taken") {
		t.Error(why)
	}
	if recs, fat := a.take(10); len(recs) == 0 || fat != nil {
		t.Errorf("what does not need it: %d records, %v", len(recs), fat)
	}
}

func TestInflater_CountsWhatRecordsTakeBesidesTheirBytes(t *testing.T) {
	const n = 200_000 // three megabytes on the wire, 40 in memory
	var raw bytes.Buffer
	for i := range n {
		raw.Write(framed(int32(i), "", nil))
	}
	src, codec := squeezed(t, kgo.GzipCompression(), raw.Bytes())
	if _, err := newInflater().Decompress(src, codec); !errors.Is(err, kgo.ErrMaxDecompress) {
		t.Errorf("error %v", err)
	}
	a := opened(t, kgo.GzipCompression(), n, raw.Bytes())
	got := 0
	for !a.over() {
		recs, fat := a.take(1_000)
		if fat != nil || len(recs) > 1_000 {
			t.Fatalf("%d records, %v", len(recs), fat)
		}
		got += len(recs)
	}
	if got != n {
		t.Errorf("%d records", got)
	}
}

func FuzzApart(f *testing.F) {
	for _, c := range codecs {
		src, codec := squeezed(f, c, append(framed(0, "acme", []byte("a")), framed(1, "beta", make([]byte, 1000))...))
		f.Add(src, int8(codec), int32(2))
	}
	f.Add([]byte("\x1f\x8b\b\x00000000\x12000AA"), int8(1), int32(2)) // an offset behind the batch's last
	f.Fuzz(func(t *testing.T, src []byte, codec int8, n int32) {
		a := openedRaw(t, kgo.CompressionCodecType(codec), max(n%1_000, 1), src)
		for range 2_000 {
			if a == nil || a.over() {
				return
			}
			before := a.next
			recs, fat := a.take(10)
			if len(recs) > 10 || a.next < before || a.next > a.end {
				t.Fatalf("%d records, from offset %d to %d of %d", len(recs), before, a.next, a.end)
			}
			if fat != nil {
				a.pass(fat)
			}
		}
		t.Fatal("it does not end")
	})
}
