package expr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/common/types"
)

// calls has, for every function of the environment, calls that take long for the arguments that they are given. What has no entry fails
// the test: a function that a newer cel-go brings must be priced before it can be used.
var calls = map[string][]string{
	"!_": {"!data.yes"}, "-_": {"-data.n"}, "_%_": {"data.n % 7"}, "_&&_": {"data.yes && data.yes"}, "_*_": {"data.n * 3"}, "_-_": {"data.n - 1"},
	"_/_": {"data.n / 3"}, "_||_": {"data.no || data.yes"}, "_?_:_": {"data.yes ? 1 : 2"},
	"_+_":  {"data.s + data.t", "data.b + data.b", "data.l + data.l", "data.n + 1", "data.s + data.t + data.s"},
	"_[_]": {"data.l[3]", "data.m[data.s]", `data["s"]`, "(data.l + data.l + data.l + data.l)[data.n]"},
	"_==_": {"data.s == data.t", "data.l == data.k", "data.m == data.m2", "data.b == data.b2", "data.d == data.d2", "data.l + data.l == data.k + data.k"},
	"_!=_": {"data.s != data.t", "data.l != data.k"}, "_<_": {"data.s < data.t", "data.b < data.b2"}, "_<=_": {"data.s <= data.t"},
	"_>_": {"data.s > data.t"}, "_>=_": {"data.s >= data.t"},
	"@in": {"-1 in data.l", "data.s in data.m", "data.t in data.texts", "data.l in data.lists", "-1 in (data.l + data.l + data.l)"},
	"@ordered": {"data.m.exists(k, k == '')", "data.l.exists(k, k == -1)", "(data.l + data.l + data.l).exists(k, k == -1)",
		"data.m.map(k, k)", "data.m.filter(k, true)", "data.l.all(x, x >= 0)", "data.l.exists_one(x, x == 1)"},
	"@matches":      {`data.s.matches("[^x]{400}x")`, `data.s.matches("(a+)+$")`, `matches(data.s, "(a|b|c|aa|bb)*z")`, `data.s.matches(data.short)`, `data.s.matches("^(.*)*z$")`},
	"@indexOf":      {"data.s.indexOf(data.needle)", "data.s.indexOf('z', 3)"},
	"@lastIndexOf":  {"data.s.lastIndexOf(data.needle)", "data.s.lastIndexOf('z', 3)"},
	"@join":         {"data.texts.join(',')", "data.texts.join()"},
	"@replace":      {"data.s.replace('z', 'y')", "data.s.replace('a', 'b', 3)", "data.s.replace(data.needle, '')"},
	"@split":        {"data.s.split('z')", "data.s.split('', 9)"},
	"base64.encode": {"base64.encode(data.b)"}, "base64.decode": {"base64.decode(data.s)"}, "bool": {"bool(data.s) || true"},
	"bytes": {"bytes(data.s)"}, "charAt": {"data.s.charAt(3)"}, "contains": {"data.s.contains(data.needle)", "data.s.contains('z')"},
	"double": {"double(data.digits)", "double(data.s)"}, "duration": {"duration(data.s)", "duration('1h')"}, "dyn": {"dyn(data.s)"},
	"endsWith": {"data.s.endsWith(data.t)"}, "startsWith": {"data.s.startsWith(data.t)"},
	"getDate": {"data.when.getDate()"}, "getDayOfMonth": {"data.when.getDayOfMonth()"}, "getDayOfWeek": {"data.when.getDayOfWeek()"},
	"getDayOfYear": {"data.when.getDayOfYear()"}, "getFullYear": {"data.when.getFullYear()"},
	"getHours":        {"data.when.getHours()", "data.when.getHours('Europe/Berlin')", "data.when.getHours(data.s)"},
	"getMilliseconds": {"data.when.getMilliseconds()"}, "getMinutes": {"data.when.getMinutes('America/New_York')"}, "getMonth": {"data.when.getMonth()"},
	"getSeconds": {"data.when.getSeconds()"}, "int": {"int(data.digits)", "int(data.s)", "int(data.n)"}, "lowerAscii": {"data.s.lowerAscii()"},
	"math.@max": {"math.greatest(data.n, 3)", "math.greatest([data.n, 1, 2, 3])"}, "math.@min": {"math.least(data.n, 3)", "math.least([data.n, 1, 2, 3])"},
	"math.abs": {"math.abs(data.n)"}, "math.bitAnd": {"math.bitAnd(data.n, 1)"}, "math.bitNot": {"math.bitNot(data.n)"}, "math.bitOr": {"math.bitOr(data.n, 1)"},
	"math.bitShiftLeft": {"math.bitShiftLeft(data.n, 1)"}, "math.bitShiftRight": {"math.bitShiftRight(data.n, 1)"}, "math.bitXor": {"math.bitXor(data.n, 1)"},
	"math.ceil": {"math.ceil(1.5)"}, "math.floor": {"math.floor(1.5)"}, "math.isFinite": {"math.isFinite(1.5)"}, "math.isInf": {"math.isInf(1.5)"},
	"math.isNaN": {"math.isNaN(1.5)"}, "math.round": {"math.round(1.5)"}, "math.sign": {"math.sign(data.n)"}, "math.sqrt": {"math.sqrt(data.n)"},
	"math.trunc": {"math.trunc(1.5)"},
	"reverse":    {"data.s.reverse()"}, "size": {"data.s.size()", "size(data.s)", "data.b.size()", "data.l.size()", "data.m.size()", "(data.l + data.l).size()"},
	"string": {"string(data.b)", "string(data.n)", "string(data.when)", "string(data.s)"}, "strings.quote": {"strings.quote(data.s)"},
	"substring": {"data.s.substring(3)", "data.s.substring(1, 5)"}, "timestamp": {"timestamp(data.s)", "timestamp('2026-01-01T00:00:00Z')"},
	"trim": {"data.s.trim()", "data.blank.trim()"}, "type": {"type(data.s)"}, "uint": {"uint(data.digits)"}, "upperAscii": {"data.s.upperAscii()"},
}

