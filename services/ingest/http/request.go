package httpin

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// bearer takes the API key out of the Authorization header (RFC 6750, 2.1). It
// is not read from a query or a form, where it would end up in logs.
func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.TrimSpace(token)
	return token, token != "" && len(token) <= 512
}

const maxIdempotencyKey = 256

// idempotencyKey reads the header of draft-ietf-httpapi-idempotency-key-header:
// a structured-field string (RFC 9651, 3.3.3); a bare value is taken too.
// Absent is "", and so is one without a value: then the event needs an id.
func idempotencyKey(h http.Header) (string, *Problem) {
	values := h.Values("Idempotency-Key")
	if other := h.Values("Idempotency_key"); len(other) > 0 { // as net/http writes it when the client says Idempotency_Key
		values = append(values[:len(values):len(values)], other...)
	}
	if len(values) == 0 {
		return "", nil
	}
	bad := func(why string) (string, *Problem) {
		return "", problem(event.CodeInvalidAttribute, "the Idempotency-Key can't be used: "+why).at("header Idempotency-Key", why).
			hint("1 to 256 printable ASCII characters, such as a UUID")
	}
	if slices.ContainsFunc(values, func(v string) bool { return v != values[0] }) {
		return bad("it is there more than once, with different values")
	}
	v := strings.TrimSpace(values[0])
	if strings.HasPrefix(v, `"`) {
		if len(v) < 2 || !strings.HasSuffix(v, `"`) {
			return bad("the quotes are not closed")
		}
		var err error
		if v, err = unquote(v); err != nil {
			return bad(err.Error())
		}
	} else if strings.ContainsAny(v, `" ,;`) {
		return bad("without quotes it may not contain a quote, space, comma or semicolon")
	}
	switch {
	case v == "":
		return "", nil
	case len(v) > maxIdempotencyKey:
		return bad("it is longer than 256 characters")
	}
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return bad("it has a character that is not printable ASCII")
		}
	}
	return v, nil
}

// trace carries a valid traceparent on (W3C Trace Context 1, 3.2) or starts one,
// and tells the trace id.
func trace(h http.Header) (parent, state, traceID string) {
	if values := h.Values("Traceparent"); len(values) == 1 && event.ValidTraceParent(values[0]) {
		parent = values[0]
		return parent, event.UsableTraceState(strings.Join(h.Values("Tracestate"), ",")), parent[3:35]
	}
	var ids [24]byte
	_, _ = rand.Read(ids[:]) // never fails since Go 1.24
	id := hex.EncodeToString(ids[:])
	// 00: not sampled. Whether to record is decided where a trace starts, and none was started.
	return "00-" + id[:32] + "-" + id[32:] + "-00", "", id[:32]
}

// sortHeaders gives extensions a fixed order, whatever order a map had.
func sortHeaders(hs []event.Header) {
	slices.SortFunc(hs, func(a, b event.Header) int { return strings.Compare(a.Key, b.Key) })
}

// authProblem maps the reasons of the tenant directory.
func authProblem(err error) *Problem {
	switch {
	case errors.Is(err, tenant.ErrNotLoaded):
		return problem(event.CodeUnavailable, "the tenant directory is not loaded yet").retry(2)
	case errors.Is(err, tenant.ErrSuspended):
		return problem(event.CodeTenantSuspended, "the tenant of this API key is suspended").hint("`neuronx tenant resume` brings it back")
	case errors.Is(err, tenant.ErrScope):
		return problem(event.CodeForbidden, "the API key is not allowed to do this").hint("issue a key with the scope: `neuronx key issue --scope …`")
	default:
		return problem(event.CodeUnauthenticated, "the API key is missing or not valid").
			hint("send `Authorization: Bearer nx_…`; a new key works within 10 seconds")
	}
}
