package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// RecordVariable names the file to which every stand-in of a test run appends the requests that it gets, so that they can be held
// against the vendor's OpenAPI files afterwards (e2e/crmoracle). Unset or empty: nothing is recorded.
const RecordVariable = "NEURONX_TEST_CRM_RECORD"

// Recorded is one request, one JSON line of that file. It has no token, but it has the body: a record is for data of tests.
type Recorded struct {
	Method      string `json:"method"`
	Path        string `json:"path"` // escaped as it came
	Query       string `json:"query,omitempty"`
	Version     string `json:"version,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Body        string `json:"body,omitempty"` // empty when it was larger than maxBody
	Status      int    `json:"status"`         // what the CRM decided, before a fault
}

// openRecord opens the file of RecordVariable; nil when there is none.
func openRecord() (*os.File, error) {
	path := os.Getenv(RecordVariable)
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the record of requests that %s names: %w", RecordVariable, err)
	}
	return f, nil
}

// keep appends a request to the record as one whole line in one write: other processes append to the same file. A request that
// can't be recorded is an error, since a record with gaps passes what it must not.
func (s *Server) keep(r *http.Request, body []byte, status int) error {
	if s.record == nil {
		return nil
	}
	line, err := json.Marshal(Recorded{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Version: r.Header.Get("Version"),
		ContentType: r.Header.Get("Content-Type"), Body: string(body), Status: status})
	if err != nil {
		return fmt.Errorf("encode a request for the record: %w", err)
	}
	// Closed: the stand-in was stopped while a fault held the request up, and nobody waits for its answer.
	if _, err := s.record.Write(append(line, '\n')); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("append to the record of requests: %w", err)
	}
	return nil
}
