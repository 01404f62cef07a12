package event

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Header names. CloudEvents attributes have the prefix ce_ (Kafka protocol binding 3.2.3); the rest are plain.
const (
	hSpecVersion    = "ce_specversion"
	hID             = "ce_id"
	hSource         = "ce_source"
	hType           = "ce_type"
	hSubject        = "ce_subject"
	hTime           = "ce_time"
	hTenant         = "ce_tenantid"
	hCorrelation    = "ce_correlationid"
	hCausation      = "ce_causationid"
	hHops           = "ce_hops"
	hOrigin         = "ce_origin"
	hDeriver        = "ce_deriver"
	hDeriverNumber  = "ce_derivernumber"
	hSequence       = "ce_sequence"
	hPosition       = "ce_position"
	hRecordedTime   = "ce_recordedtime"
	hLogID          = "ce_logid"
	hQuiet          = "ce_quiet"
	hContentType    = "content-type"
	hTraceParent    = "traceparent"
	hTraceState     = "tracestate"
	hIdempotencyKey = "idempotency-key"
	hPath           = "neuronx-path"
	hFingerprint    = "neuronx-fingerprint"
	hForwarded      = "neuronx-fwd"
	hReceipt        = "neuronx-receipt"
	hRefused        = "neuronx-refused"
	hSignature      = "neuronx-sig"
)

// extensionPrefix begins the names of headers that are attributes.
const extensionPrefix = "ce_"

// Bounds on attributes, in bytes unless said otherwise.
const (
	maxHeaders     = 100 // headers of one record
	maxHeaderBytes = 32 << 10
	maxID          = 256
	maxSource      = 1024
	maxType        = 128
	maxSubject     = 512
	maxTrace       = 512
	maxPathBytes   = 4096
	maxReceipt     = 64
	maxRefused     = 1024
	maxExtra       = 4096 // one extension's value
)

// Parse reads an event from a record's key, headers and value. What is missing stays empty (the door fills in defaults); what is
// there and wrong is a *Refusal. The value is not looked into. The event shares the value's memory.
//
// System attributes that can't be read are remembered, not refused: without a valid signature they would not count anyway.
func Parse(key []byte, headers []Header, value []byte) (Event, error) {
	var e Event
	err := e.parse(string(key), headers, ownText(headers), value)
	return e, err
}

// ParseInPlace is Parse into e, whatever e was, without allocating: key, headers and value must not change for as long as e or a copy of one
// of its attributes is used, which keep their memory from being freed.
func (e *Event) ParseInPlace(key []byte, headers []Header, value []byte) error {
	return e.parse(textOf(key), headers, "", value)
}

// textOf is b as a string, for as long as b does not change.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // see above

// ownText is the headers' values in one string, of which each attribute becomes a part: one allocation instead of one a header.
func ownText(headers []Header) string {
	total := 0
	var few [1024]byte
	values := few[:0]
	for i, h := range headers {
		if total += len(h.Key) + len(h.Value); total > maxHeaderBytes || i == maxHeaders {
			break // it is refused
		}
		values = append(values, h.Value...)
	}
	return string(values)
}

// parse reads the headers' values from own, which has them one after the other, or where they are if it is empty.
func (e *Event) parse(tenant string, headers []Header, own string, value []byte) error {
	*e = Event{TenantID: tenant, Value: value}
	if tenant == "" {
		return Refuse(CodeMissingAttribute, "the record has no key").At("key").Hint("the key is the tenant id")
	}
	if !ValidTenant(tenant) {
		e.TenantID = ""
		return Refuse(CodeInvalidAttribute, "the key is not a tenant id").At("key").Hint("a tenant id is 1 to 63 of a-z, 0-9 and hyphen")
	}
	if len(headers) > maxHeaders {
		return Refuse(CodeTooLarge, "%d headers, at most %d are allowed", len(headers), maxHeaders)
	}
	total := 0
	var seen uint32
	for i := range headers {
		h := &headers[i]
		if total += len(h.Key) + len(h.Value); total > maxHeaderBytes {
			return Refuse(CodeTooLarge, "the headers are over %d bytes", maxHeaderBytes)
		}
		v := textOf(h.Value)
		if own != "" {
			v, own = own[:len(h.Value)], own[len(h.Value):]
		}
		known, err := e.set(h, v)
		if err != nil {
			return err
		}
		if known < 0 {
			continue
		}
		if seen&(1<<known) != 0 {
			return Refuse(CodeInvalidAttribute, "the header is there twice").At("header " + h.Key)
		}
		seen |= 1 << known
	}
	return nil
}

