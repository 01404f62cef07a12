package stream_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
)

// held is a Source in memory.
type held []event.Recorded

func (h held) Events(_ context.Context, tenant string, from int64, limit int) (out []event.Recorded, _ error) {
	for _, e := range h {
		if e.TenantID == tenant && e.Sequence >= from && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// A fold over an archive that is a little behind, and the newest events in memory. It ends where nobody has the next event, and says so.
func ExampleFold() {
	at := func(sequence int64, typ string) event.Recorded {
		return event.Recorded{Event: event.Event{TenantID: "acme", Type: typ}, Sequence: sequence}
	}
	archive := held{at(1, "tenant.created"), at(2, "lead.created")}
	newest := held{at(2, "lead.created"), at(3, "lead.scored"), at(5, "lead.lost")}

	err := stream.Fold(context.Background(), stream.Chain{archive, newest}, "acme", 1, stream.Open, func(e *event.Recorded) error {
		fmt.Println(e.Sequence, e.Type)
		return nil
	})
	fmt.Println(errors.Is(err, stream.ErrGap), err)
	// Output:
	// 1 tenant.created
	// 2 lead.created
	// 3 lead.scored
	// true read events of acme: sequence 4: it is missing, and a later one is there
}