// decimalCalls are calls that Edition2 has besides those.
var decimalCalls = map[string][]string{
	"decimal": {"decimal(data.digits)", "decimal(data.s)", "decimal(1e300)", "decimal(data.n)"},
	"round":   {"decimal('1.23456789').round(3)"},
	"_*_":     {"decimal('99999999999999999999999999999999999999') * decimal('99999999999999999999999999999999999999')", "decimal('1.5') * 5e-324"},
	"_/_":     {"decimal('99999999999999999999999999999999999999') / 7", "decimal('1.5') / 3e-300"},
	"_+_":     {"decimal('1.5') + 1e-300"}, "_-_": {"decimal('1.5') - data.n"}, "-_": {"-decimal('1.5')"},
	"_<_": {"decimal('1.5') < 1e300", "decimal('1.5') < data.s"}, "_==_": {"decimal('1.5') == 1e-300", "data.s == decimal('1.5')"},
	"getHours": {"data.when.getHours('Europe/Berlin')", "data.when.getHours(data.s)", "data.when.getHours('+02:00')"},
}

// libraryCalls are calls that Edition3 has besides those.
var libraryCalls = map[string][]string{
	"slice": {"data.l.slice(1, 3)", "data.l.slice(0, 1)", "(data.l + data.l).slice(0, 1)"}, "flatten": {"data.lists.flatten()", "[data.l, data.l].flatten()", "data.lists.flatten(3)"},
	"lists.range": {"lists.range(1000)", "lists.range(data.n)"}, "distinct": {"data.l.distinct()", "data.texts.distinct()", "[1, 2, 3].distinct()", "(data.l + data.k).distinct()"},
	"@sort":           {"data.l.sort()", "data.texts.sort()", "[3, 2, 1].sort()", "[data.s, data.t, data.s].sort()", "(data.l + data.k).sort()"},
	"@sortBy":         {"data.l.sortBy(x, -x)", "data.texts.sortBy(x, x)", "[3, 2, 1].sortBy(x, x)", "[1, 2, 3].sortBy(x, data.s)"},
	"sets.contains":   {"sets.contains(data.l, data.k)", "sets.contains([data.s, data.s], [data.t, data.t])", "sets.contains(data.lists, data.lists)"},
	"sets.intersects": {"sets.intersects(data.l, [-1])", "sets.intersects(data.l, data.texts)"}, "sets.equivalent": {"sets.equivalent(data.l, data.k)"},
	"hasAll": {"data.l.hasAll(data.k)"}, "hasAny": {"data.l.hasAny(data.texts)"}, "hasOnly": {"data.l.hasOnly(data.k)"}, "hasExactly": {"data.l.hasExactly(data.k)"},
	"@lookup":    {`lookup("nurture", 1)`, `lookup_or("sales-team", data.s, null)`, `lookup_or(data.s, data.s, 1)`},
	"@lookup_or": {`lookup_or("nurture", data.n, {"week": 1})`},
	"@open":      {`open(data.when, "office")`, `open(data.when, data.s)`}, "@next_open": {`next_open(data.when, "office")`}, "@local": {`local(data.when, "office")`, `local(data.when, "Europe/Berlin")`, `local(data.when, data.s)`},
	"@open_between": {`open_between(data.when, data.when + duration("9600h"), "office")`}, "bucket": {`bucket(data.s, data.t)`}, "days": {`days(data.n)`},
	"email": {`email(data.s)`, `email("Ada@Example.com")`}, "e164": {`e164(data.s, "US")`, `e164("(212) 555-0123", "US")`, `e164(data.digits, "DE")`},
}

