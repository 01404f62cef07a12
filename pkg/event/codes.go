package event

import "slices"

// Codes lists every code; the order means nothing.
func Codes() []Code {
	return []Code{
		CodeInvalidAttribute, CodeMissingAttribute, CodeTenantMismatch, CodeUnknownTenant, CodeTenantSuspended, CodeTenantExists,
		CodeEmptyValue, CodeInvalidFraming, CodeUnknownSchema, CodeInvalidSchema, CodeIncompatibleSchema, CodeUnknownType,
		CodeTypeMismatch, CodeInvalidBody, CodeInvalidJSON, CodeTooLarge, CodeReservedType, CodeInvalidSignature, CodeConflict,
		CodeDeriverConflict, CodeDeriverForbidden, CodeStorm, CodeMisrouted, CodeUnauthenticated, CodeForbidden,
		CodeUnsupportedMedia, CodeMethodNotAllowed, CodeRateLimited, CodeUnavailable, CodeMemoryFull, CodeTenantMemoryFull,
		CodeSlowBody, CodeNotFound, CodeInvalidRule, CodeInvalidImport, CodeInvalidProjection, CodeInvalidConfig,
		CodeAlreadyRetried, CodeAlreadyDropped, CodeNotRetriable, CodeUsage, CodeUnsafe,
	}
}

// Label is a code as the label of a metric: itself, "unknown" without one, and "other" for what is none of Codes. A code that was read may be a
// newer build's, or anything that somebody wrote into the dead letters.
func (c Code) Label() string {
	switch {
	case c == "":
		return "unknown"
	case slices.Contains(Codes(), c):
		return string(c)
	}
	return "other"
}
