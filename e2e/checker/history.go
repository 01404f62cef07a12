package checker

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Outcome is what a client knows about an event it sent.
type Outcome string

// The outcomes: acknowledged, surely not taken, or no answer (it may or may not be there).
const (
	OK      Outcome = "ok"
	Fail    Outcome = "fail"
	Unknown Outcome = "unknown"
)

// Op is one event that a client sent and what became of it, as the client saw it.
type Op struct {
	At      time.Time `json:"at"` // when it was sent
	Client  string    `json:"client"`
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Subject string    `json:"subject"`
	Outcome Outcome   `json:"outcome"`
	Code    string    `json:"code,omitempty"` // status or error of the last try
	Tries   int       `json:"tries"`
}

// History writes operations as JSON lines, an intent before the first try and the outcome after the last, each synced to disk, so
// that a client that dies leaves an operation of unknown outcome behind instead of none.
type History struct {
	mu sync.Mutex
	f  *os.File
}

// CreateHistory creates the file; one that is there is emptied.
func CreateHistory(path string) (*History, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	return &History{f: f}, nil
}

// Write appends operations and syncs.
func (h *History) Write(ops ...Op) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := bufio.NewWriter(h.f)
	enc := json.NewEncoder(w)
	for _, op := range ops {
		if err := enc.Encode(op); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return h.f.Sync()
}

// Close closes the file.
func (h *History) Close() error { return h.f.Close() }

// ReadHistory folds a history into one operation an event: the last line of each (tenant, id) counts.
func ReadHistory(path string) ([]Op, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	defer f.Close()
	dec := json.NewDecoder(bufio.NewReader(f))
	last := map[[2]string]int{}
	var ops []Op
	for {
		var op Op
		if err := dec.Decode(&op); err == io.EOF {
			return ops, nil
		} else if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		key := [2]string{op.Tenant, op.ID}
		if i, ok := last[key]; ok {
			ops[i] = op
			continue
		}
		last[key] = len(ops)
		ops = append(ops, op)
	}
}
