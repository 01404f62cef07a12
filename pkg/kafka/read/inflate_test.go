package read

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/s2"
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

// announcing is a zstd frame of data, compressed with a window of that many bytes, which it announces.
func announcing(t testing.TB, window int, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithSingleSegment(false), zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	// In two writes, because a stream that is one block announces its own size, as no stream of Java's does.
	for _, part := range [][]byte{data[:len(data)/2], data[len(data)/2:]} {
		if _, err = w.Write(part); err == nil {
			err = w.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestInflate_TakesAFrameForWhatItNeedsNotForTheWindowItAnnounces(t *testing.T) {
	noise := make([]byte, 7<<20)
	_, _ = rand.Read(noise)
	for name, data := range map[string][]byte{
		"a record of 100 bytes":                 bytes.Repeat([]byte("a"), 100),
		"more than a small window":              bytes.Repeat([]byte("a lead like the others"), 12<<20/22),
		"matches beyond the small window":       slices.Concat(noise, make([]byte, 2<<20), noise[:2<<20]),
		"nothing of it far back, and all of it": noise,
	} {
		for _, window := range []int{32 << 20, 64 << 20, 128 << 20} { // levels 20, 21 and 22
			src := announcing(t, window, data)
			if a := announced(src); a != uint64(window) {
				t.Fatalf("%s: the frame announces %d", name, a)
			}
			if out, err := inflate(src, kgo.CodecZstd, maxInflated); err != nil || !bytes.Equal(out, data) {
				t.Errorf("%s, window %d: %d of %d bytes, %v", name, window, len(out), len(data), err)
			}
		}
	}
}

func TestRewindow_KeepsTheContentOfASingleSegment(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	w, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	src := w.EncodeAll(data, nil)
	if a := announced(src); a != uint64(len(data)) {
		t.Fatalf("the frame announces %d", a)
	}
	if out, err := inflate(src, kgo.CodecZstd, maxInflated); err != nil || !bytes.Equal(out, data) {
		t.Errorf("%d of %d bytes, %v", len(out), len(data), err)
	}
}

func TestPieces_GiveBackWhatNoMemoryHoldsAsAWhole(t *testing.T) {
	noise := make([]byte, 20<<20)
	_, _ = rand.Read(noise)
	far := slices.Concat(noise, []byte("between"), noise)
	java := slices.Clone(xerialHeader)
	java = append(java, 0, 0, 0, 1, 0, 0, 0, 1)
	for part := range slices.Chunk(far, 32<<10) {
		block := s2.EncodeSnappy(nil, part)
		java = append(binary.BigEndian.AppendUint32(java, uint32(len(block))), block...)
	}
	type form struct {
		src   []byte
		codec kgo.CompressionCodecType
	}
	forms := []form{{announcing(t, 128<<20, far), kgo.CodecZstd}, {java, kgo.CodecSnappy}}
	for _, c := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.Lz4Compression()} {
		src, codec := squeezed(t, c, far)
		forms = append(forms, form{src, codec})
	}
	block, codec := squeezed(t, kgo.SnappyCompression(), far[:maxInflated+1])
	if out, err := io.ReadAll(&unsnappy{blocks: [][]byte{block}}); err != nil || !bytes.Equal(out, far[:maxInflated+1]) {
		t.Errorf("codec %d: %d bytes of one block, %v", codec, len(out), err)
	}
	for _, f := range forms {
		p, err := newPieces(f.src, f.codec)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if n, err := io.Copy(sum, &widening{p: p}); err != nil || n != int64(len(far)) || !bytes.Equal(sum.Sum(nil), sha256Of(far)) {
			t.Errorf("codec %d: %d of %d bytes, %v", f.codec, n, len(far), err)
		}
		if f.codec == kgo.CodecZstd && (p.window != 32<<20 || len(f.src) > 21<<20) {
			t.Errorf("%d bytes of zstd were read with a window of %d", len(f.src), p.window)
		}
		p.close()
	}
}

// widening reads on with a wider window where that is needed.
type widening struct {
	p    *pieces
	read int64
}

func (w *widening) Read(b []byte) (int, error) {
	n, err := w.p.Read(b)
	if w.read += int64(n); !errors.Is(err, errWindow) {
		return n, err
	}
	if err := w.p.widen(); err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.Discard, &widening{p: w.p}, w.read)
	return 0, err
}

func sha256Of(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
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
		take(ErrInflateBudget)
		i.OnFetchRecordBuffered(nil)
		time.Sleep(time.Minute)
		take(ErrInflateBudget) // nobody has polled
		i.OnFetchRecordUnbuffered(nil, true)
		take(nil)
		take(nil)
		take(ErrInflateBudget)
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
