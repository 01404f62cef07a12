package standin

import (
	"crypto/rand"
	"encoding/json"
	"math/big"
	"net/http"
)

// answer is what the CRM decided for one request, before any fault spoils it.
type answer struct {
	status  int
	body    map[string]any
	applied bool   // the request changed something, or would have if it had not been there already
	contact string // the contact it was about, if any
	remote  string // the id of what was made (contact or note)
}

func ok(status int, body map[string]any) answer { return answer{status: status, body: body} }

// refuse gives the documented shape of 400 (no error text) and of 401/403/404 (with one).
func refuse(status int, message string) answer {
	body := map[string]any{"statusCode": status, "message": message}
	if status != http.StatusBadRequest {
		body["error"] = http.StatusText(status)
	}
	return answer{status: status, body: body}
}

// unprocessable gives the shape of the vendor's whitelist validation: message is an array.
func unprocessable(problems []string) answer {
	return answer{status: http.StatusUnprocessableEntity, body: map[string]any{
		"statusCode": http.StatusUnprocessableEntity, "message": problems, "error": "Unprocessable Entity",
	}}
}

// duplicate is the 400 that names the contact that is already there.
func duplicate(contactID, field string) answer {
	a := refuse(http.StatusBadRequest, "This location does not allow duplicated contacts.")
	a.body["meta"] = map[string]any{"contactId": contactID, "matchingField": field}
	a.contact = contactID
	return a
}

func missingContact(id string) answer {
	// Undocumented: public code reports 404 and 400.
	return refuse(http.StatusNotFound, "Contact with id "+id+" not found")
}

func (a answer) encode(traceID string) []byte {
	body := a.body
	if body == nil {
		body = map[string]any{}
	}
	body["traceId"] = traceID
	b, err := json.Marshal(body)
	if err != nil {
		return []byte(`{}`)
	}
	return b
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newID makes an opaque, case-sensitive id of 20 characters as the vendor's are.
func newID() string {
	out := make([]byte, 20)
	for i := range out {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(idAlphabet))))
		if err != nil {
			panic("standin: no randomness: " + err.Error())
		}
		out[i] = idAlphabet[n.Int64()]
	}
	return string(out)
}
