package read

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"
)

// pieces is what the records of a batch inflate to.
type pieces struct {
	src    []byte
	codec  kgo.CompressionCodecType
	window int // of zstd, in bytes
	in     io.Reader
	done   func()
	read   int64
}

func newPieces(src []byte, codec kgo.CompressionCodecType) (*pieces, error) {
	p := &pieces{src: src, codec: codec, window: smallWindow}
	return p, p.open()
}

func (p *pieces) open() (err error) {
	p.done = func() {}
	switch p.codec {
	case kgo.CodecSnappy:
		blocks, err := snappyBlocks(p.src)
		p.in = &unsnappy{blocks: blocks}
		return err
	case kgo.CodecGzip, kgo.CodecLz4, kgo.CodecZstd:
		p.in, p.done, err = openStream(p.src, p.codec, p.window)
		return err
	}
	return fmt.Errorf("kafka: unknown compression codec %d", p.codec)
}

// errWindow says that a match lies further back than the window, and that the frame announces a wider one: see widen.
var errWindow = errors.New("a match lies further back than the window")

// Read implements io.Reader, up to maxBatch bytes.
func (p *pieces) Read(b []byte) (int, error) {
	if p.read >= maxBatch {
		return 0, errBatch
	}
	n, err := p.in.Read(b[:min(int64(len(b)), maxBatch-p.read)])
	p.read += int64(n)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) && p.codec == kgo.CodecZstd && wider(p.src, p.window) > 0 {
		err = errWindow
	}
	return n, err
}

// widen begins again, with a window of twice the size: memory for the widest is taken only by what needs it.
func (p *pieces) widen() error {
	p.close()
	p.window, p.read = wider(p.src, p.window), 0
	return p.open()
}

func (p *pieces) close() {
	p.done()
	p.in, p.done = nil, func() {}
}

// unsnappy reads blocks of snappy.
type unsnappy struct {
	blocks    [][]byte
	out, rest []byte
}

// Read implements io.Reader.
func (u *unsnappy) Read(b []byte) (int, error) {
	for len(u.rest) == 0 {
		if len(u.blocks) == 0 {
			return 0, io.EOF
		}
		n, err := s2.DecodedLen(u.blocks[0])
		if err != nil {
			return 0, err
		}
		if n > maxSnappyBlock {
			return 0, fmt.Errorf("a snappy block claims to inflate to %d bytes", n)
		}
		if cap(u.out) < n {
			u.out = make([]byte, n)
		}
		if u.rest, err = s2.Decode(u.out[:n], u.blocks[0]); err != nil {
			return 0, err
		}
		u.blocks = u.blocks[1:]
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}
