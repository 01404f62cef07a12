package gohighlevel

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

// outcome is the meaning of an answer.
type outcome struct {
	crm.End
	other   string       // the contact that a refusal names: one with the same keys
	found   *crm.Contact // of a look-up that is done; nil: there is none
	refused bool         // proven: the request was refused before it was acted upon
}

// Pauses for answers that concern the whole account.
const (
	authPause      = 5 * time.Minute // a token that is refused does not heal in seconds, and people rotate it
	maxRetryAfter  = time.Hour
	limitPause     = 10 * time.Second // the documented burst interval
	maxDetailBytes = 300
)

// classify decides what the answer to a call of a kind means. It follows these rules, first match:
//
//	answer                                              repeatable        once
//	never connected                                     retry             retry
//	transport error, 408, 5xx                           retry             unknown
//	2xx that can be read and names what was made        done              done
//	2xx that can't be read                              retry             unknown
//	400 duplicate contact with meta.contactId           failed            -
//	400 slot taken, 400, 404 appointment or task gone   failed            failed
//	400, 404 automation not found                       failed            failed
//	400 message: DND, no address or a wrong one         -                 failed
//	401 version header                                  failed            failed
//	401, 403 about the scope: only such calls pause     retry, pause      retry, pause
//	401, 403 about token or location                    retry, pause      retry, pause
//	404 "Cannot POST …", 400/404 contact not found      failed            failed
//	429                                                 retry, pause      retry, pause
//	3xx, other 4xx                                      failed            unknown
//
// Only refusals that are given before the request is acted upon let a once effect be sent again: a 4xx alone proves nothing (a
// create was seen to answer 422 and store the contact).
func classify(kind string, c crm.Call, a crm.Answer) outcome {
	once := crm.ClassOf(kind) == crm.Once && c.Changes && !c.Again
	unsure := func(code, detail string) outcome { // what a lost answer means
		if once {
			return outcome{End: crm.End{Status: crm.Unknown, Code: code, Detail: detail, Sick: true}}
		}
		return outcome{End: crm.End{Status: crm.Pending, Code: code, Detail: detail, Sick: true}}
	}
	if a.Err != nil && a.Status == 0 || a.Status == 0 {
		if a.NotSent {
			return outcome{End: crm.End{Status: crm.Pending, Code: crm.CodeNotConnected, Detail: "could not connect", Sick: true}}
		}
		return unsure(crm.CodeNoAnswer, "no answer after the request was sent")
	}
	e := parseError(a.Body)
	detail := "status " + strconv.Itoa(a.Status)
	if e.message != "" {
		detail += ": " + e.message
	}
	switch s := a.Status; {
	case s >= 200 && s < 300 && c.Op == opLookup:
		if found, ok := readFound(a.Body); ok && a.Err == nil && !a.Cut {
			return outcome{End: crm.End{Status: crm.Done}, found: found}
		}
		return unsure("unreadable_answer", "status "+strconv.Itoa(a.Status)+" with an answer that can't be read")
	case s >= 200 && s < 300 && !c.Changes:
		if a.Err != nil || a.Cut {
			return unsure("unreadable_answer", "status "+strconv.Itoa(a.Status)+" with an answer that can't be read")
		}
		return outcome{End: crm.End{Status: crm.Done}}
	case s >= 200 && s < 300:
		return readSuccess(kind, a, unsure)
	case s == http.StatusTooManyRequests:
		after := retryAfter(a.Header)
		return refusal(crm.End{Status: crm.Pending, Code: "rate_limited", Detail: detail, After: after, Pause: after})
	case s == http.StatusBadRequest && kind == crm.KindUpsert && e.contactID != "":
		// Taking over the other contact's id would turn the lead into somebody else.
		o := refusal(crm.End{Status: crm.Failed, Code: crm.CodeContactTaken,
			Detail: "the e-mail address or phone number belongs to contact " + e.contactID + "; nothing was written"})
		o.other = e.contactID
		return o
	case s == http.StatusBadRequest && e.code == "OPPORTUNITY_NO_DUPLICATE":
		detail := "the contact has an opportunity in this pipeline already, and the location allows one"
		if e.existingID != "" {
			detail += ": " + e.existingID + "; if that is the one, resolve this as done with its id"
		}
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeExists, Detail: detail})
	case (s == http.StatusNotFound || s == http.StatusBadRequest) && crm.ObjectOf(kind) == crm.ObjectOpportunity && objectGone(e.message):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeUnknownObject, Detail: detail})
	case s == http.StatusBadRequest && crm.ObjectOf(kind) == crm.ObjectAppointment && slotTaken(e.message):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeSlotTaken, Detail: detail})
	case (s == http.StatusNotFound || s == http.StatusBadRequest) && (kind == crm.KindReschedule || kind == crm.KindCancel) && appointmentGone(e.message):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeNoAppointment, Detail: detail})
	case (s == http.StatusNotFound || s == http.StatusBadRequest) && kind == crm.KindFinish && taskGone(e.message):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeTaskUnknown, Detail: detail})
	case (s == http.StatusNotFound || s == http.StatusBadRequest) && (kind == crm.KindEnrol || kind == crm.KindLeave) && automationGone(e.message):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeNameUnknown, Detail: detail})
	case s == http.StatusBadRequest && kind == crm.KindMessage && unreachable(e.message) != "":
		return refusal(crm.End{Status: crm.Failed, Code: unreachable(e.message), Detail: detail})
	case s == http.StatusUnauthorized && strings.Contains(strings.ToLower(e.message), "version header"):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeVersion, Detail: detail})
	case (s == http.StatusUnauthorized || s == http.StatusForbidden) && aboutScope(e.message):
		return refusal(crm.End{Status: crm.Pending, Code: crm.CodeScope, Detail: c.Op + ": " + detail + "; connect the CRM again with a token that may do this",
			After: authPause, Pause: authPause, Only: true})
	case s == http.StatusUnauthorized || s == http.StatusForbidden && aboutToken(e.message):
		return refusal(crm.End{Status: crm.Pending, Code: crm.CodeUnauthorized, Detail: detail, After: authPause, Pause: authPause})
	case s == http.StatusNotFound && strings.HasPrefix(e.message, "Cannot "):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeNotFound, Detail: detail})
	case (s == http.StatusNotFound || s == http.StatusBadRequest) && contactGone(e.message):
		return refusal(crm.End{Status: crm.Failed, Code: crm.CodeContactUnknown, Detail: detail})
	case s == http.StatusRequestTimeout || s >= 500 || s < 200:
		o := unsure(crm.CodeNoVerdict, detail)
		if after, given := headerDelay(a.Header); given && !once {
			o.After = after
		}
		return o
	case s >= 300 && s < 400:
		if once {
			return unsure(crm.CodeRedirected, detail)
		}
		return failed(crm.CodeRedirected, detail)
	case once:
		return outcome{End: crm.End{Status: crm.Unknown, Code: crm.CodeRejected, Detail: detail}}
	}
	return failed(crm.CodeRejected, detail)
}

