package read

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxInflated bounds what a fetched batch may take in memory as a whole. A larger one is taken apart record by record (see apart): the
	// library's own bound is 1 GiB, which a kilobyte of zeros reaches, and bulk loads of similar events reach hundreds of MiB.
	maxInflated = 16 << 20
	// recordCost is about what a record takes besides its bytes, in bytes: a kgo.Record and the pointer to it.
	recordCost = 200
	// headerCost is what a header takes besides its bytes, and fewHeaders as many as a record may have without their being counted. A megabyte
	// of empty headers takes twenty.
	headerCost = 40
	fewHeaders = 32
	// minRecord is the length of a record without key, value and headers.
	minRecord = 6
	// inflateBudget bounds what all batches of a client that were not polled yet may inflate to: a fetch of one MiB holds thirty
	// batches of 30 KiB that inflate to maxInflated each.
	inflateBudget = 2 * maxInflated
	// inflateQuiet is how long after the last batch nothing of it can be under way any more, neither buffered nor polled.
	inflateQuiet = 250 * time.Millisecond
	// inflateFirst is what is inflated before a batch's whole size is counted.
	inflateFirst = 1 << 20
)

// ErrInflateBudget says that a batch has to wait until what was inflated before it is polled. The client asks for the batch again,
// so it is no failure of the partition.
var ErrInflateBudget = errors.New("kafka: more is inflated than was polled; the batch is fetched again")

// inflater decompresses the batches of one client within a budget. It counts what the client has buffered by the client's hooks, and
// begins again when all of it was polled.
type inflater struct {
	buffered atomic.Int64 // records that wait to be polled; counted without the lock, because it is done twice a record

	mu   sync.Mutex
	out  int // bytes inflated since nothing was buffered
	last time.Time
}

func newInflater() *inflater { return &inflater{} }

// OnFetchRecordBuffered implements kgo.HookFetchRecordBuffered.
func (i *inflater) OnFetchRecordBuffered(*kgo.Record) {
	i.buffered.Add(1)
}

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered.
func (i *inflater) OnFetchRecordUnbuffered(*kgo.Record, bool) {
	if i.buffered.Add(-1) > 0 {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.buffered.Load() == 0 { // more may have come meanwhile
		i.out = 0
	}
}

// Decompress implements kgo.Decompressor. A batch beyond maxInflated is kgo.ErrMaxDecompress, one beyond the budget ErrInflateBudget.
func (i *inflater) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone {
		return src, nil
	}
	room := i.room()
	out, err := inflate(src, codec, min(room, maxInflated))
	if errors.Is(err, kgo.ErrMaxDecompress) && room < maxInflated {
		return nil, ErrInflateBudget
	}
	if err != nil {
		return nil, err
	}
	took := memoryOf(out)
	if took > maxInflated {
		return nil, kgo.ErrMaxDecompress
	}
	i.mu.Lock()
	i.out += took
	i.last = time.Now()
	i.mu.Unlock()
	return out, nil
}

// memoryOf is about what the records of an inflated batch take. What ordinary records take besides their bytes is left out of a small batch.
func memoryOf(raw []byte) int {
	size, records, headers := len(raw), 0, 0
	for len(raw) > 0 {
		length, used := binary.Varint(raw)
		if used <= 0 || length < minRecord || length > int64(len(raw)-used) {
			break
		}
		records++
		if n := countHeaders(raw[used : used+int(length)]); n > fewHeaders {
			headers += n
		}
		raw = raw[used+int(length):]
	}
	took := size + headers*headerCost
	if size > inflateFirst || records*recordCost > 2*size {
		took += records * recordCost
	}
	return took
}

// room is how many bytes may be inflated now.
func (i *inflater) room() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.buffered.Load() == 0 && time.Since(i.last) > inflateQuiet {
		i.out = 0 // of batches without a record for us: aborted ones, or ones that we had already
	}
	return inflateBudget - i.out
}

// inflate decompresses a batch's records to at most limit bytes, without ever holding more than those and inflateFirst.
func inflate(src []byte, codec kgo.CompressionCodecType, limit int) ([]byte, error) {
	switch codec {
	case kgo.CodecSnappy:
		return inflateSnappy(src, limit)
	case kgo.CodecGzip, kgo.CodecLz4:
		return inflateStream(src, codec, limit, 0)
	case kgo.CodecZstd:
	default:
		return nil, fmt.Errorf("kafka: unknown compression codec %d", codec)
	}
	out, err := inflateStream(src, codec, limit, smallWindow)
	if err == nil || errors.Is(err, kgo.ErrMaxDecompress) || limit <= smallWindow {
		return out, err
	}
	if window := wider(src, smallWindow); window > 0 { // with twice that no match of so few bytes lies further back
		return inflateStream(src, codec, limit, window)
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) { // of a second frame
		err = fmt.Errorf("%w: %w", kgo.ErrMaxDecompress, err)
	}
	return nil, err
}

