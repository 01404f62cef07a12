package workflows

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// counting is a store that counts how often it is asked for all claims of a pool.
type counting struct {
	*Memory
	asked int
}

func (c *counting) Claims(ctx context.Context, name string, at time.Time) (map[string]int64, error) {
	c.asked++
	return c.Memory.Claims(ctx, name, at)
}

func TestPool_CountsClaimsOnlyWhereACapacityOrAPersonAsks(t *testing.T) {
	const assign = `
start: {on: [lead.created], key: data.lead_id}
do: [route: {assign: {pool: team, as: owner}}]`
	team := func(capacity string) ruleset.File {
		return ruleset.File{Name: "team.yaml", Text: strings.ReplaceAll(`apiVersion: neuronx/v1
kind: Lookup
metadata: {name: team}
spec:
  key: rep
  columns: {rep: string, room: int}
  rows: [{rep: ann, room: 1}, {rep: bob, room: 2}]
  pool: {CAPACITYfollow: {on: [lead.assigned], key: data.lead_id, member: data.owner_id}}
`, "CAPACITY", capacity)}
	}
	for capacity, want := range map[string]int{"": 0, "capacity: room, ": 3} {
		w := newRig(t, workflow("w", assign), team(capacity))
		c := &counting{Memory: w.store}
		w.fold = New("t1", c, w, w.bundle)
		for _, id := range []string{"1", "2", "3"} {
			w.lead(id)
		}
		if c.asked != want {
			t.Errorf("with %q claims were counted %d times for three starts, want %d", capacity, c.asked, want)
		}
	}
}
