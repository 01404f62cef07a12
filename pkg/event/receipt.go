package event

import (
	"encoding/json"
	"fmt"
)

// Outcomes of a Receipt.
const (
	OutcomeAdmitted  = "admitted"
	OutcomeDuplicate = "duplicate"
	OutcomeRefused   = "refused"
)

// Receipt is the sequencer's verdict on one event, for the waiter that Event.Receipt names: the value of a record of
// neuronx.receipts, whose key is the waiter. Numbers are strings in JSON, since they pass 2^53; those that say nothing are left out.
type Receipt struct {
	ID       string `json:"id"` // of the event
	Tenant   string `json:"tenant"`
	Outcome  string `json:"outcome"`
	Code     Code   `json:"code,omitempty"` // of a refusal; with duplicate: of the earlier refusal that this repeats
	Detail   string `json:"detail,omitempty"`
	Sequence int64  `json:"sequence,omitempty,string"` // admitted
	Position int64  `json:"position,omitempty,string"` // admitted
	Of       int64  `json:"of,omitempty,string"`       // duplicate: the sequence that the first one got
}

// Encode writes the record's value.
func (r Receipt) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil { // strings and integers only: it can't be
		panic(fmt.Sprintf("encode receipt: %v", err))
	}
	return b
}

// ParseReceipt reads a record's value.
func ParseReceipt(value []byte) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal(value, &r); err != nil {
		return Receipt{}, fmt.Errorf("read receipt: %w", err)
	}
	return r, nil
}