// never cannot be written in a source: macros and operators stand for them, or a macro takes every call.
var never = []string{"@not_strictly_false", "__not_strictly_false__", "_in_", "in", "format", "indexOf", "join", "lastIndexOf", "matches", "replace", "split", "sort", "@sortByAssociatedKeys"}

// bigText is an event's data with n bytes of text, n/8 values in each list.
func bigText(n int) map[string]any {
	list := func(of func(int) any) []any {
		out := make([]any, n/8)
		for i := range out {
			out[i] = of(i)
		}
		return out
	}
	table := func() map[string]any {
		m := map[string]any{strings.Repeat("a", n): int64(1)}
		for i := range n / 8 {
			m[fmt.Sprint("key", i)] = int64(i)
		}
		return m
	}
	number := func(i int) any { return int64(i) }
	text := strings.Repeat("a", n)
	return map[string]any{
		"s": text, "t": strings.Clone(text), "short": "(a?){9}a", "needle": strings.Repeat("a", n/2) + "z", "digits": strings.Repeat("9", n), "blank": strings.Repeat(" ", n),
		"b": []byte(text), "b2": []byte(text), "l": list(number), "k": list(number), "m": table(), "m2": table(), "n": int64(5), "yes": true, "no": false, "when": noon,
		"d": list(func(int) any { return []any{"abc", int64(1)} }), "d2": list(func(int) any { return []any{"abc", int64(1)} }),
		"texts": list(func(int) any { return "abcdefgh" }), "lists": []any{[]any{int64(1)}, list(number)},
	}
}

// looped makes a call 60,000 times, or 1,600 times when it is a loop itself: loops nest three deep at most.
func looped(call string) string {
	const forty = "[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]"
	src := fmt.Sprintf("%s.all(b, %s.all(c, dyn(%s) != 1.5 || true))", forty, forty, call)
	if strings.Contains(call, "(k, ") || strings.Contains(call, "(x, ") {
		return src
	}
	return fmt.Sprintf("%s.all(a, %s)", forty, src)
}

func TestCharges_KnowEveryFunction(t *testing.T) {
	for edition, base := range bases {
		env, err := base()
		if err != nil {
			t.Fatal(err)
		}
		for name := range env.Functions() {
			if calls[name] == nil && decimalCalls[name] == nil && libraryCalls[name] == nil && !slices.Contains(never, name) {
				t.Errorf("nothing tells what %s costs in edition %d: price it in charge.go and add it to the table", name, edition)
			}
		}
	}
}

// An evaluation that is cut at the limit, and one that is not, ends in less than a second at any size of the data. The bound here is
// far above that, so that a busy machine passes; without the charges, calls on the larger texts run for minutes.
func TestCharges_BoundTheTimeOfEveryFunction(t *testing.T) {
	for _, n := range []int{8, 30_000, 800_000} {
		data := map[string]any{"data": bigText(n)}
		boundTheTime(t, Edition1, calls, n, data)
		boundTheTime(t, Edition2, decimalCalls, n, data)
		reference(t).Bind(data)
		boundTheTime(t, Edition3, libraryCalls, n, data)
	}
	boundTheTime(t, Edition2, calls, 30_000, map[string]any{"data": bigText(30_000)})
}

func boundTheTime(t *testing.T, edition Edition, calls map[string][]string, n int, data map[string]any) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		for _, call := range calls[name] {
			for _, src := range []string{call, looped(call)} {
				p, err := CompileIn(edition, src, "data")
				if err != nil {
					t.Fatalf("%s: %v", src, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				start := time.Now()
				_, cost, err := p.Run(ctx, data)
				took := time.Since(start)
				cancel()
				if took > 30*time.Second {
					t.Errorf("%d bytes: %s took %s for %d units (%v)", n, src, took, cost, err)
				}
				if testing.Verbose() && took > 30*time.Millisecond {
					t.Logf("%d bytes: %s took %s for %d units: %.0f ns a unit (%v)", n, call, took, cost, float64(took)/float64(cost), err)
				}
			}
		}
	}
}