func inflateStream(src []byte, codec kgo.CompressionCodecType, limit, window int) ([]byte, error) {
	scratch := scratches.Get().(*bytes.Buffer)
	defer scratches.Put(scratch)
	scratch.Reset()
	size, whole := 0, false
	err := streamed(src, codec, window, func(r io.Reader) error {
		n, err := io.CopyN(scratch, r, int64(min(limit, inflateFirst))+1)
		if size = int(n); errors.Is(err, io.EOF) {
			whole = true
			return nil
		}
		if err != nil || size > limit {
			return err
		}
		rest, err := io.Copy(io.Discard, io.LimitReader(r, int64(limit-size)+1))
		size += int(rest)
		return err
	})
	switch {
	case size > limit:
		return nil, kgo.ErrMaxDecompress
	case err != nil:
		return nil, err
	case whole:
		return bytes.Clone(scratch.Bytes()), nil
	}
	out := make([]byte, size) // known now: a second pass is cheaper than a buffer that grows to twice the size
	err = streamed(src, codec, window, func(r io.Reader) error {
		_, err := io.ReadFull(r, out)
		return err
	})
	return out, err
}

var (
	scratches = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 64<<10)) }}
	gzips     = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4s      = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstds     = sync.Pool{New: func() any { return newZstd(smallWindow) }}
)

func newZstd(window int) *zstd.Decoder {
	r, err := zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
	if err != nil {
		panic(err) // the options are ours
	}
	return r
}

// streamed passes a reader of the decompressed bytes to read.
func streamed(src []byte, codec kgo.CompressionCodecType, window int, read func(io.Reader) error) error {
	r, done, err := openStream(src, codec, window)
	defer done()
	if err != nil {
		return err
	}
	return read(r)
}

// openStream returns a reader of the decompressed bytes of gzip, lz4, or zstd; done gives back what it took. The window, in bytes, is zstd's.
func openStream(src []byte, codec kgo.CompressionCodecType, window int) (r io.Reader, done func(), err error) {
	switch codec {
	case kgo.CodecGzip:
		r := gzips.Get().(*gzip.Reader)
		return r, func() { gzips.Put(r) }, r.Reset(bytes.NewReader(src))
	case kgo.CodecLz4:
		r := lz4s.Get().(*lz4.Reader)
		r.Reset(bytes.NewReader(src))
		return r, func() { lz4s.Put(r) }, nil
	}
	if window > smallWindow { // not for the pool: it would keep that much memory
		r := newZstd(window)
		return r, r.Close, zstdReader(r, src, window)
	}
	d := zstds.Get().(*zstd.Decoder)
	return d, func() { zstds.Put(d) }, zstdReader(d, src, window)
}

// xerialHeader begins the snappy framing of Kafka's Java clients (org.xerial.snappy): eight bytes of magic, two versions of four, then
// blocks, each behind its length.
var xerialHeader = []byte{130, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// snappyBlocks are the blocks of a batch: one, or the many of Java's framing.
func snappyBlocks(src []byte) ([][]byte, error) {
	if len(src) < 16 || !bytes.HasPrefix(src, xerialHeader) {
		return [][]byte{src}, nil
	}
	var blocks [][]byte
	for rest := src[16:]; len(rest) > 0; {
		if len(rest) < 4 {
			return nil, errXerial
		}
		n := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(n) > uint64(len(rest)) {
			return nil, errXerial
		}
		blocks = append(blocks, rest[:n])
		rest = rest[n:]
	}
	return blocks, nil
}

// inflateSnappy trusts no claimed length beyond limit.
func inflateSnappy(src []byte, limit int) ([]byte, error) {
	blocks, err := snappyBlocks(src)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, b := range blocks {
		n, err := s2.DecodedLen(b)
		if err != nil {
			return nil, err
		}
		if n > limit-size {
			return nil, kgo.ErrMaxDecompress
		}
		size += n
	}
	out := make([]byte, 0, size)
	for _, b := range blocks {
		n, _ := s2.DecodedLen(b) // as above
		if _, err := s2.Decode(out[len(out):len(out)+n], b); err != nil {
			return nil, err
		}
		out = out[:len(out)+n]
	}
	return out, nil
}

var errXerial = errors.New("kafka: malformed framing of snappy blocks")
