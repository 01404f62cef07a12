package event

// CheckAttributes applies the bounds of Parse to an event that was built from something else than Kafka headers (the HTTP door).
func (e *Event) CheckAttributes() error {
	if e.plain() {
		return nil
	}
	if !ValidTenant(e.TenantID) {
		return Refuse(CodeInvalidAttribute, "not a tenant id").At("tenant")
	}
	again, err := Parse([]byte(e.TenantID), e.Headers(), nil)
	if err != nil {
		return err
	}
	if len(again.malformed) > 0 {
		return Refuse(CodeInvalidAttribute, "out of bounds").At(again.malformed[0])
	}
	return nil
}

// plainExtra bounds the extensions of a plain event: with them, and all else at its longest, the bounds on all headers together
// are far.
const plainExtra = 16

// plain tells that all attributes surely pass, without writing them as headers first. false says nothing: what an event from
// outside hardly has is not looked at here.
func (e *Event) plain() bool {
	if e.CausationID != "" || e.Deriver != "" || e.DeriverNumber != 0 || e.Hops != 0 || e.Forwarded != "" || e.Refused != "" || len(e.Path) > 0 || len(e.malformed) > 0 {
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
		{e.IdempotencyKey, maxID}, {e.CorrelationID, maxID}, {e.Fingerprint, maxID}, {e.Signature, maxTrace},
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
	}
	return true
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
func known(name string) bool {
	switch name {
	case hSpecVersion, hID, hSource, hType, hSubject, hTime, hTenant, hCorrelation, hCausation, hHops, hOrigin, hDeriver, hDeriverNumber, hSequence, hPosition,
		hRecordedTime, hLogID, hQuiet, hContentType, hTraceParent, hTraceState, hIdempotencyKey, hPath, hFingerprint, hForwarded, hReceipt, hRefused,
		hSignature:
		return true
	}
	return false
}