// The same without a clock: what a call costs grows with what it has to read.
func TestCharges_GrowWithTheLength(t *testing.T) {
	const n = 30_000
	for src, least := range map[string]uint64{
		"data.s.size() > 0": n / 10, "size(data.b) > 0": n / 10, "data.s == data.t": n / 10, "data.s < data.t": n / 10, "data.l == data.k": n / 8, "-1 in data.l": n / 8,
		`data.s.matches("[^x]{400}x")`: 90_000, `data.s.matches("b")`: n / 10, "data.s + data.t": n / 10, "string(data.b)": n / 10, "data.s.startsWith(data.t)": n / 10,
		"data.s.contains('z')": n / 10, "data.s.indexOf(data.needle)": n / 10, "data.s.lowerAscii()": n / 10, "data.m.exists(k, k == '')": n / 8, "data.d == data.d2": n / 8,
		"timestamp(data.s) == data.when": n / 10, "data.s in data.m": n / 10, "data.m == data.m2": n / 8, "data.texts.join()": n / 10, "data.when.getHours('Europe/Berlin')": 500,
	} {
		p, err := Compile(src, "data")
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		_, small, _ := p.Run(t.Context(), map[string]any{"data": bigText(8)})
		_, cost, err := p.Run(t.Context(), map[string]any{"data": bigText(n)})
		if cost < least {
			t.Errorf("%s over %d bytes costs %d (%v), less than %d; over 8 bytes %d", src, n, cost, err, least, small)
		}
	}
}

func TestCharges_OfTheLibraryGrowWithTheLength(t *testing.T) {
	const n = 30_000
	data := map[string]any{"data": bigText(n)}
	reference(t).Bind(data)
	for src, least := range map[string]uint64{
		"sets.contains(data.lists, data.lists)": n / 8 / 4, "data.lists.distinct()": n / 8 / 4, "data.l.sort()": n / 8, "data.texts.sortBy(x, x)": n / 8, "data.l.hasAll(data.k)": CostLimit,
		"data.lists.hasExactly(data.lists)": n / 8 / 4, "data.l.slice(0, 3000)": 700, "[data.l, data.l].flatten()": n / 8 / 4, "lists.range(1000)": 250, "bucket(data.s, data.t)": n / 10,
		`lookup_or("sales-team", data.s, null)`: n / 10, `open_between(data.when, data.when + days(400), "office")`: 200, `next_open(data.when, "office")`: 200,
	} {
		p, err := CompileIn(Edition3, src, "data")
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		if _, cost, err := p.Run(t.Context(), data); cost < least {
			t.Errorf("%s costs %d (%v), less than %d", src, cost, err, least)
		}
	}
}

func TestCharges_LongLiteralsInLoopsAreNotFree(t *testing.T) {
	list := "[" + strings.Repeat("1,", 3000) + "1]"
	p, err := Compile("data.l.all(a, data.l.all(b, dyn("+list+") != 2 || true))", "data")
	if err != nil {
		t.Fatal(err)
	}
	_, cost, err := p.Run(t.Context(), map[string]any{"data": map[string]any{"l": bigText(120)["l"]}})
	if err == nil || cost < CostLimit*9/10 {
		t.Errorf("225 lists of 3,000 cost %d (%v)", cost, err)
	}
	p, err = Compile("data.s in "+list, "data")
	if err != nil {
		t.Fatal(err)
	}
	if p.scale != 1 {
		t.Errorf("a literal outside of loops counts %d times", p.scale)
	}
}

