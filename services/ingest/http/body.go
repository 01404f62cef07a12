package httpin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/neuronx/engine/pkg/event"
)

// Media types of the CloudEvents HTTP binding and of the data.
const (
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
	mediaJSON       = "application/json"
	mediaAvro       = event.ContentTypeAvro

	acceptPost = mediaStructured + ", " + mediaBatch + ", " + mediaJSON + ", " + mediaAvro
)

// mediaType reads the Content-Type. JSON is UTF-8 (RFC 8259), so another
// charset would be a lie.
func mediaType(h http.Header) (string, *Problem) {
	values := h.Values("Content-Type")
	if len(values) != 1 || values[0] == "" {
		return "", problem(event.CodeUnsupportedMedia, "the request needs one Content-Type").hint("one of " + acceptPost)
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", problem(event.CodeUnsupportedMedia, "the Content-Type can't be read").hint("one of " + acceptPost)
	}
	switch media {
	case mediaStructured, mediaBatch, mediaJSON, mediaAvro:
	default:
		return "", problem(event.CodeUnsupportedMedia, fmt.Sprintf("content type %.100q is not supported", media)).hint("one of " + acceptPost)
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", problem(event.CodeUnsupportedMedia, fmt.Sprintf("charset %.40q is not supported", charset)).hint("send UTF-8")
	}
	return media, nil
}

// readBody reads at most limit bytes, counted before and after decompression,
// so that neither a fat body nor a gzip bomb costs more memory than that.
//
// It lies in the memory of buf afterwards.
func readBody(w http.ResponseWriter, r *http.Request, buf *bytes.Buffer, limit int64) ([]byte, *Problem) {
	encoding, p := contentEncoding(r.Header)
	if p != nil {
		return nil, p
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	raw := http.MaxBytesReader(w, r.Body, limit)
	if encoding == "" {
		return readAll(raw, buf, r.ContentLength, limit)
	}
	br := bufio.NewReader(raw) // a ByteReader, so that gzip reads no further than its own end
	zr, err := gzip.NewReader(br)
	if err != nil {
		return nil, bodyProblem(err, limit)
	}
	zr.Multistream(false) // one member: concatenated ones are a way to hide a second body
	body, p := readAll(zr, buf, 0, limit)
	if p != nil {
		return nil, p
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, problem(event.CodeInvalidJSON, "bytes follow the end of the gzip data").hint("send one gzip member and nothing after it")
	}
	return body, nil
}

func contentEncoding(h http.Header) (string, *Problem) {
	values := h.Values("Content-Encoding")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) == 1 {
		switch strings.ToLower(strings.TrimSpace(values[0])) {
		case "", "identity":
			return "", nil
		case "gzip", "x-gzip": // RFC 9110, 8.4.1.3: the same
			return "gzip", nil
		}
	}
	return "", problem(event.CodeUnsupportedMedia, "this Content-Encoding is not supported").hint("gzip, once, or none")
}

// announced bounds how much memory a Content-Length alone gets, in bytes.
const announced = 64 << 10

// readAll reads to the end, into buf. length is what the sender says that it is, if it says so.
func readAll(src io.Reader, buf *bytes.Buffer, length, limit int64) ([]byte, *Problem) {
	buf.Reset()
	buf.Grow(int(min(max(length, 0), announced)) + bytes.MinRead) // so much must be free for the end to be seen
	n, err := io.Copy(buf, io.LimitReader(src, limit+1))
	if err != nil {
		return nil, bodyProblem(err, limit)
	}
	if n > limit {
		return nil, tooLarge(limit)
	}
	return buf.Bytes(), nil
}

func bodyProblem(err error, limit int64) *Problem {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge(limit)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), isFlate(err):
		return problem(event.CodeInvalidJSON, "the body is not valid gzip").hint("compress with gzip, or send no Content-Encoding")
	default:
		return problem(event.CodeInvalidJSON, "the body could not be read to its end")
	}
}

func isFlate(err error) bool {
	return strings.HasPrefix(err.Error(), "flate:") || strings.HasPrefix(err.Error(), "gzip:")
}

func tooLarge(limit int64) *Problem {
	return problem(event.CodeTooLarge, fmt.Sprintf("the body is over %d bytes", limit)).
		hint("a single event may have 1 MiB, a batch 8 MiB and 1,000 events")
}
