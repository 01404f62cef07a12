package expr

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func traced(t *testing.T, edition Edition, source string, vars map[string]any) string {
	t.Helper()
	p, err := CompileIn(edition, source, "event", "data", "state")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := p.Trace(t.Context(), vars)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range tr.Parts {
		if part.Err != nil {
			out = append(out, part.Source+": "+part.Err.Error())
		} else {
			out = append(out, fmt.Sprintf("%s: %v", part.Source, part.Result))
		}
	}
	out = append(out, "|")
	for _, r := range tr.Reads {
		text := fmt.Sprintf("%s=%v", r.Source, r.Value)
		if list, is := r.Value.([]any); is {
			text = fmt.Sprintf("%s=%d values", r.Source, len(list))
		}
		if r.Absent {
			text = r.Source + " absent"
		}
		if len(r.From) != 1 || strings.Join(r.From[0], ".") != r.Source {
			text += fmt.Sprint(r.From)
		}
		out = append(out, text)
	}
	if tr.Cut > 0 {
		out = append(out, fmt.Sprint("cut ", tr.Cut))
	}
	return strings.Join(out, "; ")
}

func TestTrace_EvaluatesEveryPartAndValue(t *testing.T) {
	items := make([]any, 20_000)
	for i := range items {
		items[i] = map[string]any{"price": int64(i)}
	}
	vars := map[string]any{"event": map[string]any{"type": "lead.created"}, "state": map[string]any{"seen": true},
		"data": map[string]any{"score": int64(72), "a": nil, "amount": Decimal("9.50"), "items": items, "few": items[:3], "address": map[string]any{"city": "Rome"}}}
	for source, want := range map[string]string{
		`data.score >= 80`:                               "data.score >= 80: false; |; data.score=72",
		`data.score >= 80 && data.a != null`:             "data.score >= 80: false; data.a != null: false; |; data.score=72; data.a=<nil>",
		`data["score"] > 1 || state.seen`:                `data["score"] > 1: true; state.seen: true; |; data.score=72; state.seen=true`,
		`!has(state.qualified) && data.score + 1 == 73`:  "!has(state.qualified): true; data.score + 1 == 73: true; |; state.qualified absent; data.score + 1=73[[data score]]; data.score=72",
		`data.missing > 1 && true`:                       "data.missing > 1: missing_key: no such key: missing; test with has() first; true: true; |; data.missing absent",
		`data.address.city == "Rome"`:                    `data.address.city == "Rome": true; |; data.address.city=Rome`,
		`data.few.exists(x, x.price > 1)`:                "data.few.exists(x, x.price > 1): true; |; data.few=3 values",
		`data.few.all(x, x.price < data.score)`:          "data.few.all(x, x.price < data.score): true; |; data.few=3 values; data.score=72",
		`data.items.all(x, x.price * 2 + x.price >= -1)`: "data.items.all(x, x.price * 2 + x.price >= -1): cost: the expression costs more than 100000 units; make it cheaper or split it; |; data.items=20000 values",
		`event.type == "lead.created" && size(data) > 2`: `event.type == "lead.created": true; size(data) > 2: true; |; event.type=lead.created; size(data)=6[[data]]; data=map`,
		`data.amount > 9`:                                "data.amount > 9: true; |; data.amount=9.50",
	} {
		got := traced(t, Edition2, source, vars)
		if at := strings.Index(got, "; data=map"); at >= 0 { // the whole is a value as any other
			got = got[:at] + "; data=map"
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", source, got, want)
		}
	}
}

func TestTrace_IsBounded(t *testing.T) {
	var parts []string
	data := map[string]any{}
	for i := range 60 {
		parts = append(parts, fmt.Sprintf("data.f%d == %d", i, i))
		data[fmt.Sprint("f", i)] = int64(i)
	}
	got := traced(t, Edition2, strings.Join(parts, " && "), map[string]any{"data": data})
	if n := strings.Count(got, "=="); n != maxTraceParts {
		t.Errorf("%d parts, want %d", n, maxTraceParts)
	}
	if want := fmt.Sprintf("cut %d", 60-maxTraceParts+60-maxTraceReads); !strings.HasSuffix(got, want) {
		t.Errorf("%s does not end with %s", got, want)
	}
	p, err := CompileIn(Edition2, "data.f1 == 1", "data")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Trace(ended, map[string]any{"data": data}); err == nil {
		t.Error("a trace went on after its context ended")
	}
}
