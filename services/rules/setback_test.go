package rules

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
)

// After Postgres was set back the log holds, behind each cause, what was derived from it. However the log is cut into batches, what is derived
// again has to get the number that it has in the log: the sequencer admits any other event under the next free one.
func TestApply_DerivesNothingThatTheLogOfASetBackDatabaseHolds(t *testing.T) {
	b := newFlowBench(t)
	b.publish("acme", 1, score)
	for id := range 4 {
		b.take(b.outside("acme", "lead.created", fmt.Sprintf("lead/%d", id), lead(fmt.Sprint(id))))
		if id%2 == 1 {
			b.drain() // what two leads caused stands behind both
		}
	}
	log := b.log["acme"]
	own, last := map[string]int64{}, int64(0)
	for _, r := range log {
		if r.Deriver == Deriver {
			own[r.ID], last = r.DeriverNumber, r.DeriverNumber
		}
	}
	if len(own) < 4 {
		t.Fatalf("%d events were derived, too few to tell", len(own))
	}
	inParts := unbounded
	inParts.cost = 1 // of a batch only what comes first is applied
	for _, terms := range []terms{unbounded, inParts} {
		for size := 1; size <= len(log); size++ {
			r := newFlowBench(t)
			r.keys = b.keys
			r.restart()
			for rest, short := log, false; len(rest) > 0; short = !short {
				batch := rest[:min(size, len(rest))]
				if short && terms.cost == inParts.cost { // a batch that ends before what stood in the last one
					batch = rest[:1]
				}
				var parts []consumer.Part
				err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) (err error) {
					parts, err = r.h.apply(t.Context(), tx, []consumer.Run{runOf(batch...)}, terms)
					return err
				})
				if err != nil || parts[0].Err != nil || parts[0].Applied == 0 {
					t.Fatalf("batches of %d: %+v, %v", size, parts, err)
				}
				rest = rest[parts[0].Applied:]
				for _, e := range r.waiting(Deriver) {
					if own[e.ID] != e.DeriverNumber {
						t.Errorf("batches of %d: %s is derived again as number %d, the log has it as %d", size, e.ID, e.DeriverNumber, own[e.ID])
					}
				}
			}
			if rest := r.waiting(Deriver); len(rest) > 0 {
				t.Errorf("batches of %d: %d events wait that the log has", size, len(rest))
			}
			var n int64
			if err := r.pool.QueryRow(t.Context(), `SELECT last FROM neuronx.outbox_numbers WHERE tenant_id = 'acme' AND deriver = $1`, Deriver).Scan(&n); err != nil || n != last {
				t.Errorf("batches of %d: the last number is %d (%v), want %d", size, n, err, last)
			}
		}
	}
}
