package expr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// joinedBy writes v + v + … 256 times over, as sixteen groups.
func joinedBy(v string) string {
	group := "(" + strings.TrimSuffix(strings.Repeat(v+"+", 16), "+") + ")"
	return "(" + strings.TrimSuffix(strings.Repeat(group+"+", 16), "+") + ")"
}

func listOf(v string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(v+",", n), ",") + "]"
}

// towers build values of 10^6 to 10^10 elements out of references, and read them.
func towers() map[string]string {
	join, list := joinedBy, listOf
	wide := `[[data.tags].map(a, ` + list("a", 1000) + `)[0]].map(b, ` + list("b", 1000) + `)[0]`
	keyed := `{"a": x, "b": x, "c": x, "d": x, "e": x, "f": x, "g": x, "h": x}`
	maps := `data.m`
	for range 3 {
		maps = `[` + maps + `].map(x, ` + keyed + `)[0]`
	}
	forty := listOf("1", 40)
	loop := func(call string) string { return forty + `.all(i, ` + forty + `.all(j, ` + call + ` || true))` }
	return map[string]string{
		"loop over joined lists":       `[[data.tags].map(a, ` + join("a") + `)[0]].map(b, (` + join("b") + `).exists(x, x == "n"))[0]`,
		"loop, without data":           `[[(data.id == "" ? [] : ` + list("0", 1000) + `)].map(a, ` + join("a") + `)[0]].map(b, (` + join("b") + `).exists(x, x == 1))[0]`,
		"== of literals in literals":   `[` + wide + `].map(c, c == c)[0]`,
		"!= of literals in literals":   `[` + wide + `].map(c, c != c)[0]`,
		"in a literal of literals":     `[` + wide + `].map(c, c in c)[0]`,
		"in a joined list":             `[[data.tags].map(a, ` + join("a") + `)[0]].map(b, "n" in ` + join("b") + `)[0]`,
		"== of joined lists":           `[[data.tags].map(a, ` + join("a") + `)[0]].map(b, ` + list("b", 60) + ` == ` + list("b", 60) + `)[0]`,
		"== of maps in maps":           `[` + maps + `, ` + maps + `] == [` + maps + `, ` + maps + `]`,
		"in a list of maps in maps":    `dyn(` + maps + `) in [` + maps + `, ` + maps + `]`,
		"an index that is a list":      `[` + wide + `].map(c, [1][dyn(c)] == 1 || true)[0]`,
		"a key that is a list":         `[` + wide + `].map(c, {"a": 1}[dyn(c)] == 1 || true)[0]`,
		"a list for a message":         `[[data.tags].map(a, ` + join("a") + `)[0]].map(b, google.protobuf.ListValue{values: b} == b)[0]`,
		"a result of maps in maps":     maps,
		"a result of literals":         wide,
		"the least of joined lists":    `[[data.numbers].map(a, ` + join("a") + `)[0]].map(b, math.least(` + join("b") + `))[0]`,
		"texts of joined lists":        `[[data.tags].map(a, ` + join("a") + `)[0]].map(b, (` + join("b") + `).join().size())[0]`,
		"an index that is a field":     loop(`[1][data.tags] == 1`),
		"a key that is a field":        loop(`{"a": 1}[data.tags] == 1`),
		"a key of a field":             loop(`data.m[data.tags] == 1`),
		"an index of a field":          loop(`data.tags[data.m] == 1`),
		"messages that are kept":       `data.tags.map(a, google.protobuf.ListValue{values: data.tags}).size()`,
		"texts for a message":          loop(`google.protobuf.Any{type_url: "type.googleapis.com/google.protobuf.StringValue", value: data.framed} == 1`),
		"copies in a loop that nests":  `data.tags.map(a, data.tags.map(b, data.tags)).map(c, c == c).size()`,
		"texts doubled by reference":   `[data.s].map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a)[0].size()`,
		"lists flattened into a range": `[` + list("data.tags", 200) + `].map(a, ` + list("a", 200) + ` == [[""]])[0]`,
	}
}

// tagged is data with 5,000 tags, as many as semantics 2 lets an expression read.
func tagged() map[string]any {
	tags, numbers, m := make([]any, 5000), make([]any, 5000), map[string]any{}
	for i := range tags {
		tags[i], numbers[i], m[fmt.Sprint("k", i)] = fmt.Sprint("tag", i), int64(i), int64(i)
	}
	return map[string]any{"data": map[string]any{"id": "x", "tags": tags, "numbers": numbers, "m": m, "s": strings.Repeat("a", 30_000),
		"framed": append([]byte{0x0a, 0xb0, 0xea, 0x01}, strings.Repeat("a", 30_000)...)}} // a google.protobuf.StringValue
}

// heap runs f and tells by how much the heap grew at most meanwhile, in bytes.
func heap(f func()) uint64 {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), now.HeapAlloc))
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	<-ended
	return most.Load() - min(most.Load(), before.HeapAlloc)
}

// The heap holds garbage as well as what is in use, so the bound is generous; without the scales most of these take gigabytes or minutes.
func TestWeigh_NothingThatIsBuiltOfReferencesTakesMemoryOrMinutes(t *testing.T) {
	vars := tagged()
	all := towers()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p, err := Compile(all[name], "data")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var cost uint64
		start := time.Now()
		grew := heap(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, cost, err = p.Run(ctx, vars)
		})
		took := time.Since(start)
		if testing.Verbose() {
			t.Logf("%s: %s, %d KiB, %d units (%v)", name, took, grew>>10, cost, err)
		}
		var ee *EvalError
		if errors.As(err, &ee) && ee.Code == CodeDeadline || took > 30*time.Second || grew > 128<<20 {
			t.Errorf("%s: took %s and %d MiB for %d units (%v)", name, took, grew>>20, cost, err)
		}
		if cost > CostLimit+BaseCost {
			t.Errorf("%s: costs %d", name, cost)
		}
	}
}

// Ordinary values weigh nothing, so that what rules cost before still fits.
func TestWeigh_OrdinaryValuesAreFree(t *testing.T) {
	tags := make([]any, 100)
	for i := range tags {
		tags[i] = fmt.Sprint("tag", i)
	}
	vars := map[string]any{"data": map[string]any{"tags": tags, "name": "Ada", "score": int64(7)}}
	for src, want := range map[string]uint64{
		`data.tags + ["new"]`: 174, `{"name": data.name, "tags": data.tags, "all": [data.tags, data.tags]}`: 515, `data.tags.filter(x, x != "tag7").map(x, x + "!")`: 3067,
		`data.name in ["Ada", "Bob"]`: 26, `[data.score, 3].exists(x, x > 5) && data.tags == data.tags`: 241,
	} {
		p, err := Compile(src, "data")
		if err != nil {
			t.Fatal(err)
		}
		if _, cost, err := p.Run(t.Context(), vars); err != nil || cost != want {
			t.Errorf("%s costs %d (%v), want %d as without scales", src, cost, err, want)
		}
	}
}
