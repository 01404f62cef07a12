package httpin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/neuronx/engine/pkg/event"
)

// codeInternal is the only code that has no cause in the request.
const codeInternal event.Code = "internal"

// FieldError is one thing that is wrong with an event.
type FieldError struct {
	Location string `json:"location"` // attribute name, header, or JSON pointer below /data
	Message  string `json:"message"`
	Value    string `json:"value,omitempty"` // never a field of the data: that may be personal
}

// Problem is an RFC 9457 problem, and the error type of this package.
type Problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Detail   string       `json:"detail"`
	Instance string       `json:"instance,omitempty"`
	Code     event.Code   `json:"code"`
	Errors   []FieldError `json:"errors,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	TraceID  string       `json:"trace_id,omitempty"`
	Items    []itemAnswer `json:"items,omitempty"` // of a batch that ended as unknown

	retryAfter int    // seconds; 0: no header
	cause      error  // for the log only
	allow      string // for 405
	tenant     string // whose request was refused for overload; for log and metrics
}

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

func problem(code event.Code, detail string) *Problem {
	return &Problem{
		Type:   "urn:neuronx:problem:" + string(code),
		Title:  title(code),
		Status: statusOf(code),
		Detail: detail,
		Code:   code,
	}
}

// overload tells that the request was refused for what it would have held, not for what is in it.
func (p *Problem) overload() bool {
	return p.Code == event.CodeMemoryFull || p.Code == event.CodeTenantMemoryFull || p.Code == event.CodeSlowBody
}

func (p *Problem) hint(text string) *Problem { p.Hint = text; return p }

func (p *Problem) retry(seconds int) *Problem { p.retryAfter = seconds; return p }

// at adds one located error.
func (p *Problem) at(location, message string) *Problem {
	p.Errors = append(p.Errors, FieldError{Location: location, Message: message})
	return p
}

// fromError makes a problem of any error. What is not a refusal stays inside:
// its text is for the log, not for the client.
func fromError(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var r *event.Refusal
	if errors.As(err, &r) {
		p := problem(r.Code, r.Detail).hint(r.Next)
		if r.Location != "" {
			return p.at(r.Location, r.Detail)
		}
		return p
	}
	return problem(codeInternal, "the server failed to handle the request").retry(5)
}

// statusOf maps codes to HTTP statuses, for the whole package.
func statusOf(code event.Code) int {
	switch code {
	case event.CodeInvalidAttribute, event.CodeMissingAttribute, event.CodeInvalidJSON, event.CodeInvalidFraming,
		event.CodeEmptyValue, event.CodeUsage:
		return http.StatusBadRequest
	case event.CodeUnauthenticated:
		return http.StatusUnauthorized
	case event.CodeForbidden, event.CodeTenantMismatch, event.CodeTenantSuspended, event.CodeUnknownTenant, event.CodeReservedType:
		return http.StatusForbidden
	case event.CodeNotFound:
		return http.StatusNotFound
	case event.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case event.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case event.CodeUnsupportedMedia:
		return http.StatusUnsupportedMediaType
	case event.CodeUnknownSchema, event.CodeInvalidSchema, event.CodeIncompatibleSchema, event.CodeUnknownType,
		event.CodeTypeMismatch, event.CodeInvalidBody, event.CodeConflict:
		return http.StatusUnprocessableEntity
	case event.CodeSlowBody:
		return http.StatusRequestTimeout
	case event.CodeRateLimited, event.CodeTenantMemoryFull:
		return http.StatusTooManyRequests
	case event.CodeUnavailable, event.CodeMemoryFull:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

func title(code event.Code) string {
	switch code {
	case event.CodeUnauthenticated:
		return "No valid API key"
	case event.CodeTenantMismatch:
		return "The event names another tenant than the API key"
	case event.CodeTenantSuspended:
		return "The tenant is suspended"
	case event.CodeReservedType:
		return "Only the engine publishes this type"
	case event.CodeUnknownType:
		return "No schema for this event type"
	case event.CodeInvalidBody:
		return "The data does not fit its schema"
	case event.CodeUnavailable, event.CodeMemoryFull:
		return "Not available at the moment"
	case event.CodeInvalidJSON:
		return "The body is not valid JSON"
	case codeInternal:
		return "Internal error"
	default:
		return http.StatusText(statusOf(code))
	}
}

// writeProblem answers with a problem; HEAD gets the same without a body, which
// net/http sees to.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem, traceID string) {
	out := *p // the problem may be shared; what belongs to this request is set on a copy
	out.Instance, out.TraceID = r.URL.Path, traceID
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if out.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(out.retryAfter))
	}
	switch out.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="neuronx"`)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", out.allow)
	case http.StatusRequestTimeout:
		h.Set("Connection", "close") // RFC 9110, 15.5.9
	case http.StatusUnsupportedMediaType:
		h.Set("Accept-Post", acceptPost) // W3C LDP 7.1
		h.Set("Accept-Encoding", "gzip") // RFC 9110, 12.5.3
	}
	writeJSON(w, out.Status, out)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only fixed structs come here; keep the connection's framing right anyway
		status, body = http.StatusInternalServerError, []byte(`{"code":"internal"}`)
	}
	writeBody(w, status, body)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client has gone away
}
