package httpin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/jsonscan"
)

// What a body must bring: windowBytes in every window, or its end. A connection that is stalled ends after one window, whatever was
// sent on it before.
const (
	bodyWindow  = 5 * time.Second
	windowBytes = 40 << 10 // 8 KiB/s
)

// What a request holds of the budget for memory, in bytes.
const (
	requestCost = 16 << 10  // from its headers to its answer: goroutine, buffers of the connection, headers
	gzipCost    = 112 << 10 // the window and tables of a decompressor, and an extra field of its header
	answerCost  = 512       // for each event of a batch: its answer
	textCost    = 2         // for each byte of a body: the attributes' text, and the values made of it
	markCost    = 80        // for each comma, colon or bracket: tokens, attributes and headers of an event
	maxMarks    = 200_000   // more tokens are not scanned
	strictCost  = 1 << 20   // the strict reader's lists of names
)

// keepBody bounds the buffer that a pooled intake keeps, in bytes.
const keepBody = 64 << 10

// intake reads the body of one request: into memory that it reserved before, and no slower than it must come. It is used again by
// later requests.
type intake struct {
	lease

	conn  deadliner // nil where reads have no deadline
	src   io.Reader
	began time.Time
	want  int64 // bytes of the wire that end the window
	limit int64 // bytes, of the wire and of the body
	wire  int64 // bytes read
	kept  int64 // bytes held until the answer
	got   int64 // bytes of the body, decompressed
	buf   []byte
	work  *scratch // from parse to done
}

// deadliner sets the deadline of the reads of a connection. The http.ResponseWriter of net/http is one.
type deadliner interface {
	SetReadDeadline(t time.Time) error
}

var intakes = sync.Pool{New: func() any { return new(intake) }}

// open begins a request of the tenant. Close must follow, also when it was refused.
func (b *budget) open(tenant string) (*intake, *Problem) {
	in := intakes.Get().(*intake)
	in.lease, in.kept = lease{of: b, tenant: tenant}, requestCost
	return in, in.take(requestCost)
}

// close returns what the request holds. Nothing of its body may be in use.
func (in *intake) close() {
	in.done(false)
	in.keep(0)
	buf := in.buf[:0]
	if cap(buf) > keepBody {
		buf = nil
	}
	*in = intake{buf: buf}
	intakes.Put(in)
}

// done returns what the body took: from here on the request only waits. own says that the events have the memory of the body now.
func (in *intake) done(own bool) {
	if in.work != nil {
		in.work.release()
		in.work = nil
	}
	in.keep(in.kept)
	if own || cap(in.buf) > keepBody {
		in.buf = nil
	}
}

// spent is how many bytes a quota is charged for: what was read, also of a body that was never read to its end.
func (in *intake) spent() int { return int(max(in.wire, in.got)) }

var errBodyOver = errors.New("the body is over its limit")

// Read reads from the wire.
func (in *intake) Read(p []byte) (int, error) {
	n, err := in.src.Read(p)
	if in.wire += int64(n); in.wire > in.limit {
		return n, errBodyOver
	}
	if in.conn != nil && err == nil && in.wire >= in.want {
		in.want = in.wire + windowBytes
		in.deadline(minTime(time.Now().Add(bodyWindow), in.began.Add(readTimeout)))
	}
	return n, err
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// deadline sets when the next read fails. A connection that has no deadlines is left to the server's time-outs.
func (in *intake) deadline(at time.Time) {
	if in.conn != nil && in.conn.SetReadDeadline(at) != nil {
		in.conn = nil
	}
}

// body reads at most limit bytes, counted before and after decompression, so that neither a fat body nor a gzip bomb costs more memory
// than that. They last until done or close.
func (in *intake) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *Problem) {
	encoding, p := contentEncoding(r.Header)
	if p != nil {
		return nil, p
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	if r.ContentLength != 0 {
		in.conn, _ = w.(deadliner)
	}
	in.src, in.limit, in.began = r.Body, limit, time.Now()
	in.want = windowBytes
	in.deadline(in.began.Add(bodyWindow)) // net/http takes it back at the end of the body
	if encoding == "" {
		return in.all(in, r.ContentLength)
	}
	return in.inflate()
}

// all reads src to its end. length is what the sender says that it is, if it says so. The buffer grows with what was read.
func (in *intake) all(src io.Reader, length int64) ([]byte, *Problem) {
	first := int(min(max(length, 0), announced)) + bytes.MinRead // so much must be free for the end to be seen
	if cap(in.buf) < first {
		in.buf = nil
	}
	if p := in.take(int64(max(first, cap(in.buf)))); p != nil {
		return nil, p
	}
	buf := in.buf
	if buf == nil {
		buf = make([]byte, 0, first)
	}
	defer func() { in.buf = buf }()
	for {
		if len(buf) == cap(buf) {
			more := int(min(int64(2*cap(buf)), in.limit+bytes.MinRead))
			if p := in.take(int64(more)); p != nil {
				return nil, p
			}
			grown := append(make([]byte, 0, more), buf...)
			in.give(int64(cap(buf)))
			buf = grown
		}
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		in.got = int64(len(buf))
		switch {
		case in.got > in.limit:
			return nil, tooLarge(in.limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, bodyProblem(err, in.limit)
		}
	}
}

// parse reserves what it takes to scan a body and make events of it, and gets the memory to do so.
func (in *intake) parse(body []byte) *Problem {
	if p := in.take(textCost*int64(len(body)) + markCost*int64(marks(body))); p != nil {
		return p
	}
	in.work = scratches.Get().(*scratch)
	if in.take(in.work.size()) != nil { // it is larger than this body needs
		scratches.Put(in.work)
		in.work = new(scratch)
	}
	return nil
}

// answers reserves what the answers to n events take.
func (in *intake) answers(n int) *Problem {
	p := in.take(answerCost * int64(n))
	if p == nil {
		in.kept += answerCost * int64(n)
	}
	return p
}

// marks bounds the tokens of a JSON text from above, except that more than maxMarks are not counted.
func marks(text []byte) int {
	n := 1
	for _, mark := range [...]byte{',', ':', '{', '['} {
		if n += bytes.Count(text, []byte{mark}); n >= maxMarks {
			return maxMarks
		}
	}
	return n
}

// slow tells that a body ended because it came too slowly.
func slow(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func slowBody() *Problem {
	return problem(event.CodeSlowBody, "the body came too slowly, or not to its end; nothing of it was stored").
		hint("send at least 8 KiB a second, and this request again with the same ids").retry(1)
}

// maxNames bounds the members of all open objects that the strict reader remembers, since no name may come twice.
const maxNames = 10_000

// strictly reserves what it takes to read a body that the scan left to the strict reader.
func (in *intake) strictly(body []byte) *Problem {
	if jsonscan.Crowded(body, maxNames) {
		return crowded()
	}
	return in.take(strictCost)
}

func crowded() *Problem {
	return problem(event.CodeTooLarge, fmt.Sprintf("an object has more than %d members, those of the objects within it counted", maxNames)).
		hint("no schema has so many fields: send less in one event")
}
