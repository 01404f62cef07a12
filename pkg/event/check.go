package event

import (
	"math"
	"strings"
)

// CheckAttributes applies the bounds of Parse to an event that was built from something else than Kafka headers.
func (e *Event) CheckAttributes() error {
	_, err := e.reparse()
	return err
}

// CheckOutside is CheckAttributes and CheckCharacters, for what comes from outside: over HTTP, or from a dead letter that is retried.
func (e *Event) CheckOutside() error {
	again, err := e.reparse()
	if err != nil || again == nil {
		return err
	}
	return again.CheckCharacters()
}

// reparse is e as Parse reads it, nil when nothing about it can be wrong.
func (e *Event) reparse() (*Event, error) {
	if e.plain() {
		return nil, nil
	}
	if !ValidTenant(e.TenantID) {
		return nil, Refuse(CodeInvalidAttribute, "not a tenant id").At("tenant")
	}
	again, err := Parse([]byte(e.TenantID), e.Headers(), nil)
	if err != nil {
		return nil, err
	}
	if len(again.malformed) > 0 {
		return nil, Refuse(CodeInvalidAttribute, "out of bounds").At(again.malformed[0])
	}
	return &again, nil
}

// CheckCharacters refuses an event of Parse one of whose attributes holds a character that CloudEvents forbids in them (C1 controls and
// noncharacters; the C0 controls Parse itself refuses) or that shows a text as another one (bidi overrides, separators of lines
// and paragraphs). It is for what comes from outside: logs of earlier versions have such attributes, so Parse reads them, and what is
// derived from them goes on.
func (e *Event) CheckCharacters() error {
	if !e.wide {
		return nil
	}
	for _, a := range [...]struct{ name, text string }{
		{hID, e.ID}, {hSource, e.Source}, {hSubject, e.Subject},
		{hIdempotencyKey, e.IdempotencyKey}, {hCorrelation, e.CorrelationID},
	} {
		if err := checkCharacters(a.text); err != nil {
			return err.At("header " + a.name)
		}
	}
	for _, h := range e.Extra {
		if !strings.HasPrefix(h.Key, extensionPrefix) {
			continue // not an attribute: any bytes
		}
		if v := string(h.Value); v != "" {
			if err := checkText(v, maxExtra); err != nil {
				return err.At("header " + h.Key)
			}
			if err := checkCharacters(v); err != nil {
				return err.At("header " + h.Key)
			}
		}
	}
	return nil
}

func checkCharacters(s string) *Refusal {
	for i, r := range s {
		var what string
		switch {
		case r < 0x80:
			continue
		case r < 0xa0:
			what = "a control character"
		case r == 0x2028, r == 0x2029:
			what = "a line separator"
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			what = "which turns the direction of text"
		case r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
			what = "no character"
		default:
			continue
		}
		return Refuse(CodeInvalidAttribute, "has %U, %s, at byte %d", r, what, i).Hint("leave it out; attributes are for identifiers, texts belong into the data")
	}
	return nil
}

// plainExtra bounds the extensions of a plain event: with them, and all else at its longest, the bounds on all headers together
// are far.
const plainExtra = 16

// plain tells that all attributes surely pass, without writing them as headers first. false says nothing: what hardly an event has that is
// checked is not looked at here.
func (e *Event) plain() bool {
	if e.Deriver != "" || e.DeriverNumber != 0 || e.Forwarded != "" || e.Refused != "" || len(e.malformed) > 0 {
		return false
	}
	if e.Hops < 0 || e.Hops > math.MaxUint16 || !plainPath(e.Path) {
		return false
	}
	if !ValidTenant(e.TenantID) || !ValidType(e.Type) || e.Origin != "" && !e.Origin.Valid() || e.Fingerprint != "" && len(e.Fingerprint) != 64 {
		return false
	}
	if e.Receipt != "" && !validReceipt(e.Receipt) {
		return false
	}
	if y := e.Time.Year(); !e.Time.IsZero() && (y < 2 || y > 9998) { // a year's distance from the bounds, whatever the zone
		return false
	}
	for _, a := range [...]struct {
		text  string
		limit int
	}{
		{e.ID, maxID}, {e.Source, maxSource}, {e.Subject, maxSubject}, {e.TraceParent, maxTrace}, {e.TraceState, maxTrace},
		{e.IdempotencyKey, maxID}, {e.CorrelationID, maxID}, {e.CausationID, maxID}, {e.Fingerprint, maxID}, {e.Signature, maxTrace},
	} {
		if len(a.text) > a.limit || !visible(a.text) {
			return false
		}
	}
	if len(e.Extra) > plainExtra {
		return false
	}
	total := 0
	for _, h := range e.Extra {
		if total += len(h.Key) + len(h.Value); total > maxExtra || len(h.Key) > 64 || !printable(h.Key) || known(h.Key) {
			return false
		}
		if strings.HasPrefix(h.Key, extensionPrefix) && !visible(textOf(h.Value)) {
			return false
		}
	}
	return true
}

// plainPath tells that a path surely comes back from its header.
func plainPath(path []string) bool {
	size := len(path)
	for _, p := range path {
		if size += len(p); len(p) > maxID || !visible(p) {
			return false
		}
	}
	return len(path) <= MaxHops+1 && size <= maxPathBytes
}

// visible tells that text is ASCII without control characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// known tells whether a header means something to the engine.
func known(name string) bool { return attributeOf(name) != aNone }
