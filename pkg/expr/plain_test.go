package expr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// plainSources are combined of all that is plain: literals, fields, tests and comparisons of them.
func plainSources() (out []string) {
	operands := []string{`data.a`, `data.b`, `data.deep.c`, `event.type`, `state.n`, `free`, `1`, `-1`, `9007199254740993`, `1.5`, `""`, `"web"`, `"wéb"`, `true`, `null`}
	conditions := []string{`has(data.a)`, `has(data.deep.c)`, `data.yes`, `!data.yes`, `!has(state.gone)`, `true`}
	for _, a := range operands {
		out = append(out, a)
		for _, b := range operands[:6] {
			for _, op := range []string{"==", "!=", "<", "<=", ">", ">="} {
				conditions = append(conditions, a+" "+op+" "+b, b+" "+op+" "+a)
			}
		}
	}
	out = append(out, conditions...)
	for i, a := range conditions {
		x, y := operands[(i*3+1)%len(operands)], operands[(i*5+2)%len(operands)]
		out = append(out, a+" ? "+x+" : "+y, a+" ? data.a : "+y, a+" ? has(data.a) : !has(data.b)", a+" ? data.a : "+conditions[(i*11+1)%len(conditions)]+" ? data.b : event.type")
		b, c := conditions[(i*7+3)%len(conditions)], conditions[(i*13+5)%len(conditions)]
		out = append(out, a+" && "+b, a+" || "+b, "!("+a+") && ("+b+" || "+c+")", a+" || "+b+" || "+c, a+" && "+b+" && "+c)
	}
	return out
}

// plainValues are what fields may hold, of every kind that Run takes, and what is no value that a plain expression is sure of.
func plainValues() []any {
	return []any{nil, true, false, int64(0), int64(1), int64(-1), int64(1 << 53), int64(1<<53 + 1), int64(math.MaxInt64), 7, 1.5, 1.0, math.Copysign(0, -1), 9007199254740992.0,
		math.NaN(), math.Inf(1), "", "web", "wéb", "web\xff", strings.Repeat("x", 95), strings.Repeat("y", 95), strings.Repeat("x", MaxText), strings.Repeat("x", MaxText+1), noon, []byte("web"),
		Decimal("1.5"), Decimal("1"), TooLarge{}, []any{int64(1)}, map[string]any{"c": int64(1)}, time.Time{}}
}

func plainVars(a, b any) map[string]any {
	data := map[string]any{"a": a, "b": b, "yes": b == nil || a == true, "deep": map[string]any{"c": b}}
	return map[string]any{"data": data, "event": func() any { return map[string]any{"type": a} }, "state": map[string]any{"n": b}, "free": a}
}

func sameResult(a, b any) bool {
	x, isX := a.(float64)
	y, isY := b.(float64)
	return reflect.DeepEqual(a, b) && (!isX || !isY || math.Signbit(x) == math.Signbit(y))
}

// TestPlain_AnswersAndChargesAsCEL runs each source over pairs of all values. Where the short way gives an answer, it is CEL's, and it costs the
// same: what an evaluation costs decides where a budget cuts, and that is part of what a published rule means.
func TestPlain_AnswersAndChargesAsCEL(t *testing.T) {
	values, ctx := plainValues(), context.Background()
	for _, edition := range []Edition{Edition1, Edition2, Edition3} {
		programs, answers := 0, 0
		for n, src := range plainSources() {
			if (n+int(edition))%4 != 0 {
				continue // the next edition takes it
			}
			p, err := CompileIn(edition, src, "data", "event", "state", "free")
			if err != nil {
				continue // such as true < 1
			}
			if p.plain == nil {
				t.Fatalf("edition %d: %s is not plain", edition, src)
			}
			programs++
			for i, a := range values {
				b := values[(i*5+n)%len(values)]
				v, cost, ok := p.runPlain(plainVars(a, b))
				if !ok {
					continue
				}
				answers++
				want, wantCost, err := p.runCEL(ctx, plainVars(a, b))
				if err != nil || !sameResult(v, want) || cost != wantCost {
					t.Fatalf("edition %d: %s with %.40v and %.40v gives %.40v for %d units; CEL gives %.40v for %d (%v)", edition, src, a, b, v, cost, want, wantCost, err)
				}
			}
		}
		if programs < 1000 || answers < 5*programs {
			t.Errorf("edition %d: %d programs gave %d answers: too few to say anything", edition, programs, answers)
		}
	}
}

func TestPlain_LeavesToCELWhatItIsNotSureOf(t *testing.T) {
	for _, src := range []string{`data.a + 1`, `data["a"] == 1`, `data.list.exists(x, x == 1)`, `[data.a] == [1]`, `size(data.a) == 1`, `{"a": 1}.a == 1`, `data.a in [1, 2]`, `-data.a`, `1u == 1u`} {
		p, err := CompileIn(Edition3, src, "data")
		if err != nil || p.plain != nil {
			t.Errorf("%s: plain %v (%v)", src, p.plain, err)
		}
	}
	plain := []string{`data.gone == 1`, `data.list == 1`, `data.a < "x"`, `data.no.where == 1`, `has(data.a.b)`, `data.a && true`, `data.when < data.when`, `!data.a`, `data.large == "x"`, `data.gone && data.gone`}
	for _, src := range plain {
		p, err := CompileIn(Edition3, src, "data")
		if err != nil || p.plain == nil {
			t.Fatalf("%s is not plain (%v)", src, err)
		}
		vars := map[string]any{"data": map[string]any{"a": int64(1), "list": []any{}, "when": noon, "large": TooLarge{}}}
		if v, _, ok := p.runPlain(vars); ok {
			t.Errorf("%s gives %v, and CEL was not asked", src, v)
		}
	}
}

func TestPlain_IsHeldToTheDeadline(t *testing.T) {
	p, err := CompileIn(Edition3, `data.a == 1`, "data")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var late *EvalError
	if _, _, err := p.Run(ctx, map[string]any{"data": map[string]any{"a": int64(1)}}); !errors.As(err, &late) || late.Code != CodeDeadline {
		t.Errorf("an evaluation after the deadline gives %v", err)
	}
}

// TestRun_CallsAVariableOnceWhenItIsRead is what makes the envelope of an event free for rules that do not read it.
func TestRun_CallsAVariableOnceWhenItIsRead(t *testing.T) {
	calls := 0
	vars := map[string]any{"event": func() any { calls++; return map[string]any{"type": "lead.created"} }, "data": map[string]any{}}
	for _, src := range []string{`has(data.a)`, `event.type == "lead.created"`, `event.type.startsWith("lead.")`, `event.type`} {
		p, err := CompileIn(Edition3, src, "data", "event")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Run(t.Context(), vars); err != nil {
			t.Fatal(err)
		}
		if want := min(1, strings.Count(src, "event")); calls < want || calls > 1 {
			t.Errorf("after %s the variable was called %d times", src, calls)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	vars := map[string]any{"data": map[string]any{"score": int64(72), "channel": "web", "lead_id": "42"}, "state": map[string]any{}}
	for _, src := range []string{`data.lead_id`, `data.score >= 50 && data.channel == "web" && !has(state.qualified)`} {
		p, err := CompileIn(Edition3, src, "data", "state")
		if err != nil {
			b.Fatal(err)
		}
		for name, run := range map[string]func() error{
			"short": func() error { _, _, err := p.Run(b.Context(), vars); return err },
			"CEL":   func() error { _, _, err := p.runCEL(b.Context(), vars); return err },
			"bare":  func() error { _, _, err := p.prg.Eval(vars); return err },
		} {
			b.Run(fmt.Sprint(len(src), "-", name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
