package main

import (
	"context"
	"fmt"
)

const (
	jobBacktest = "backtest"
	envFacts    = "NEURONX_BENCH_FACTS"

	mostBacktest = 10.0  // seconds that 100,000 facts may take, with two cores to itself
	mostMemory   = 512.0 // MiB
)

func benchFacts(quick bool) string {
	if quick {
		return "10000"
	}
	return "100000"
}

// backtest measures two timelines over the same facts. The ratio is to what reading and decoding the facts once takes.
func (b *bench) backtest(ctx context.Context, r *report) error {
	rounds, err := b.goBench(ctx, r.root, "services/rules/backtest", "^BenchmarkBacktest$", "s", "facts/s", "decodes/s", "MiB")
	if err != nil {
		return err
	}
	var value, raw, ratio, seconds, memory []float64
	for i, m := range rounds {
		b.say("  round %d: %.0f facts/s in %.1f s, %.0f decoded/s, %.0f MiB at most", i+1, m["facts/s"], m["s"], m["decodes/s"], m["MiB"])
		value, raw, ratio = append(value, m["facts/s"]), append(raw, m["decodes/s"]), append(ratio, m["facts/s"]/m["decodes/s"])
		seconds, memory = append(seconds, m["s"]), append(memory, m["MiB"])
	}
	if !b.o.quick && (median(seconds) > mostBacktest || median(memory) > mostMemory) {
		b.say("  OVER THE TARGET of %.0f s and %.0f MiB", mostBacktest, mostMemory)
	}
	r.add(jobBacktest, "facts/s", fmt.Sprintf("%s facts, which the demo's rules answer in two timelines, made in memory as they are read; %.1f s, and %.0f MiB of the process at most", benchFacts(b.o.quick), median(seconds), median(memory)),
		len(rounds), value, raw, ratio, nil)
	return nil
}
