package admission

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

const (
	hdrReceipt   = "neuronx-receipt"
	hdrSignature = "neuronx-sig"
)

const maxDetail = 1 << 10

// admit gives the event its number and position.
func (a *candidate) admit() Decision {
	t := a.o.tenant(a.e.TenantID)
	sequence := int64(1)
	if t != nil {
		sequence = t.Sequence + 1
	}
	r := a.r
	r.Sequence, r.Position = sequence, max(a.o.position+1, event.PositionAt(a.ms))
	r.RecordedTime = time.UnixMilli(a.ms).UTC()
	r.LogID, r.Partition = a.o.base.LogID, a.o.base.Partition
	// Written out twice only where it could be too much: making the headers costs a tenth of an admission.
	if size(a.in.Key, a.in.Headers, a.in.Value) > maxOutput-maxAdded && size(a.in.Key, r.Headers(), a.in.Value) > maxOutput {
		return a.refuse(event.CodeTooLarge, "with the sequencer's attributes the record is over "+strconv.Itoa(maxOutput)+" bytes")
	}
	r.Quiet = a.quiet()
	et := a.o.edit(a.e.TenantID)
	et.Sequence = sequence
	switch a.e.Type {
	case typeTenantCreated, typeTenantResumed:
		et.Status = StatusActive
	case typeTenantSuspended:
		et.Status = statusSuspended
	}
	a.o.position = r.Position
	a.remember(keys.Verdict{Fingerprint: a.fingerprint, Number: sequence, MS: event.PositionTime(r.Position)})
	a.claim(sequence, event.PositionTime(r.Position))
	if key, ok := idKeyOf(a.e); ok && !a.numbered {
		if _, found := a.o.key(key, a.windowMS()); !found {
			a.o.put(key, keys.Verdict{Fingerprint: a.fingerprint, Number: sequence, MS: event.PositionTime(r.Position)})
		}
	}
	return Decision{Outcome: Admitted, Recorded: r}
}

// remember keeps what became of the key, and uses up the number of a derived event.
func (a *candidate) remember(v keys.Verdict) {
	if a.numbered {
		t := a.o.edit(a.e.TenantID)
		if t.Derivers == nil {
			t.Derivers = map[string]int64{}
		}
		t.Derivers[strings.Clone(a.e.Deriver)] = a.e.DeriverNumber
		a.o.Size += maxDeriverBytes + len(a.e.Deriver)
	}
	a.o.put(a.key, v)
}

func (a *candidate) refuseErr(err error) Decision {
	var r *event.Refusal
	if !errors.As(err, &r) {
		return a.refuse(event.CodeInvalidBody, err.Error())
	}
	detail := r.Detail
	if r.Location != "" {
		detail = r.Location + ": " + detail
	}
	if r.Next != "" {
		detail += " (" + r.Next + ")"
	}
	return a.refuse(r.Code, detail)
}

// refuse makes a dead letter, unless the very same was refused for the same reason before. A tenant that does not exist leaves no
// trace in the state.
func (a *candidate) refuse(code event.Code, detail string) Decision {
	admittedBefore := a.repeat && !a.first.Refused // such a verdict stays: the event would be admitted twice
	if a.known && !admittedBefore && a.o.tenant(a.e.TenantID) != nil {
		number := numberOf(code)
		if !a.numbered && a.repeat && a.first.Refused && a.first.Fingerprint == a.fingerprint && a.first.Number == number {
			return Decision{Outcome: duplicate, Code: code, Detail: detail}
		}
		a.remember(keys.Verdict{Fingerprint: a.fingerprint, Refused: true, Number: number, MS: a.windowMS()})
	}
	detail = clean(detail)
	return Decision{Outcome: Refused, Code: code, Detail: detail, Dead: a.deadLetter(code, detail)}
}

