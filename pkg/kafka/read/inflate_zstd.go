package read

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow is the largest window of a zstd frame that is read: what level 22 announces, and what Kafka's brokers and Java clients read
	// (ZSTD_WINDOWLOG_LIMIT_DEFAULT). A level says how far back a match may lie, not how far back it does.
	maxWindow = 128 << 20
	// smallWindow is the window that a frame is read with first, however large the one it announces: a record of 100 bytes at level 22
	// announces 128 MiB.
	smallWindow = 8 << 20
)

// zstdMagic begins a zstd frame (RFC 8878, 3.1.1).
const zstdMagic = 0xFD2FB528

// zstdReader opens the records of a batch with a window of at most that many bytes. The decoder reserves the window that a frame announces,
// so the announcement is lowered. A match that lies further back is an error of the read then, never other bytes.
func zstdReader(d *zstd.Decoder, src []byte, window int) error {
	head, rest := rewindow(src, window)
	if head == nil {
		return d.Reset(bytes.NewReader(src))
	}
	return d.Reset(io.MultiReader(bytes.NewReader(head), bytes.NewReader(rest)))
}

// announced is the window that a zstd frame announces, in bytes; 0 if src is no such frame. With a single segment it is the size of the
// content.
func announced(src []byte) uint64 {
	if len(src) < 6 || binary.LittleEndian.Uint32(src) != zstdMagic {
		return 0
	}
	flags := src[4]
	if flags&0x20 == 0 {
		base := uint64(1) << (10 + src[5]>>3)
		return base + base/8*uint64(src[5]&7)
	}
	if id := 5 + []int{0, 1, 2, 4}[flags&3]; len(src) >= id+8 {
		switch flags >> 6 {
		case 0:
			return uint64(src[id])
		case 1:
			return uint64(binary.LittleEndian.Uint16(src[id:])) + 256
		case 2:
			return uint64(binary.LittleEndian.Uint32(src[id:]))
		default:
			return binary.LittleEndian.Uint64(src[id:])
		}
	}
	return 0
}

// rewindow is src with a lower announcement, a power of two, in two parts; head is nil if it announces no more than window.
func rewindow(src []byte, window int) (head, rest []byte) {
	if announced(src) <= uint64(window) {
		return nil, src
	}
	descriptor := byte(bits.Len(uint(window))-1-10) << 3
	flags := src[4]
	if flags&0x20 == 0 {
		return append(bytes.Clone(src[:5]), descriptor), src[6:]
	}
	// A single segment has no descriptor. Its content's size is written in two bytes at least, as it is larger than a window.
	return append(bytes.Clone(src[:4]), flags&^0x20, descriptor), src[5:]
}

// wider is the window to try after a read with one of that size has failed; 0 if the frame announces no more, or more than is read.
func wider(src []byte, window int) int {
	if a := announced(src); a <= uint64(window) || window >= maxWindow {
		return 0
	}
	return 2 * window
}

// whyUnreadable says in an operator's words why a batch can't be decompressed.
func whyUnreadable(src []byte, err error) string {
	if a := announced(src); a > maxWindow {
		return fmt.Sprintf("its zstd frame needs a window of %d bytes, and at most %d are taken, as by Kafka's own clients", a, maxWindow)
	}
	return "it can't be decompressed: " + err.Error()
}
