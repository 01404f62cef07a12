package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Error codes of Confluent's registry, which its clients know.
const (
	codeSubjectNotFound = 40401
	codeVersionNotFound = 40402
	codeSchemaNotFound  = 40403
	codeNoCompatibility = 40408
	codeNoMode          = 40409
	codeIncompatible    = 40901
	codeInvalidSchema   = 42201
	codeInvalidVersion  = 42202
	codeInvalidLevel    = 42203
	codeOperation       = 42205
	codeInvalidSubject  = 42208
	codeTooLarge        = 42209
	codeStore           = 50001
)

// problem is an answer other than success.
type problem struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d: %s", p.Code, p.Message) }

func refuse(code int, format string, args ...any) error {
	return &problem{Code: code, Message: fmt.Sprintf(format, args...)}
}

const contentType = "application/vnd.schemaregistry.v1+json"

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone; nobody is left to tell
}

// answerError is the one place where codes become HTTP statuses: the first three digits, except 5xx, which are all 500.
func answerError(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = &problem{Code: codeStore, Message: "the registry's store failed"}
	}
	status := p.Code
	if p.Code > 999 {
		status = p.Code / 100
	}
	answer(w, status, p)
}
