package event

import (
	"strconv"
	"strings"
	"unsafe"
)

// Parse reads an event from a record's key, headers and value. What is missing stays empty (ingest fills in defaults); what is
// there and wrong is a *Refusal. The value is not looked into. The event shares the value's memory.
//
// A header's name counts in any case and with - for _ (see HeaderName). A null or empty optional attribute is an absent one. What only
// decorates an event decides nothing about it: a trace context that can't be used is left out, and so is a foreign header that is too much.
// System attributes that can't be read are remembered, not refused: without a valid signature they would not count anyway.
func Parse(key []byte, headers []Header, value []byte) (Event, error) {
	var e Event
	err := e.parse(string(key), headers, ownText(headers), value, outside)
	return e, err
}

// ParseInPlace is Parse into e, whatever e was, without allocating: key, headers and value must not change for as long as e or a copy of one
// of its attributes is used, which keep their memory from being freed.
func (e *Event) ParseInPlace(key []byte, headers []Header, value []byte) error {
	return e.parse(textOf(key), headers, "", value, outside)
}

// ParseExact is Parse for headers that Headers wrote: names count as they are written, and everything that is there is kept as it is.
func ParseExact(key []byte, headers []Header, value []byte) (Event, error) {
	var e Event
	err := e.parse(string(key), headers, ownText(headers), value, exact)
	return e, err
}

// Who wrote the headers: somebody outside, or the engine, in a log that must be read for ever as it was written.
const (
	outside = false
	exact   = true
)

// textOf is b as a string, for as long as b does not change.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // see above

// ownText is the headers' values in one string, of which each attribute becomes a part: one allocation instead of one a header. A value that
// is longer than any attribute may be is left out.
func ownText(headers []Header) string {
	var few [1024]byte
	values := few[:0]
	for _, h := range headers {
		if len(h.Value) <= maxExtra {
			values = append(values, h.Value...)
		}
	}
	return string(values)
}

// parse reads the headers' values from own, which has them one after the other, or where they are if it is empty.
func (e *Event) parse(tenant string, headers []Header, own string, value []byte, exact bool) error {
	*e = Event{TenantID: tenant, Value: value}
	if tenant == "" {
		return Refuse(CodeMissingAttribute, "the record has no key").At("key").Hint("the key is the tenant id")
	}
	if !ValidTenant(tenant) {
		e.TenantID = ""
		return Refuse(CodeInvalidAttribute, "the key is not a tenant id").At("key").Hint("a tenant id is 1 to 63 of a-z, 0-9 and hyphen")
	}
	var seen uint32
	var kept int // bytes of extra headers
	for i := range headers {
		h := &headers[i]
		v := textOf(h.Value)
		if own != "" && len(v) <= maxExtra {
			v, own = own[:len(v)], own[len(v):]
		}
		a := attributeOf(h.Key)
		if a == aNone && !exact {
			a = nearAttribute(h.Key)
		}
		switch {
		case a == aNone:
			if err := e.keep(h, v, &kept, exact); err != nil {
				return err
			}
			continue
		case a == aSequencer, v == "" && e.skips(a):
			continue
		}
		if bit := uint32(1) << a; seen&bit != 0 {
			if err := e.again(a, h.Key, v); err != nil {
				return err
			}
			continue
		} else {
			seen |= bit
		}
		if err := e.set(a, h.Key, v, exact); err != nil {
			return err
		}
	}
	if e.TraceParent == "" && !exact {
		e.TraceState = "" // which says nothing without one
	}
	return nil
}

// skips tells whether an attribute that is there without a value counts as absent. An id, a source, a type or an origin without one was meant
// to say something, and is refused.
func (e *Event) skips(a attribute) bool {
	switch a {
	case aSubject, aTime, aTenant, aContentType, aTraceParent, aTraceState, aCorrelation:
		return true
	case aIdempotencyKey:
		e.noKey = true
		return true
	}
	return false
}

// set reads one attribute, whose value is v, from the header of that name.
func (e *Event) set(a attribute, name, v string, exact bool) *Refusal {
	var dst *string
	limit := maxID
	switch a {
	case aSpecVersion:
		if v != "1.0" {
			return Refuse(CodeInvalidAttribute, "CloudEvents version is not 1.0").At("header " + name)
		}
		return nil
	case aType:
		if !ValidType(v) {
			return Refuse(CodeInvalidAttribute, "not an event type").At("header " + name).Hint("a type is lower-case words joined by dots, such as lead.created")
		}
		e.Type = v
		return nil
	case aTime:
		t, err := ParseTime(v)
		if err != nil {
			return err.At("header " + name)
		}
		e.Time = t
		return nil
	case aTenant:
		if v != e.TenantID {
			return Refuse(CodeTenantMismatch, "ce_tenantid names another tenant than the record's key").At("header " + name)
		}
		return nil
	case aContentType:
		if media, _, _ := strings.Cut(strings.ToLower(v), ";"); v != ContentTypeAvro && strings.TrimSpace(media) != ContentTypeAvro {
			return Refuse(CodeUnsupportedMedia, "content type is not %s", ContentTypeAvro).At("header " + name)
		}
		e.ContentType = ContentTypeAvro
		return nil
	case aTraceParent:
		if !exact {
			if ValidTraceParent(v) {
				e.TraceParent = v
			}
			return nil
		}
		dst, limit = &e.TraceParent, maxTrace
	case aTraceState:
		if !exact {
			e.TraceState = UsableTraceState(v)
			return nil
		}
		dst, limit = &e.TraceState, maxTrace
	case aID:
		dst = &e.ID
	case aSource:
		dst, limit = &e.Source, maxSource
	case aSubject:
		dst, limit = &e.Subject, maxSubject
	case aIdempotencyKey:
		dst = &e.IdempotencyKey
	case aCorrelation:
		dst = &e.CorrelationID
	case aSignature:
		dst, limit = &e.Signature, maxTrace
	default:
		e.setSystem(a, v)
		return nil
	}
	wide, err := scanText(v, limit)
	if err != nil {
		return err.At("header " + name)
	}
	*dst = v
	e.wide = e.wide || wide
	return nil
}

