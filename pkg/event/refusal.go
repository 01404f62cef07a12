package event

import "fmt"

// Code names a reason for which something was refused. Codes are public: they stand in HTTP problems, dead letters, CLI output,
// logs and metrics, and never change their meaning.
type Code string

// The codes.
const (
	CodeInvalidAttribute   Code = "invalid_attribute"
	CodeMissingAttribute   Code = "missing_attribute"
	CodeTenantMismatch     Code = "tenant_mismatch"
	CodeUnknownTenant      Code = "unknown_tenant"
	CodeTenantSuspended    Code = "tenant_suspended"
	CodeTenantExists       Code = "tenant_exists"
	CodeEmptyValue         Code = "empty_value"
	CodeInvalidFraming     Code = "invalid_framing"
	CodeUnknownSchema      Code = "unknown_schema"
	CodeInvalidSchema      Code = "invalid_schema"
	CodeIncompatibleSchema Code = "incompatible_schema"
	CodeUnknownType        Code = "unknown_type"
	CodeTypeMismatch       Code = "type_mismatch"
	CodeInvalidBody        Code = "invalid_body"
	CodeInvalidJSON        Code = "invalid_json"
	CodeTooLarge           Code = "too_large"
	CodeReservedType       Code = "reserved_type"
	CodeInvalidSignature   Code = "invalid_signature"
	CodeConflict           Code = "conflict"
	CodeDeriverConflict    Code = "deriver_conflict"
	CodeDeriverForbidden   Code = "deriver_forbidden"
	CodeStorm              Code = "storm"
	CodeMisrouted          Code = "misrouted"
	CodeUnauthenticated    Code = "unauthenticated"
	CodeForbidden          Code = "forbidden"
	CodeUnsupportedMedia   Code = "unsupported_media_type"
	CodeMethodNotAllowed   Code = "method_not_allowed"
	CodeRateLimited        Code = "rate_limited"
	CodeUnavailable        Code = "unavailable"
	CodeMemoryFull         Code = "memory_full"
	CodeTenantMemoryFull   Code = "tenant_memory_full"
	CodeSlowBody           Code = "slow_body"
	CodeNotFound           Code = "not_found"
	CodeInvalidRule        Code = "invalid_rule"
	CodeInvalidImport      Code = "invalid_import"
	CodeInvalidProjection  Code = "invalid_projection"
	CodeInvalidConfig      Code = "invalid_config"
	CodeAlreadyRetried     Code = "already_retried"
	CodeAlreadyDropped     Code = "already_dropped"
	CodeNotRetriable       Code = "not_retriable"
	CodeUsage              Code = "usage"
	CodeUnsafe             Code = "unsafe"
)

// Refusal is an error that a person can act on: what was refused, why, and what to do next.
type Refusal struct {
	Code     Code
	Detail   string // what is wrong, with the offending name or value, never a secret or a whole payload
	Next     string // what to do about it; may be empty
	Location string // where, such as header ce_time or data.email; may be empty
}

// Refuse makes a Refusal with a formatted detail.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// At returns the refusal with its location set.
func (r *Refusal) At(location string) *Refusal { r.Location = location; return r }

// Hint returns the refusal with its next step set.
func (r *Refusal) Hint(next string) *Refusal { r.Next = next; return r }

// Error implements error: code, location, detail and next step in one line.
func (r *Refusal) Error() string {
	s := string(r.Code) + ": "
	if r.Location != "" {
		s += r.Location + ": "
	}
	s += r.Detail
	if r.Next != "" {
		s += " (" + r.Next + ")"
	}
	return s
}
