package httpin

import (
	"bufio"
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

// inflate reads a body that is gzip.
func (in *intake) inflate() ([]byte, *Problem) {
	if p := in.take(gzipCost); p != nil {
		return nil, p
	}
	defer in.give(gzipCost)
	br := bufio.NewReader(in) // a ByteReader, so that gzip reads no further than its own end
	zr, err := gzip.NewReader(br)
	if err != nil {
		return nil, bodyProblem(err, in.limit)
	}
	zr.Multistream(false) // one member: concatenated ones are a way to hide a second body
	body, p := in.all(zr, 0)
	if p != nil {
		return nil, p
	}
	switch _, err := br.ReadByte(); {
	case err == nil:
		return nil, problem(event.CodeInvalidJSON, "bytes follow the end of the gzip data").hint("send one gzip member and nothing after it")
	case !errors.Is(err, io.EOF):
		return nil, bodyProblem(err, in.limit)
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

func bodyProblem(err error, limit int64) *Problem {
	switch {
	case errors.Is(err, errBodyOver):
		return tooLarge(limit)
	case slow(err):
		return slowBody()
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
