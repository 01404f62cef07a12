//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/hostile"
)

// What a neighbour may notice: its p99 stays below twice that of quiet times, from the first POST to the row of the read model and to the
// score. A p99 below the floor is no fault, even if it is more than twice: on two cores that Kafka, Postgres and the race detector share, one
// delay of that length in a hundred comes from any of them. A single window is no measurement either: an attack that looks bad is repeated,
// each time after a quiet window, and the medians of the p99s are judged.
const (
	quietFor   = 6 * time.Second
	rowFloor   = 250 * time.Millisecond
	scoreFloor = 500 * time.Millisecond // a score goes through the rules and once more through the log
	rounds     = 5
	patience   = 10 * time.Second // for a lead that is not in the read model at the end of a window
)

// calm measures a quiet window.
func (h *siege) calm(ctx context.Context) hostile.Delays {
	from := time.Now()
	rest(ctx, quietFor)
	return h.neighbour.Delays(ctx, from, patience)
}

// noticed reports whether the neighbour's leads took longer than they may in bad windows, compared with quiet ones.
func noticed(bad, quiet []hostile.Delays) bool {
	for _, d := range bad {
		if d.Missing+d.Unscored > 0 {
			return true
		}
	}
	b, q := hostile.Median(bad), hostile.Median(quiet)
	return b.P99 > max(2*q.P99, rowFloor) || b.ScoredP99 > max(2*q.ScoredP99, scoreFloor)
}

// attack runs one attempt as a tenant of its own and looks at what it did to the processes and to the neighbour. One that looks bad runs
// again until it can be judged.
func (h *siege) attack(name string, do func(*struck)) { h.measure(name, 1, do) }

// contest is attack for what is known to be near the bound: it is measured in several rounds in any case.
func (h *siege) contest(name string, do func(*struck)) { h.measure(name, 3, do) }

func (h *siege) measure(name string, least int, do func(*struck)) {
	h.t.Run(name, func(t *testing.T) {
		var bad, quiet []hostile.Delays
		for n := 1; n <= least; n++ {
			if n > 1 || least > 1 || h.quiet.Leads == 0 {
				h.quiet = h.calm(h.ctx)
			}
			quiet = append(quiet, h.quiet)
			bad = append(bad, h.strike(t, do))
			if n == least && least < rounds && noticed(bad, quiet) {
				least = rounds
			}
		}
		b, q := hostile.Median(bad), hostile.Median(quiet)
		t.Logf("the neighbour's p99 in %d rounds: row %s, quiet %s; score %s, quiet %s (ms, the median first)", len(bad),
			all(bad, b, hostile.Row), all(quiet, q, hostile.Row), all(bad, b, hostile.Score), all(quiet, q, hostile.Score))
		if noticed(bad, quiet) {
			t.Errorf("the neighbour notices it: row p99 %s, quiet %s; score p99 %s, quiet %s; %d missing, %d unscored", b.P99, q.P99, b.ScoredP99, q.ScoredP99, b.Missing, b.Unscored)
		}
	})
}

// all lists a p99 of windows in milliseconds, that of their median first.
func all(of []hostile.Delays, median hostile.Delays, p99 func(hostile.Delays) time.Duration) string {
	out := fmt.Sprint(p99(median).Milliseconds())
	if len(of) > 1 {
		var each []int64
		for _, d := range of {
			each = append(each, p99(d).Milliseconds())
		}
		out += fmt.Sprint(" ", each)
	}
	return out
}

// strike is one round of an attack.
func (h *siege) strike(t *testing.T, do func(*struck)) hostile.Delays {
	t.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, 4*time.Minute)
	defer cancel()
	s := &struck{Attacker: h.attacker(), siege: h, t: t, ctx: ctx, version: 1}
	for _, n := range h.c.Services() {
		noError(t, h.c.Processes[n].ResetPeak())
	}
	from := time.Now()
	do(s)
	d := h.neighbour.Delays(ctx, from, patience)
	t.Logf("after %s: the neighbour: %s", time.Since(from).Truncate(time.Second), d)
	h.alive(t)
	return d
}

// attacker is a tenant of its own.
func (h *siege) attacker() *hostile.Attacker {
	h.attacks++
	tenant := h.c.Tenants(h.t, fmt.Sprintf("attacker-%d", h.attacks), 1, 1)[0]
	return &hostile.Attacker{Door: h.c.Doors[0], Tenant: tenant, History: h.record}
}
