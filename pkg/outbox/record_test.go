package outbox

import (
	"errors"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func TestEncodeRecord_TakesTheLargestRecordAndNoByteMore(t *testing.T) {
	e := derived("t1", "fat")
	e.Value = nil
	head, err := encodeRecord(e)
	if err != nil {
		t.Fatal(err)
	}
	e.Value = make([]byte, MaxRecord-len(head))
	if out, err := encodeRecord(e); err != nil || len(out) != MaxRecord {
		t.Errorf("%d bytes, %v; want the largest record", len(out), err)
	}
	e.Value = append(e.Value, 0)
	var refusal *event.Refusal
	if _, err := encodeRecord(e); !errors.As(err, &refusal) || refusal.Code != event.CodeTooLarge {
		t.Errorf("a byte more gives %v, want too_large", err)
	}
}
