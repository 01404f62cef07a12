package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTripped_NamesTheRulesThatAreOffAndForgetsThoseThatWereReset(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	reg := prometheus.NewRegistry()
	trips := newTripped(b.pool, quiet(), reg)
	fail := map[string]any{"rule": "divides", "version": int64(1), "cause_sequence": int64(2), "cause_id": "e2", "code": "x", "tripped": true}
	b.apply(h, nil, runOf(b.published("a", 1, score, divides), b.recorded("a", "lead.created", "lead/1", lead("1")), b.recorded("a", typeFailed, "rule/divides", fail)))
	if err := trips.sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `# HELP neuronx_rules_tripped Rules that are off because they tripped, by reason: 1 for each of the first 50, and the number of the others under tenant and rule other.
# TYPE neuronx_rules_tripped gauge
neuronx_rules_tripped{reason="failures",rule="divides",tenant="a"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "neuronx_rules_tripped"); err != nil {
		t.Error(err)
	}
	b.apply(h, nil, runOf(b.recorded("a", typeReset, "rule/divides", map[string]any{"rule": "divides"})))
	if err := trips.sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(reg, "neuronx_rules_tripped"); n != 0 || err != nil {
		t.Errorf("%d series after the reset, %v", n, err)
	}
}

func TestTripped_IsBoundedAndCountsTheRest(t *testing.T) {
	b := newBench(t)
	for i := range maxTrippedRules + 7 {
		if _, err := b.pool.Exec(t.Context(), `INSERT INTO neuronx.rule_health (tenant_id, rule, tripped, tripped_at) VALUES ('a', $1, 'storm', 1)`, fmt.Sprintf("r%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	reg := prometheus.NewRegistry()
	trips := newTripped(b.pool, quiet(), reg)
	if err := trips.sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testutil.CollectAndCount(trips.gauge); n != maxTrippedRules+1 {
		t.Errorf("%d series, want %d and one for the rest", n, maxTrippedRules)
	}
	if others := testutil.ToFloat64(trips.gauge.WithLabelValues(otherTripped, otherTripped, otherTripped)); others != 7 {
		t.Errorf("%v others, want 7", others)
	}
}