// refusal is the outcome of a request that was refused before it was acted upon.
func refusal(end crm.End) outcome { return outcome{End: end, refused: true} }

func readSuccess(kind string, a crm.Answer, unsure func(code, detail string) outcome) outcome {
	var body struct {
		Contact *struct {
			ID string `json:"id"`
		} `json:"contact"`
		Note *struct {
			ID string `json:"id"`
		} `json:"note"`
		Task *struct {
			ID string `json:"id"`
		} `json:"task"`
		Opportunity *struct {
			ID string `json:"id"`
		} `json:"opportunity"`
		ID        string    `json:"id"` // of an appointment
		MessageID string    `json:"messageId"`
		Succeeded *bool     `json:"succeded"` //nolint:misspell // the vendor's spelling
		Right     *bool     `json:"succeeded"`
		Tags      *[]string `json:"tags"`
	}
	if a.Err != nil || a.Cut || json.Unmarshal(a.Body, &body) != nil {
		return unsure("unreadable_answer", "status "+strconv.Itoa(a.Status)+" with an answer that can't be read")
	}
	switch {
	case (kind == crm.KindUpsert || kind == crm.KindAssign || kind == crm.KindDND || kind == crm.KindField) && body.Contact != nil && validID(body.Contact.ID):
		return outcome{End: crm.End{Status: crm.Done, RemoteID: body.Contact.ID}}
	case kind == crm.KindNote && body.Note != nil && validID(body.Note.ID):
		return outcome{End: crm.End{Status: crm.Done, RemoteID: body.Note.ID}}
	case (kind == crm.KindTask || kind == crm.KindFinish) && body.Task != nil && validID(body.Task.ID):
		return outcome{End: crm.End{Status: crm.Done, RemoteID: body.Task.ID}}
	case crm.ObjectOf(kind) == crm.ObjectOpportunity && body.Opportunity != nil && validID(body.Opportunity.ID):
		return outcome{End: crm.End{Status: crm.Done, RemoteID: body.Opportunity.ID}}
	case crm.ObjectOf(kind) == crm.ObjectAppointment && validID(body.ID):
		return outcome{End: crm.End{Status: crm.Done, RemoteID: body.ID}}
	case kind == crm.KindMessage && validID(body.MessageID):
		return outcome{End: crm.End{Status: crm.Done, RemoteID: body.MessageID}}
	case (kind == crm.KindClose || kind == crm.KindEnrol || kind == crm.KindLeave) && (body.Succeeded != nil && *body.Succeeded || body.Right != nil && *body.Right):
		return outcome{End: crm.End{Status: crm.Done}}
	case kind == crm.KindTag && body.Tags != nil:
		return outcome{End: crm.End{Status: crm.Done}}
	}
	return unsure("unreadable_answer", "status "+strconv.Itoa(a.Status)+" without what was made")
}

