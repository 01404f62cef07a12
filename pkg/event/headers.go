package event

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

// attribute numbers what headers mean to the engine.
type attribute uint8

const (
	aSpecVersion attribute = iota
	aID
	aSource
	aType
	aSubject
	aTime
	aTenant
	aContentType
	aTraceParent
	aTraceState
	aIdempotencyKey
	aCorrelation
	aOrigin
	aSignature
	aCausation // from here on the system attributes that only a signature makes count
	aHops
	aDeriver
	aDeriverNumber
	aPath
	aFingerprint
	aForwarded
	aReceipt
	aRefused
	aSequencer // the sequencer's own; on ingress they mean nothing
	aNone      // a header of somebody else's, or an extension
)

// attributeOf finds the attribute of a header by its exact name.
func attributeOf(name string) attribute {
	switch name {
	case hSpecVersion:
		return aSpecVersion
	case hID:
		return aID
	case hSource:
		return aSource
	case hType:
		return aType
	case hSubject:
		return aSubject
	case hTime:
		return aTime
	case hTenant:
		return aTenant
	case hContentType:
		return aContentType
	case hTraceParent:
		return aTraceParent
	case hTraceState:
		return aTraceState
	case hIdempotencyKey:
		return aIdempotencyKey
	case hCorrelation:
		return aCorrelation
	case hOrigin:
		return aOrigin
	case hSignature:
		return aSignature
	case hCausation:
		return aCausation
	case hHops:
		return aHops
	case hDeriver:
		return aDeriver
	case hDeriverNumber:
		return aDeriverNumber
	case hPath:
		return aPath
	case hFingerprint:
		return aFingerprint
	case hForwarded:
		return aForwarded
	case hReceipt:
		return aReceipt
	case hRefused:
		return aRefused
	case hSequence, hPosition, hRecordedTime, hLogID, hQuiet:
		return aSequencer
	}
	return aNone
}

// system tells that an attribute counts only under a signature, or is the signature.
func (a attribute) system() bool { return a >= aOrigin && a <= aRefused }

// extensionPrefix begins the names of headers that are attributes.
const extensionPrefix = "ce_"

// Bounds on attributes, in bytes unless said otherwise.
const (
	maxHeaders     = 100      // extensions and foreign headers that are kept of one record,
	maxHeaderBytes = 32 << 10 // and their bytes
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
