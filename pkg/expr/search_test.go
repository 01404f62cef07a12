package expr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp/syntax"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// greedy are patterns that an event can bring, and that ask for much more than their length.
var greedy = map[string]string{
	"adjacent repeats":          strings.Repeat("a{1000}", 3_300),
	"repeats of a short source": strings.Repeat("a{1000}", 500),
	"repeats in repeats":        strings.Repeat("((a{9}){9}){9}|", 200),
	"optional repeats":          strings.Repeat("(a?){1000}", 300),
	"tables":                    strings.Repeat(`\pL`, 10_000),
	"tables of a short source":  strings.Repeat(`\pL`, 1_300),
	"tables that cancel out":    strings.Repeat(`[\pL\PL]`, 500),
	"folded ranges":             "(?i)" + strings.Repeat(`[B-\x{1E942}]`, 2_000),
	"folded ranges, short":      "(?i)" + strings.Repeat(`[B-\x{1E942}]`, 290),
	"folded ranges, as written": "(?i)" + strings.Repeat("[B-\U0001E942]", 500),
	"flags that come later":     "(?s-i:x)(?mi)" + strings.Repeat(`[B-\x{1E942}]`, 290),
}

func TestMatches_APatternFromDataIsPricedBeforeItIsCompiled(t *testing.T) {
	p, err := Compile(`data.s.matches(data.pattern)`, "data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(greedy)) {
		vars := map[string]any{"data": map[string]any{"s": "abc", "pattern": greedy[name]}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, cost, err := p.Run(t.Context(), vars)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if testing.Verbose() {
			t.Logf("%s: %s, %d KiB, %d units (%v)", name, took, allocated>>10, cost, err)
		}
		if err == nil || allocated > 64<<20 {
			t.Errorf("%s: %d MiB allocated for %d units (%v)", name, allocated>>20, cost, err)
		}
	}
}

// A loop can make a new pattern each time around, so that none is kept.
func TestMatches_PatternsMadeInALoopAreBounded(t *testing.T) {
	for _, pattern := range []string{strings.Repeat("a{1000}", 500), strings.Repeat(`\pL`, 900), `(?i)[B-\x{1E942}]`, `[\pL\PL][\pL\PL]`, "(?i)[B-\U0001E942]", strings.Repeat("b{20}", 45)} {
		const forty = "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39]"
		p, err := Compile(forty+`.all(a, `+forty+`.all(b, data.s.matches(data.pattern + string(a * 40 + b)) || true))`, "data")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		start := time.Now()
		var cost uint64
		grew := heap(func() {
			_, cost, err = p.Run(ctx, map[string]any{"data": map[string]any{"s": "abc", "pattern": pattern}})
		})
		took := time.Since(start)
		cancel()
		if testing.Verbose() {
			t.Logf("%.12s: %s, %d MiB, %d units (%v)", pattern, took, grew>>20, cost, err)
		}
		var ee *EvalError
		if errors.As(err, &ee) && ee.Code == CodeDeadline || took > 30*time.Second || grew > 128<<20 {
			t.Errorf("%.12s: %s and %d MiB for %d units (%v)", pattern, took, grew>>20, cost, err)
		}
	}
}

func TestMatches_OrdinaryPatternsCostWhatTheyDid(t *testing.T) {
	for pattern, want := range map[string]uint64{
		`^[^@]+@[^@]+$`: 8, `(?i)müller|maier`: 13, `(?i)^[a-z0-9-]+$`: 7, `\p{L}+ \p{L}+`: 8, `^(\+49|0)[0-9]{5,12}$`: 31, "(?i)[à-ÿ]": 4,
	} {
		p := compilePattern(pattern)
		if got := matchPrice(p, "", pattern); got > want*2 || p.problem != "" {
			t.Errorf("%s costs %d (%s), want about %d", pattern, got, p.problem, want)
		}
		if tree, err := syntax.Parse(pattern, syntax.Perl); err != nil {
			t.Error(err)
		} else if n, _ := extent(tree); n > 10*p.size+10 {
			t.Errorf("%s: %d instructions are reckoned, it has %d", pattern, n, p.size)
		}
	}
	// What is large and allowed is not refused before it is compiled.
	for _, pattern := range []string{strings.Repeat("[a-z]{9}", 100), "(?:){900}x", strings.Repeat("(ab|cd)", 140), strings.Repeat("ä", 400)} {
		if p := compilePattern(pattern); p.problem != "" {
			t.Errorf("%.20s: %s (%s)", pattern, p.problem, fmt.Sprint(p.size))
		}
	}
}