func (a *candidate) deadLetter(code event.Code, detail string) *Output {
	out := make([]event.Header, 0, len(a.in.Headers)+8)
	add := func(k, v string) { out = append(out, event.Header{Key: k, Value: []byte(v)}) }
	for _, h := range a.in.Headers {
		name := event.HeaderName(h.Key) // dead letters are read in every spelling, too
		switch name {
		case event.DeadCode, event.DeadDetail, event.DeadValueHash, event.DeadTopic, event.DeadPartition, event.DeadOffset, event.DeadTenant, event.DeadRecordedTime, hdrReceipt:
			continue
		case hdrSignature:
			if a.verified && a.e.Receipt != "" { // it covers what was just left out
				e := *a.e
				e.Receipt = ""
				a.env.Sign(&e)
				h.Value = []byte(e.Signature)
			}
		}
		// Readers of dead letters act on system attributes (the outbox of a deriver): unsigned ones must not keep their name.
		if event.IsSystem(name) && !a.verified && !(name == "ce_origin" && a.parsed && a.e.Origin != "") {
			h.Key = event.DeadUnsigned + name
		}
		out = append(out, h)
	}
	ours := len(out)
	add(event.DeadCode, string(code))
	add(event.DeadDetail, detail)
	add(event.DeadTopic, a.env.Topic)
	add(event.DeadPartition, strconv.Itoa(int(a.o.base.Partition)))
	add(event.DeadOffset, strconv.FormatInt(a.in.Offset, 10))
	add(event.DeadRecordedTime, event.FormatTime(time.UnixMilli(a.ms)))
	if a.e.TenantID != "" {
		add(event.DeadTenant, a.e.TenantID)
	}
	d := &Output{Partition: a.o.base.Partition, Key: a.in.Key, Headers: out, Value: a.in.Value}
	if size(d.Key, d.Headers, d.Value) <= maxOutput {
		return d
	}
	sum := sha256.Sum256(a.in.Value)
	add(event.DeadValueHash, hex.EncodeToString(sum[:]))
	d.Value = d.Value[:min(len(d.Value), maxCut)]
	if size(d.Key, out, d.Value) > maxOutput { // the headers or the key alone are too much: keep ours
		out = out[ours:]
		d.Key = d.Key[:min(len(d.Key), 1<<10)]
	}
	d.Headers = out
	return d
}

// forward sends a record that a foreign partitioner put here to its home, once, with the defaults it got here.
func (a *candidate) forward(home int32) Decision {
	if a.verified && a.e.Forwarded != "" {
		return a.refuse(event.CodeMisrouted, "forwarded here by "+a.e.Forwarded+", but belongs to partition "+strconv.Itoa(int(home))+": two builds disagree about the number of partitions")
	}
	e := *a.e
	e.ForwardFrom(a.o.base.topicID, a.o.base.Partition, a.in.Offset, a.trusted)
	a.env.Sign(&e)
	f := &Output{Partition: home, Key: a.in.Key, Headers: e.Headers(), Value: a.in.Value}
	if size(f.Key, f.Headers, f.Value) > maxIngress {
		return a.refuse(event.CodeTooLarge, "the record is in partition "+strconv.Itoa(int(a.o.base.Partition))+", belongs to "+strconv.Itoa(int(home))+" and is too large to be forwarded (use a murmur2 partitioner)")
	}
	return Decision{Outcome: forwarded, Forward: f}
}

// clean bounds a detail and keeps line breaks out of headers.
func clean(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// size is an upper bound of a record's length in a batch: Kafka's varint framing takes at most five bytes a length.
func size(key []byte, headers []event.Header, value []byte) int {
	n := 64 + len(key) + len(value)
	for _, h := range headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return n
}

// codes number the refusals in stored verdicts. Append only: the numbers are in the state topic.
var codes = []event.Code{
	"", event.CodeInvalidAttribute, event.CodeMissingAttribute, event.CodeTenantMismatch, event.CodeUnknownTenant, event.CodeTenantSuspended,
	event.CodeTenantExists, event.CodeEmptyValue, event.CodeInvalidFraming, event.CodeUnknownSchema, event.CodeInvalidSchema,
	event.CodeTypeMismatch, event.CodeInvalidBody, event.CodeTooLarge, event.CodeReservedType, event.CodeInvalidSignature,
	event.CodeConflict, event.CodeDeriverConflict, event.CodeStorm, event.CodeMisrouted, event.CodeUnsupportedMedia,
	event.CodeDeriverForbidden,
}

func numberOf(c event.Code) int64 {
	for i, k := range codes {
		if k == c {
			return int64(i)
		}
	}
	return 0
}

func codeOf(n int64) event.Code {
	if n < 0 || n >= int64(len(codes)) {
		return ""
	}
	return codes[n]
}