func TestIndexOf_IsCELsOwn(t *testing.T) {
	// The answers of cel-go's ext.Strings, version 5.
	for src, want := range map[string]any{
		`"tacocat".indexOf("")`: int64(0), `"tacocat".indexOf("ac")`: int64(1), `"tacocat".indexOf("none")`: int64(-1), `"tacocat".indexOf("", 3)`: int64(3),
		`"tacocat".indexOf("a", 3)`: int64(5), `"tacocat".indexOf("at", 3)`: int64(5), `"ta©o©αT".indexOf("©")`: int64(2), `"ta©o©αT".indexOf("©", 3)`: int64(4),
		`"ta©o©αT".indexOf("©αT", 3)`: int64(4), `"ta©o©αT".indexOf("©α", 5)`: int64(-1), `"ijk".indexOf("k")`: int64(2), `"hello wello".indexOf("hello wello")`: int64(0),
		`"a".indexOf("", 7)`: int64(1), `"a".indexOf("a", 7)`: int64(-1), `"a".indexOf("aaaa")`: int64(-1),
		`"tacocat".lastIndexOf("")`: int64(7), `"tacocat".lastIndexOf("at")`: int64(5), `"tacocat".lastIndexOf("none")`: int64(-1), `"tacocat".lastIndexOf("", 3)`: int64(3),
		`"tacocat".lastIndexOf("a", 3)`: int64(1), `"ta©o©αT".lastIndexOf("©")`: int64(4), `"ta©o©αT".lastIndexOf("©", 3)`: int64(2), `"ta©o©αT".lastIndexOf("©α", 4)`: int64(4),
		`"hello wello".lastIndexOf("hello wello")`: int64(0), `"a".lastIndexOf("", 7)`: int64(1), `"a".lastIndexOf("a", 7)`: int64(-1), `"".lastIndexOf("a")`: int64(-1),
		`"hello wello".lastIndexOf("ello", 6)`: int64(1), `"hello wello".lastIndexOf("low", 6)`: int64(-1), `"aaa".lastIndexOf("aa", 2)`: int64(1),
	} {
		p, err := Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got, err := p.Eval(nil); err != nil || got != want {
			t.Errorf("%s = %v (%v), want %v", src, got, err, want)
		}
	}
	for _, src := range []string{`"a".indexOf("a", -1)`, `"a".lastIndexOf("a", -1)`} {
		p, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Eval(nil); err == nil {
			t.Errorf("%s gave a place", src)
		}
	}
}

func TestVisible_OnlyWhoReadsALargeFieldFails(t *testing.T) {
	deep := map[string]any{}
	for at, i := deep, 0; i < 6000; i++ {
		next := map[string]any{}
		at["x"] = next
		at = next
	}
	long := make([]any, MaxValues+1)
	data := map[string]any{"name": strings.Repeat("ä", MaxText), "list": long, "deep": deep, "raw": make([]byte, MaxText+1), "ok": strings.Repeat("a", MaxText), "n": int64(1), "none": nil}
	vars := map[string]any{"data": Visible(data)}
	if _, replaced := data["name"].(string); !replaced {
		t.Error("the caller's data was changed")
	}
	for src, code := range map[string]string{
		"data.n + 1": "", "has(data.name)": "", "data.ok.size()": "", "data.none": "", `"name" in data`: "",
		"data.name": CodeTooLarge, "data.name != null": CodeTooLarge, "data.list.size()": CodeTooLarge, "data.list.exists(x, x == 1)": CodeTooLarge, "data.deep.x": CodeTooLarge,
		"has(data.deep.x)": CodeTooLarge, `data["raw"]`: CodeTooLarge, "data": CodeTooLarge, `data["na" + "me"]`: CodeTooLarge, "data.list[0]": CodeTooLarge,
	} {
		p, err := Compile(src, "data")
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Eval(vars)
		var ee *EvalError
		if errors.As(err, &ee) {
			if ee.Code != code {
				t.Errorf("%s: %v, want %q", src, err, code)
			}
		} else if code != "" {
			t.Errorf("%s: no error, want %s", src, code)
		}
	}
	small := map[string]any{"a": "b"}
	if got := testing.AllocsPerRun(10, func() { Visible(small) }); got != 0 {
		t.Errorf("%v allocations for data within the bounds", got)
	}
}

func TestRun_AnEvaluationThatWasInterruptedHasNoResult(t *testing.T) {
	p, err := Compile("data.l.exists(x, x == -1) || true", "data")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v, _, err := p.Run(ctx, map[string]any{"data": bigText(8_000)})
	var ee *EvalError
	if !errors.As(err, &ee) || ee.Code != CodeDeadline {
		t.Errorf("%v (%v): what an interrupted evaluation gave depends on the machine", v, err)
	}
}

func TestJoined_IsWhatCELJoinsListsTo(t *testing.T) {
	a := types.DefaultTypeAdapter.NativeToValue([]any{int64(1)})
	p, err := Compile("(data.l + data.l).map(x, x)", "data")
	if err != nil {
		t.Fatal(err)
	}
	if isJoined(a) || joinedType == nil {
		t.Error("a plain list is taken for a joined one")
	}
	if got, err := p.Eval(map[string]any{"data": map[string]any{"l": []any{int64(1)}}}); err != nil || fmt.Sprint(got) != "[1 1]" {
		t.Errorf("%v %v", got, err)
	}
}
