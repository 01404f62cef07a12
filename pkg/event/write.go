package event

import (
	"time"
	"unsafe"
)

// Headers writes the event's attributes as Kafka headers, in a fixed order, leaving out what is empty.
func (e *Event) Headers() []Header { return HeadersAs[Header](e) }

// Headers writes a recorded event's attributes: those of the event without its signature and who waited for its
// receipt, and the sequencer's.
func (r *Recorded) Headers() []Header { return RecordedHeadersAs[Header](r) }

// shape is that of Header, which a Kafka client's own headers have, too.
type shape interface {
	~struct {
		Key   string
		Value []byte
	}
}

// HeadersAs is Headers as a client's own type, so that nothing is copied from one to the other.
func HeadersAs[H shape](e *Event) []H {
	n, size := e.room()
	w := headerWriter[H]{out: make([]H, 0, n), buf: make([]byte, 0, size)}
	w.event(e, false)
	return w.out
}

// RecordedHeadersAs is the same for a recorded event.
func RecordedHeadersAs[H shape](r *Recorded) []H {
	n, size := r.room()
	w := headerWriter[H]{out: make([]H, 0, n+5), buf: make([]byte, 0, size+20+20+len(time.RFC3339Nano)+len(r.LogID)+len(r.Quiet))}
	w.recorded(r)
	return w.out
}

// Pages has the headers of many events in few pieces of memory, for code that writes many of them. Attributes are not copied into it, so its headers'
// values must not be changed. The zero value is ready.
type Pages[H shape] struct {
	w headerWriter[H]
}

const (
	pageHeaders = 1024
	pageBytes   = 16 << 10
	maxOwn      = 128 // bytes of the values that are made here: two times, two numbers
	maxNamed    = 32  // headers of a recorded event besides its extra ones
)

// PagesFor are pages with room for these events and no more.
func PagesFor[H shape](events []Event) Pages[H] {
	headers := 0
	for i := range events {
		n, _ := events[i].room()
		headers += n
	}
	return Pages[H]{headerWriter[H]{out: make([]H, 0, headers), buf: make([]byte, 0, len(events)*len(time.RFC3339Nano))}}
}

// Event is HeadersAs in these pages.
func (p *Pages[H]) Event(e *Event) []H {
	n, _ := e.room()
	began := p.turn(n, len(time.RFC3339Nano))
	p.w.event(e, false)
	return p.w.since(began)
}

// Recorded is RecordedHeadersAs in these pages.
func (p *Pages[H]) Recorded(r *Recorded) []H {
	began := p.turn(maxNamed+len(r.Extra), maxOwn)
	p.w.recorded(r)
	return p.w.since(began)
}

// turn makes room for one more event's headers and the bytes that are made here, and says where they begin.
func (p *Pages[H]) turn(headers, size int) int {
	w := &p.w
	w.share = true
	if cap(w.out)-len(w.out) < headers {
		w.out = make([]H, 0, max(headers, pageHeaders))
	}
	if cap(w.buf)-len(w.buf) < size {
		w.buf = make([]byte, 0, pageBytes)
	}
	return len(w.out)
}

func (w *headerWriter[H]) since(began int) []H { return w.out[began:len(w.out):len(w.out)] }

// headerWriter writes the values of many headers into one piece of memory: every event of the log is written by it.
type headerWriter[H shape] struct {
	out   []H
	buf   []byte
	share bool // the memory of attributes

	ms   int64  // of the last recorded time, which the events of a batch have in common,
	text []byte // and how it is written
}

// add writes a header, if it is not empty.
func (w *headerWriter[H]) add(name, value string) {
	switch {
	case value == "":
	case w.share:
		w.out = append(w.out, H(Header{name, unsafe.Slice(unsafe.StringData(value), len(value))})) //nolint:gosec // see Pages
	default:
		w.end(name, append(w.buf, value...))
	}
}

// end makes a header of what buf has grown by. A value has no room behind it, so that appending to one can't change the next.
func (w *headerWriter[H]) end(name string, buf []byte) {
	w.out = append(w.out, H(Header{name, buf[len(w.buf):len(buf):len(buf)]}))
	w.buf = buf
}

func (w *headerWriter[H]) recorded(r *Recorded) {
	w.event(&r.Event, true)
	w.end(hSequence, appendNumber(w.buf, r.Sequence))
	w.end(hPosition, appendNumber(w.buf, r.Position))
	if ms := r.RecordedTime.UnixMilli(); w.text != nil && ms == w.ms && r.RecordedTime.Nanosecond()%1e6 == 0 {
		w.out = append(w.out, H(Header{hRecordedTime, w.text}))
	} else {
		w.end(hRecordedTime, appendTime(w.buf, r.RecordedTime))
		if r.RecordedTime.Nanosecond()%1e6 == 0 {
			w.ms, w.text = ms, Header(w.out[len(w.out)-1]).Value
		}
	}
	w.add(hLogID, r.LogID)
	w.add(hQuiet, r.Quiet)
}

// event writes the attributes of an event as it is sent, or as it is recorded: without those that only ingress needs.
func (w *headerWriter[H]) event(e *Event, recorded bool) {
	w.add(hSpecVersion, "1.0")
	w.add(hID, e.ID)
	w.add(hSource, e.Source)
	w.add(hType, e.Type)
	w.add(hSubject, e.Subject)
	if !e.Time.IsZero() {
		w.end(hTime, appendTime(w.buf, e.Time))
	}
	w.add(hTenant, e.TenantID)
	w.add(hContentType, ContentTypeAvro)
	w.add(hTraceParent, e.TraceParent)
	w.add(hTraceState, e.TraceState)
	w.add(hIdempotencyKey, e.IdempotencyKey)
	w.add(hCorrelation, e.CorrelationID)
	e.eachSystem(func(name, value string) {
		if !recorded || name != hReceipt {
			w.add(name, value)
		}
	})
	if !recorded {
		w.add(hSignature, e.Signature)
	}
	for _, h := range e.Extra {
		w.out = append(w.out, H(h))
	}
}

// room tells how many headers an event has, and how many bytes their values take, or a little more: memory for headers is most of what
// a record costs.
func (e *Event) room() (headers, size int) {
	headers, size = 4+len(e.Extra), len("1.0")+len(e.TenantID)+len(ContentTypeAvro)+len(time.RFC3339Nano)
	for _, value := range [...]string{
		e.ID, e.Source, e.Type, e.Subject, e.TraceParent, e.TraceState, e.IdempotencyKey, e.CorrelationID,
		e.CausationID, string(e.Origin), e.Deriver, e.Fingerprint, e.Forwarded, e.Receipt, e.Refused, e.Signature,
	} {
		if value != "" {
			headers, size = headers+1, size+len(value)
		}
	}
	if e.Hops != 0 || e.DeriverNumber != 0 || len(e.Path) > 0 {
		headers, size = headers+3, size+len("65535")+20
		for _, step := range e.Path {
			size += len(step) + 1
		}
	}
	return headers, size
}
