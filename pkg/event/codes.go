package event

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