// again takes an attribute that was there before, in the same spelling or another one. Twice the same is once. What would make another event of
// it is refused; a doubled system attribute never verifies, and which of two trace contexts is right cannot be known.
func (e *Event) again(a attribute, name, v string) *Refusal {
	same := true
	switch a {
	case aTraceParent:
		if v != e.TraceParent && ValidTraceParent(v) {
			e.TraceParent = ""
		}
	case aTraceState: // W3C Trace Context 3.3.1.1: several are one list
		if e.TraceState != "" {
			e.TraceState = UsableTraceState(e.TraceState + "," + v)
		}
	case aID:
		same = v == e.ID
	case aSource:
		same = v == e.Source
	case aType:
		same = v == e.Type
	case aSubject:
		same = v == e.Subject
	case aTime:
		t, err := ParseTime(v)
		same = err == nil && t.Equal(e.Time)
	case aTenant:
		same = v == e.TenantID
	case aIdempotencyKey:
		same = v == e.IdempotencyKey
	case aCorrelation:
		same = v == e.CorrelationID
	case aOrigin:
		same = v == string(e.Origin)
	case aSpecVersion, aContentType:
		return e.set(a, name, v, outside)
	default:
		e.malformed = append(e.malformed, canonical(a))
	}
	if !same {
		return Refuse(CodeInvalidAttribute, "%s is there twice, with different values", canonical(a)).At("header " + name).
			Hint("send it once; a name counts in any case, and with - for _")
	}
	return nil
}

// keep adds a header that is no attribute of ours: an extension (ce_…), which belongs to the event and is refused if it is too much, or a
// foreign one, which is then left out.
func (e *Event) keep(h *Header, v string, kept *int, exact bool) error {
	extra := *h
	extension := strings.HasPrefix(h.Key, extensionPrefix)
	if !extension && !exact && nearExtension(h.Key) {
		extension, extra.Key = true, spelled(h.Key)
	}
	size := *kept + len(h.Key) + len(v)
	odd := len(v) > maxExtra || len(h.Key) > 64 || !printable(h.Key)
	switch {
	case !odd && size <= maxHeaderBytes && len(e.Extra) < maxHeaders:
		*kept = size
		e.Extra = append(e.Extra, extra)
		e.wide = e.wide || extension && !visible(v)
	case !extension:
		e.leftOut++
	case odd:
		return Refuse(CodeInvalidAttribute, "the extension's name or value is too long or not printable").At("header")
	default:
		return Refuse(CodeTooLarge, "the extensions are more than %d or over %d bytes", maxHeaders, maxHeaderBytes)
	}
	return nil
}

// LeftOut is how many foreign headers Parse left out, because they were too many, too large or had no printable name.
func (e *Event) LeftOut() int { return e.leftOut }

// setSystem reads a system attribute.
func (e *Event) setSystem(a attribute, v string) {
	ok := checkText(v, maxID) == nil
	switch a {
	case aCausation:
		if ok {
			e.CausationID = v
		}
	case aHops:
		hops, err := strconv.ParseUint(v, 10, 16)
		if ok = err == nil && hops > 0 && strconv.FormatUint(hops, 10) == v; ok {
			e.Hops = int(hops)
		}
	case aOrigin:
		e.Origin = Origin(v) // also one that is none, for CheckOrigin to name
		ok = e.Origin.Valid()
	case aDeriver:
		if ok = ok && ValidTenant(v); ok {
			e.Deriver = v
		}
	case aDeriverNumber:
		num, err := strconv.ParseInt(v, 10, 64)
		if ok = err == nil && num > 0 && strconv.FormatInt(num, 10) == v; ok {
			e.DeriverNumber = num
		}
	case aPath:
		if e.Path, ok = readPath(v); !ok {
			e.Path = nil
		}
	case aFingerprint:
		if ok = ok && len(v) == 64; ok {
			e.Fingerprint = v
		}
	case aForwarded:
		if ok {
			e.Forwarded = v
		}
	case aReceipt:
		if ok = validReceipt(v); ok {
			e.Receipt = v
		}
	case aRefused:
		if ok = checkText(v, maxRefused) == nil; ok {
			e.Refused = v
		}
	}
	if !ok {
		e.malformed = append(e.malformed, canonical(a))
	}
}

// validReceipt reports whether v is 1 to 64 letters, digits, hyphens and underscores.
func validReceipt(v string) bool {
	for i := range len(v) {
		if c := v[i]; !lower(c|0x20) && !digit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return v != "" && len(v) <= maxReceipt
}

// formatPath joins path entries by a line feed, which can't be in one.
func formatPath(path []string) string { return strings.Join(path, "\n") }

func readPath(v string) ([]string, bool) {
	if len(v) > maxPathBytes {
		return nil, false
	}
	path := strings.Split(v, "\n")
	for _, p := range path {
		if checkText(p, maxID) != nil {
			return nil, false
		}
	}
	return path, len(path) <= MaxHops+1
}
