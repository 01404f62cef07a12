package rules

import (
	"strings"
	"testing"
)

func TestApply_KeepsTheReasonOfTheLastFailureUntilTheReset(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	last := func(rule string) (code, detail, at, id string) {
		t.Helper()
		err := b.pool.QueryRow(t.Context(), `SELECT last_code, last_detail, last_sequence::text, last_event_id FROM neuronx.rule_health WHERE rule = $1`, rule).Scan(&code, &detail, &at, &id)
		if err != nil {
			t.Fatal(err)
		}
		return code, detail, at, id
	}
	created := func(source string) map[string]any { return map[string]any{"lead_id": "1", "source": source} }
	b.apply(h, nil, runOf(b.published("a", 1, divides), b.recorded("a", "lead.created", "lead/1", created("0")), b.recorded("a", "lead.created", "lead/2", created("many"))))
	if code, detail, at, id := last("divides"); code != "failed" || !strings.HasPrefix(detail, "emit[0] lead.scored data.score: ") || at != "3" || id != "e3" {
		t.Errorf("%s %q at %s %s", code, detail, at, id)
	}
	b.apply(h, nil, runOf(b.recorded("a", "lead.created", "lead/3", created("1")))) // a success is no reason to forget
	b.apply(b.handler(), nil, runOf(b.recorded("a", typeStorm, "rule/divides", map[string]any{"rule": "divides", "version": int64(1), "hops": int64(17), "path": []any{}, "event_id": "r9"})))
	if code, detail, at, _ := last("divides"); code != trippedStorm || !strings.Contains(detail, "17 derivations") || !strings.Contains(detail, "r9") || at != "5" {
		t.Errorf("%s %q at %s", code, detail, at)
	}
	b.apply(h, nil, runOf(b.recorded("a", typeReset, "rule/divides", map[string]any{"rule": "divides"})))
	if code, detail, at, id := last("divides"); code+detail+id != "" || at != "0" {
		t.Errorf("after the reset: %s %q at %s %s", code, detail, at, id)
	}
}
