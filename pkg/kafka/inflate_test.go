package kafka

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}

// squeezed is data as the client of this library compresses it.
func squeezed(t testing.TB, c kgo.CompressionCodec, data []byte) ([]byte, kgo.CompressionCodecType) {
	t.Helper()
	comp, err := kgo.DefaultCompressor(c)
	if err != nil {
		t.Fatal(err)
	}
	out, codec := comp.Compress(new(bytes.Buffer), data)
	return bytes.Clone(out), codec
}

func TestInflate_GivesBackWhatWasCompressed(t *testing.T) {
	random := make([]byte, 100_000)
	_, _ = rand.Read(random)
	for _, data := range [][]byte{{}, []byte("a"), random, make([]byte, inflateFirst), make([]byte, inflateFirst+1), make([]byte, maxInflated), bytes.Repeat(random, 100)} {
		for _, c := range codecs {
			src, codec := squeezed(t, c, data)
			out, err := inflate(src, codec, maxInflated)
			if err != nil || !bytes.Equal(out, data) {
				t.Errorf("codec %d, %d bytes: %d bytes, %v", codec, len(data), len(out), err)
			}
		}
	}
}

func TestInflate_RefusesBombsOfEveryCodecAndHoldsLittle(t *testing.T) {
	for _, c := range codecs {
		src, codec := squeezed(t, c, make([]byte, 4*maxInflated))
		const times = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			if _, err := inflate(src, codec, maxInflated); !errors.Is(err, kgo.ErrMaxDecompress) {
				t.Fatalf("codec %d: %v", codec, err)
			}
		}
		runtime.ReadMemStats(&after)
		// The race detector makes pools forget, and a reader of lz4 takes up to 16 MiB.
		if n := (after.TotalAlloc - before.TotalAlloc) / times; n > 2*maxInflated {
			t.Errorf("codec %d: %d bytes allocated to refuse a bomb", codec, n)
		}
	}
}

func TestInflate_RefusesAWindowBeyondTheBound(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 9<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := inflate(out.Bytes(), kgo.CodecZstd, maxInflated); !errors.Is(err, kgo.ErrMaxDecompress) {
		t.Errorf("error %v", err)
	}
}

func TestInflate_RefusesWhatIsNotCompressed(t *testing.T) {
	java := append(slices.Clone(xerialHeader), 0, 0, 0, 1, 0, 0, 0, 1)
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecGzip, kgo.CodecSnappy, kgo.CodecLz4, kgo.CodecZstd, 7} {
		for i, src := range [][]byte{[]byte("what is this?"), append(java, 0xff, 0xff, 0xff, 0xff), append(java, 0, 0)} {
			if out, err := inflate(src, codec, maxInflated); err == nil {
				t.Errorf("codec %d took input %d as %d bytes", codec, i, len(out))
			}
		}
	}
}

func TestInflater_KeepsToItsBudgetUntilTheRecordsArePolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInflater()
		// Not zstd, whose pooled readers hold channels that must not leave this bubble.
		src, codec := squeezed(t, kgo.GzipCompression(), make([]byte, maxInflated-1))
		take := func(want error) {
			t.Helper()
			if _, err := i.Decompress(src, codec); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
		}
		take(nil)
		take(nil)
		take(errInflateBudget)
		i.OnFetchRecordBuffered(nil)
		time.Sleep(time.Minute)
		take(errInflateBudget) // nobody has polled
		i.OnFetchRecordUnbuffered(nil, true)
		take(nil)
		take(nil)
		take(errInflateBudget)
		time.Sleep(inflateQuiet + 1) // none of them held a record
		take(nil)
	})
}

func FuzzInflate(f *testing.F) {
	for _, c := range codecs {
		src, codec := squeezed(f, c, []byte(fmt.Sprint("some records, some records, some records", c)))
		f.Add(src, int8(codec))
	}
	f.Fuzz(func(t *testing.T, src []byte, codec int8) {
		out, err := inflate(src, kgo.CompressionCodecType(codec), 1<<20)
		if err == nil && len(out) > 1<<20 {
			t.Errorf("%d bytes", len(out))
		}
	})
}
