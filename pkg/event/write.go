package event

import "time"

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
	var w headerWriter[H]
	return w.event(e)
}

// RecordedHeadersAs is the same for a recorded event.
func RecordedHeadersAs[H shape](r *Recorded) []H {
	e := r.Event
	e.Signature, e.Receipt = "", ""
	w := headerWriter[H]{more: 5, moreBytes: 20 + 20 + len(time.RFC3339Nano) + len(r.LogID) + len(r.Quiet)}
	w.event(&e)
	w.end(hSequence, appendNumber(w.buf, r.Sequence))
	w.end(hPosition, appendNumber(w.buf, r.Position))
	w.end(hRecordedTime, appendTime(w.buf, r.RecordedTime))
	w.add(hLogID, r.LogID)
	w.add(hQuiet, r.Quiet)
	return w.out
}

// headerWriter writes the values of many headers into one piece of memory: every event of the log is written by it.
type headerWriter[H shape] struct {
	out []H
	buf []byte

	more, moreBytes int // headers that follow those of the event, and their bytes
}

// add writes a header, if it is not empty.
func (w *headerWriter[H]) add(name, value string) {
	if value != "" {
		w.end(name, append(w.buf, value...))
	}
}

// end makes a header of what buf has grown by. A value has no room behind it, so that appending to one can't change the next.
func (w *headerWriter[H]) end(name string, buf []byte) {
	w.out = append(w.out, H(Header{name, buf[len(w.buf):len(buf):len(buf)]}))
	w.buf = buf
}

func (w *headerWriter[H]) event(e *Event) []H {
	n, size := e.room()
	w.out, w.buf = make([]H, 0, n+w.more), make([]byte, 0, size+w.moreBytes)
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
	e.eachSystem(w.add)
	w.add(hSignature, e.Signature)
	for _, h := range e.Extra {
		w.out = append(w.out, H(h))
	}
	return w.out
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