// set reads one header, whose value is v, and returns its number among the known ones, or -1.
func (e *Event) set(h *Header, v string) (int, error) {
	text := func(n int, dst *string, limit int) (int, error) {
		wide, err := scanText(v, limit)
		if err != nil {
			return n, err.At("header " + h.Key)
		}
		*dst = v
		e.wide = e.wide || wide
		return n, nil
	}
	switch h.Key {
	case hSpecVersion:
		if v != "1.0" {
			return 0, Refuse(CodeInvalidAttribute, "CloudEvents version is not 1.0").At("header " + h.Key)
		}
		return 0, nil
	case hID:
		return text(1, &e.ID, maxID)
	case hSource:
		return text(2, &e.Source, maxSource)
	case hType:
		if !ValidType(v) {
			return 3, Refuse(CodeInvalidAttribute, "not an event type").At("header " + h.Key).Hint("a type is lower-case words joined by dots, such as lead.created")
		}
		e.Type = v
		return 3, nil
	case hSubject:
		return text(4, &e.Subject, maxSubject)
	case hTime:
		t, err := ParseTime(v)
		if err != nil {
			return 5, err.At("header " + h.Key)
		}
		e.Time = t
		return 5, nil
	case hTenant:
		if v != e.TenantID {
			return 6, Refuse(CodeTenantMismatch, "ce_tenantid names another tenant than the record's key").At("header " + h.Key)
		}
		return 6, nil
	case hContentType:
		if media, _, _ := strings.Cut(strings.ToLower(v), ";"); v != ContentTypeAvro && strings.TrimSpace(media) != ContentTypeAvro {
			return 7, Refuse(CodeUnsupportedMedia, "content type is not %s", ContentTypeAvro).At("header " + h.Key)
		}
		e.ContentType = ContentTypeAvro
		return 7, nil
	case hTraceParent:
		return text(8, &e.TraceParent, maxTrace)
	case hTraceState:
		return text(9, &e.TraceState, maxTrace)
	case hIdempotencyKey:
		return text(10, &e.IdempotencyKey, maxID)
	case hCorrelation:
		return text(11, &e.CorrelationID, maxID)
	case hSignature:
		return text(12, &e.Signature, maxTrace)
	case hSequence, hPosition, hRecordedTime, hLogID, hQuiet:
		return -1, nil // the sequencer's own; on ingress they mean nothing
	}
	if n := e.setSystem(h.Key, v); n > 0 {
		return n, nil
	}
	if len(h.Value) > maxExtra || len(h.Key) > 64 || !printable(h.Key) {
		return -1, Refuse(CodeInvalidAttribute, "the header's name or value is too long or not printable").At("header")
	}
	e.Extra = append(e.Extra, *h)
	e.wide = e.wide || strings.HasPrefix(h.Key, extensionPrefix) && !visible(v)
	return -1, nil
}

