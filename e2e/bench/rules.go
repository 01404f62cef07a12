package main

import (
	"context"
	"fmt"
)

const (
	jobRules = "rules"

	mostUnheard = 5.0   // µs of CPU that an event costs more that nobody hears
	mostRule    = 1.15  // of what bare CEL costs for the condition of a rule
	mostEvent   = 1.3   // of what an event costs with the rules alone that hear it
	mostBundles = 512.0 // MiB of 200 tenants with 50 rules
)

// rules measures what rules and workflows cost an event, against bare CEL over the same expressions in the same process.
func (b *bench) rules(ctx context.Context, r *report) error {
	rounds, err := b.goBench(ctx, r.root, "services/rules", "^BenchmarkRules$", "µs-unheard", "x-rule", "x-event", "x-answered", "MiB")
	if err != nil {
		return err
	}
	var unheard, rule, event, answered, memory []float64
	for i, m := range rounds {
		b.say("  round %d: %.2f µs more for an event that nobody hears, %.2f of bare CEL a rule, %.2f of the ten rules alone and %.2f of bare CEL and Avro an event that ten rules of 1,000 answer, %.0f MiB",
			i+1, m["µs-unheard"], m["x-rule"], m["x-event"], m["x-answered"], m["MiB"])
		unheard, rule, event, memory = append(unheard, m["µs-unheard"]), append(rule, m["x-rule"]), append(event, m["x-event"]), append(memory, m["MiB"])
		answered = append(answered, m["x-answered"])
	}
	for _, goal := range []struct {
		what        string
		value, most float64
	}{{"an event that nobody hears", median(unheard), mostUnheard}, {"a rule", median(rule), mostRule}, {"an event that rules answer", median(event), mostEvent}, {"the bundles of 200 tenants", median(memory), mostBundles}} {
		if goal.value > goal.most {
			b.say("  OVER THE TARGET: %s takes %.2f, and %.2f is the target", goal.what, goal.value, goal.most)
		}
	}
	r.add("rules_unheard", "µs", "of CPU that an event costs more that none of 1,000 rules and 100 workflows hears, each of which has an instance, than without any", len(rounds), unheard, nil, nil, nil)
	r.add(jobRules, "×", fmt.Sprintf("CPU of rules whose condition does not hold, 100 on one event, to that of bare CEL for their conditions; the bundles of 200 tenants with 50 rules hold %.0f MiB", median(memory)), len(rounds), rule, nil, nil, rule)
	r.add("rules_event", "×", "CPU of an event that ten of 1,000 rules answer besides 100 workflows, to that with those ten rules alone", len(rounds), event, nil, nil, event)
	r.add("rules_answered", "×", "CPU of the same event, to that of decoding it, bare CEL for all expressions of the ten rules, and encoding what they derive; no target", len(rounds), answered, nil, nil, answered)
	return nil
}