// validID bounds what is taken over as an opaque id: it becomes part of a path and of events.
func validID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || strings.ContainsRune("/?#%\\\"", r) {
			return false
		}
	}
	return s != "." && s != ".."
}

type apiError struct {
	message    string
	contactID  string
	code       string
	existingID string
}

// parseError reads the error shapes of the vendor leniently: message may be text or an array of texts; error may be an object.
func parseError(body []byte) apiError {
	var raw struct {
		Message json.RawMessage `json:"message"`
		Meta    struct {
			ContactID  string `json:"contactId"`
			ExistingID string `json:"existingId"`
		} `json:"meta"`
		Code        string          `json:"code"`
		Description string          `json:"error_description"`
		Error       json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &raw) != nil {
		return apiError{}
	}
	e := apiError{}
	if validID(raw.Meta.ContactID) {
		e.contactID = raw.Meta.ContactID
	}
	if validID(raw.Meta.ExistingID) {
		e.existingID = raw.Meta.ExistingID
	}
	e.code = raw.Code
	var many []string
	var object struct {
		Message string `json:"message"`
	}
	switch {
	case json.Unmarshal(raw.Message, &e.message) == nil && e.message != "":
	case json.Unmarshal(raw.Message, &many) == nil && len(many) > 0:
		e.message = strings.Join(many, "; ")
	case raw.Description != "":
		e.message = raw.Description
	case json.Unmarshal(raw.Error, &object) == nil:
		e.message = object.Message
	}
	e.message = cut(strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, e.message), "?"), maxDetailBytes)
	return e
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func aboutToken(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "token") || strings.Contains(m, "access to this location")
}

// aboutScope tells a refusal of one operation from one of the token: others may go on.
func aboutScope(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "scope") || m == "forbidden resource"
}

func objectGone(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "opportunity") && (strings.Contains(m, "not found") || strings.Contains(m, "is deleted"))
}

func taskGone(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "task") && strings.Contains(m, "not found")
}

func contactGone(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "contact") && (strings.Contains(m, "not found") || strings.Contains(m, "is deleted"))
}

// retryAfter is how long a 429 asks to wait: Retry-After if it makes sense, else the interval header, else 10 s.
func retryAfter(h http.Header) time.Duration {
	if d, given := headerDelay(h); given {
		return d
	}
	if ms, err := strconv.ParseInt(h.Get("X-RateLimit-Interval-Milliseconds"), 10, 64); err == nil && ms > 0 && ms <= maxRetryAfter.Milliseconds() {
		return time.Duration(ms) * time.Millisecond
	}
	return limitPause
}

// headerDelay reads Retry-After, seconds or a date (RFC 9110, 10.2.3): proxies before a vendor write either. A date counts from the answer's
// own Date, whatever the clocks here say. What is negative or no time is as good as none; an absurd wait is cut to an hour.
func headerDelay(h http.Header) (time.Duration, bool) {
	given := strings.TrimSpace(h.Get("Retry-After"))
	s, err := strconv.ParseInt(given, 10, 64)
	if at, dateErr := http.ParseTime(given); dateErr == nil {
		now, noDate := http.ParseTime(h.Get("Date"))
		if noDate != nil {
			return 0, false
		}
		s, err = max(0, int64(at.Sub(now)/time.Second)), nil
	}
	if err != nil || s < 0 {
		return 0, false
	}
	if s > int64(maxRetryAfter/time.Second) {
		return maxRetryAfter, true
	}
	return max(time.Duration(s)*time.Second, time.Second), true
}