// setSystem reads a system attribute and returns its number, or 0 when name is none.
func (e *Event) setSystem(name, v string) int {
	ok := checkText(v, maxID) == nil
	var n int
	switch name {
	case hCausation:
		n = 13
		if ok {
			e.CausationID = v
		}
	case hHops:
		hops, err := strconv.ParseUint(v, 10, 16)
		if n, ok = 14, err == nil && hops > 0 && strconv.FormatUint(hops, 10) == v; ok {
			e.Hops = int(hops)
		}
	case hOrigin:
		n, e.Origin = 15, Origin(v) // also one that is none, for CheckOrigin to name
		ok = e.Origin.Valid()
	case hDeriver:
		n, ok = 16, ok && ValidTenant(v)
		if ok {
			e.Deriver = v
		}
	case hDeriverNumber:
		num, err := strconv.ParseInt(v, 10, 64)
		if n, ok = 17, err == nil && num > 0 && strconv.FormatInt(num, 10) == v; ok {
			e.DeriverNumber = num
		}
	case hPath:
		n = 18
		if e.Path, ok = readPath(v); !ok {
			e.Path = nil
		}
	case hFingerprint:
		n, ok = 19, ok && len(v) == 64
		if ok {
			e.Fingerprint = v
		}
	case hForwarded:
		n = 20
		if ok {
			e.Forwarded = v
		}
	case hReceipt:
		if n, ok = 21, validReceipt(v); ok {
			e.Receipt = v
		}
	case hRefused:
		if n, ok = 22, checkText(v, maxRefused) == nil; ok {
			e.Refused = v
		}
	default:
		return 0
	}
	if !ok {
		e.malformed = append(e.malformed, name)
	}
	return n
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

// IsSystem reports whether a header is a system attribute or the signature under which such count.
func IsSystem(name string) bool { return name == hSignature || (&Event{}).setSystem(name, "") > 0 }

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

// ParseRecorded reads a record of the log. Partition and Offset are left to the caller. A record without the sequencer's attributes
// is a *Refusal: somebody wrote to the log who may not.
func ParseRecorded(key []byte, headers []Header, value []byte) (Recorded, error) {
	e, err := Parse(key, headers, value)
	r := Recorded{Event: e}
	if err != nil {
		return r, err
	}
	r.wide = false // it was admitted: nobody checks its characters any more
	if len(e.malformed) > 0 {
		return r, Refuse(CodeInvalidAttribute, "a system attribute can't be read").At("header " + e.malformed[0])
	}
	for _, h := range headers {
		v := string(h.Value)
		var err error
		switch h.Key {
		case hSequence:
			r.Sequence, err = strconv.ParseInt(v, 10, 64)
		case hPosition:
			r.Position, err = strconv.ParseInt(v, 10, 64)
		case hRecordedTime:
			r.RecordedTime, err = time.Parse(time.RFC3339Nano, v)
		case hLogID:
			r.LogID = v
		case hQuiet:
			if ferr := checkText(v, maxType); ferr != nil {
				return r, ferr.At("header " + h.Key)
			}
			r.Quiet = v
		}
		if err != nil {
			return r, Refuse(CodeInvalidAttribute, "not readable").At("header " + h.Key)
		}
	}
	if r.Sequence < 1 || r.Position < 1 || r.LogID == "" || r.RecordedTime.IsZero() || r.ID == "" || r.Type == "" {
		return r, Refuse(CodeMissingAttribute, "a record of the log lacks the sequencer's attributes").Hint("only the sequencer writes neuronx.events; produce to neuronx.ingress")
	}
	return r, nil
}

// ParseTime reads an RFC 3339 time of the years 1 to 9999 and returns it in UTC, to the microsecond.
func ParseTime(s string) (time.Time, *Refusal) {
	if len(s) > 64 {
		return time.Time{}, Refuse(CodeInvalidAttribute, "not an RFC 3339 time")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, Refuse(CodeInvalidAttribute, "not an RFC 3339 time").Hint("such as 2026-01-31T12:00:00Z")
	}
	t = t.UTC().Truncate(time.Microsecond)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, Refuse(CodeInvalidAttribute, "the time is outside the years 1 to 9999")
	}
	return t, nil
}

func checkText(s string, limit int) *Refusal {
	_, err := scanText(s, limit)
	return err
}

// scanText is checkText, and tells whether s has more than ASCII.
func scanText(s string, limit int) (wide bool, err *Refusal) {
	switch {
	case s == "":
		return false, Refuse(CodeInvalidAttribute, "empty")
	case len(s) > limit:
		return false, Refuse(CodeInvalidAttribute, "longer than %d bytes", limit)
	}
	control, ascii := false, true
	for i := range len(s) { // C0 and DEL; CheckCharacters has the rest
		control = control || s[i] < 0x20 || s[i] == 0x7f
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return true, Refuse(CodeInvalidAttribute, "not UTF-8")
	}
	if control {
		at := strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
		return !ascii, Refuse(CodeInvalidAttribute, "has %U, a control character, at byte %d", s[at], at)
	}
	return !ascii, nil
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
