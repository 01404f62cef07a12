package event

import "strings"

// maxAttributeName is longer than the name of any attribute, in bytes.
const maxAttributeName = 24

// HeaderName is the engine's spelling of a header's name, and the name as it is when the header means nothing to the engine. A name counts in
// any case and with - for _: Spring's binder writes ce-id, proxies and frameworks change case, and an event whose id is not
// recognised would be a new one each time it is sent. The exact spelling is Kafka's (CloudEvents Kafka binding 3.2.3), with ce_ before an
// attribute's name.
func HeaderName(name string) string {
	if attributeOf(name) != aNone {
		return name
	}
	if a := nearAttribute(name); a != aNone && a != aSequencer || nearExtension(name) {
		return spelled(name)
	}
	return name
}

// IsSystem reports whether a header is a system attribute or the signature under which such count, in any spelling.
func IsSystem(name string) bool {
	a := attributeOf(name)
	if a == aNone {
		a = nearAttribute(name)
	}
	return a.system()
}

// nearAttribute is attributeOf for a name in another spelling. Most foreign headers are told by their first letter.
func nearAttribute(name string) attribute {
	if len(name) < 3 || len(name) > maxAttributeName {
		return aNone
	}
	switch name[0] | 0x20 {
	case 'c', 'i', 'n', 't':
	default:
		return aNone
	}
	var room [maxAttributeName]byte
	b := room[:0]
	from, to := byte('_'), byte('-')
	if nearExtension(name) {
		from, to = '-', '_'
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c == from:
			c = to
		}
		b = append(b, c)
	}
	return attributeOf(string(b))
}

// nearExtension tells that a name begins as those of CloudEvents attributes do, in some spelling.
func nearExtension(name string) bool {
	return len(name) > 3 && name[0]|0x20 == 'c' && name[1]|0x20 == 'e' && (name[2] == '-' || name[2] == '_')
}

// spelled writes a near name as the engine does.
func spelled(name string) string {
	name = strings.ToLower(name)
	if nearExtension(name) {
		return strings.ReplaceAll(name, "-", "_")
	}
	return strings.ReplaceAll(name, "_", "-")
}

// canonical is the name of an attribute's header.
func canonical(a attribute) string {
	return [...]string{
		aSpecVersion: hSpecVersion, aID: hID, aSource: hSource, aType: hType, aSubject: hSubject, aTime: hTime, aTenant: hTenant,
		aContentType: hContentType, aTraceParent: hTraceParent, aTraceState: hTraceState, aIdempotencyKey: hIdempotencyKey, aCorrelation: hCorrelation,
		aOrigin: hOrigin, aSignature: hSignature, aCausation: hCausation, aHops: hHops, aDeriver: hDeriver, aDeriverNumber: hDeriverNumber,
		aPath: hPath, aFingerprint: hFingerprint, aForwarded: hForwarded, aReceipt: hReceipt, aRefused: hRefused, aSequencer: "", aNone: "",
	}[a]
}

// CheckIdentity refuses an event without an id and an Idempotency-Key that tried to bring one: a key without a value, or a header that looks
// like one. An id that were made up for it would be another one each time it is sent.
func (e *Event) CheckIdentity() *Refusal {
	if e.ID != "" || e.IdempotencyKey != "" {
		return nil
	}
	const next = "an id is the header ce_id together with ce_source, or idempotency-key alone"
	if e.noKey {
		return Refuse(CodeMissingAttribute, "the idempotency key is empty, and there is no ce_id").At("header " + hIdempotencyKey).Hint(next)
	}
	for _, h := range e.Extra {
		switch letters(h.Key) {
		case "ceid", "cloudeventid", "cloudeventsid", "idempotencykey", "xidempotencykey":
			return Refuse(CodeMissingAttribute, "there is no ce_id, and the header looks like one").At("header " + h.Key).Hint(next)
		}
	}
	return nil
}

// MeansOrigin reports whether a header that is no attribute, or the name of an extension behind ce_, was probably meant to be ce_origin: ceorigin,
// ce.origin, cloudEvents:origin, or one letter off, such as ce_orgin. An event with it would be live, and message people.
func MeansOrigin(name string) bool {
	n := len(name)
	if n < len("ce_orign") || n > len("x-cloudevents-_origin") || name[0]|0x20 != 'c' && name[0]|0x20 != 'x' {
		return false
	}
	if name[n-1]|0x20 != 'n' && n > len("ce_originn") { // most names end here, before they are copied
		return false
	}
	switch word := letters(name); word {
	case "ceorigin", "xceorigin", "cloudeventorigin", "cloudeventsorigin", "xcloudeventorigin", "xcloudeventsorigin":
		return true
	default:
		return nearExtension(name) && oneOff(word[len("ce"):], "origin")
	}
}

// oneOff tells that a word becomes another one when a letter is put in, taken out or replaced, or two neighbours are swapped.
func oneOff(word, want string) bool {
	for len(word) > 0 && len(want) > 0 && word[0] == want[0] {
		word, want = word[1:], want[1:]
	}
	for len(word) > 0 && len(want) > 0 && word[len(word)-1] == want[len(want)-1] {
		word, want = word[:len(word)-1], want[:len(want)-1]
	}
	return len(word) <= 1 && len(want) <= 1 || len(word) == 2 && len(want) == 2 && word[0] == want[1] && word[1] == want[0]
}

// letters is a name without what joins its words, in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r | 0x20
		case r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, name)
}
