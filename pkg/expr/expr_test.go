package expr

import (
	"errors"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func values() map[string]any {
	return map[string]any{
		"event": EventVars(event.Recorded{Event: event.Event{ID: "e1", Type: "lead.created", TenantID: "t1", Hops: 2}, Sequence: 7, RecordedTime: noon}),
		"data":  map[string]any{"email": "a@b.example", "none": nil, "score": int64(40), "value": "12.5000", "when": noon, "raw": []byte{1, 2}, "list": []any{"x", "y"}, "map": map[string]any{"c": int64(1), "a": int64(2), "b": int64(3)}},
		"state": map[string]any{},
	}
}

func TestEval_GivesPlainGoValues(t *testing.T) {
	for src, want := range map[string]any{
		`data.score >= 40 && data.email != null`:               true,
		`data.none`:                                            nil,
		`data.none == "x"`:                                     false,
		`data.score + 2`:                                       int64(42),
		`double(data.score) / 3.2`:                             12.5,
		`uint(3)`:                                              int64(3),
		`event.type + "/" + string(event.sequence)`:            "lead.created/7",
		`event.recorded_time + duration("24h")`:                noon.Add(24 * time.Hour),
		`event.time == event.recorded_time`:                    true,
		`data.email.replace("a", "bb").replace("b", "c", 2)`:   "cc@b.exbbmple",
		`"a,b,c".split(",", 2).join("+") + ["x", "y"].join()`:  "a+b,cxy",
		`data.when`:                                            noon,
		`data.raw`:                                             []byte{1, 2},
		`data.list.map(x, x + "!")`:                            []any{"x!", "y!"},
		`{"n": [1, 2.5], "t": true}`:                           map[string]any{"n": []any{int64(1), 2.5}, "t": true},
		`has(state.seen) ? state.seen : 0`:                     int64(0),
		`data.email.split("@")[1].upperAscii()`:                "B.EXAMPLE",
		`math.greatest(data.score, 41)`:                        int64(41),
		`data.email.matches("^[a-z]+@")`:                       true,
		`base64.encode(data.raw)`:                              "AQI=",
		`data.map.map(k, k)`:                                   []any{"a", "b", "c"},
		`{"z": 1, "y": 2, "x": 3}.map(k, k)`:                   []any{"x", "y", "z"},
		`{3: "c", 1: "a", 2: "b"}.filter(k, k > 1)`:            []any{int64(2), int64(3)},
		`data.map.exists(k, data.map[k] == 3)`:                 true,
		`[1, 2, 3].all(x, x > 0) && [1, 2].exists_one(x, x>1)`: true,
	} {
		p, err := Compile(src, "event", "data", "state")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		for range 20 { // map order would show
			got, err := p.Eval(values())
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s = %#v (%v), want %#v", src, got, err, want)
				break
			}
		}
	}
}

func TestCompile_RefusesWithLineColumnAndReason(t *testing.T) {
	for src, want := range map[string]string{
		``:                                    "empty",
		`data.`:                               "1:6",
		`1 + "a"`:                             "1:3: found no matching overload",
		"data.x ==\n  nosuch":                 "2:3: undeclared reference to 'nosuch'",
		`now()`:                               "undeclared reference to 'now'",
		`random()`:                            "undeclared reference",
		`secrets.token`:                       "undeclared reference",
		`data.x.matches("(")`:                 "matches argument",
		`timestamp("2026-13-01T00:00:00Z")`:   "timestamp",
		`[1].map(data, data)`:                 "hides the variable",
		strings.Repeat("(", 2000) + "1":       "recursion",
		`"` + strings.Repeat("x", 9000) + `"`: "bytes",
		`[1].map(a, [1].map(b, [1].map(c, [1].map(d, d))))`: "nesting",
	} {
		_, err := Compile(src, "event", "data", "state")
		var ce *CompileError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want something with %q", src, err, want)
		}
	}
}

func TestEval_NamesTheFailureWithoutRepeatingValues(t *testing.T) {
	for src, want := range map[string]EvalError{
		`data.nosuch`:                      {CodeMissingKey, "no such key: nosuch; test with has() first"},
		`data[data.email]`:                 {CodeMissingKey, "no such key; test with has() first"},
		`data.list[9]`:                     {CodeMissingKey, "index out of bounds"},
		`1 / (data.score - 40)`:            {CodeArithmetic, "division by zero"},
		`9223372036854775807 + data.score`: {CodeArithmetic, "overflow"},
		`int(data.email)`:                  {CodeFailed, "a function was given a value it does not take"},
		`duration("1h")`:                   {CodeType, "a duration can't be kept; use its seconds, as in int(d.getSeconds())"},
		`1.0 / 0.0`:                        {CodeArithmetic, "the result is not a finite number"},
		`{1: 2}`:                           {CodeType, "a map in the result has a key that is not a string"},
	} {
		p, err := Compile(src, "event", "data", "state")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		_, err = p.Eval(values())
		var ee *EvalError
		if !errors.As(err, &ee) || *ee != want {
			t.Errorf("%s: %v, want %v", src, err, &want)
		}
		if strings.Contains(err.Error(), "a@b") {
			t.Errorf("%s: the error repeats a person's data: %v", src, err)
		}
	}
}

func TestBool_TakesNothingButTrueAndFalse(t *testing.T) {
	p, err := Compile(`data.none`, "data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Bool(values()); err == nil || !strings.Contains(err.Error(), "gave null") {
		t.Errorf("a null condition gave %v", err)
	}
}

func TestProgram_TellsWhatItReadsAndGives(t *testing.T) {
	p, err := Compile(`data.b > 1 && has(data.a) && data["c"] == event.id && state.x`, "event", "data", "state")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Fields("data"); !reflect.DeepEqual(got, []string{"a", "b", "c"}) {
		t.Errorf("fields of data: %v", got)
	}
	if p.ResultType() != "bool" {
		t.Errorf("result type %s", p.ResultType())
	}
}

// What reads a variable as a whole may have any field of it in its result, also if it selects some by name.
func TestProgram_TellsWhatItReadsAsAWhole(t *testing.T) {
	for src, want := range map[string]bool{
		`data.a + data["b"]`:                      false,
		`has(data.a) && state.x`:                  false,
		`data.list.exists(x, x == data.a)`:        false,
		`data.a + data["p" + "hone"]`:             true,
		`data.a + string(size(data))`:             true,
		`data.map(k, data[k])`:                    true,
		`[data.a, data]`:                          true,
		`cel.bind(d, data, data.a + d.phone)`:     true,
		`dyn(data).phone`:                         true,
		`state.x == data.a ? data.b : state["y"]`: false,
	} {
		p, err := CompileIn(Edition3, src, "data", "state")
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		if got := p.ReadsWhole("data"); got != want || p.ReadsWhole("state") {
			t.Errorf("%s: %v, want %v", src, got, want)
		}
	}
}

// Expressions that a hostile author would try. Each must end soon, by a refusal or by a small result.
func TestEval_HostileExpressionsAreCut(t *testing.T) {
	ten := `[0,1,2,3,4,5,6,7,8,9]`
	big := strings.Repeat("a", 100_000)
	for name, src := range map[string]string{
		"three nested loops over a big list":     `data.l.map(a, data.l.map(b, data.l.map(c, a + b + c)))`,
		"concatenation that doubles":             `data.s + data.s + data.s + data.s + data.s + data.s + data.s + data.s`,
		"concatenation in loops":                 ten + `.map(a, ` + ten + `.map(b, ` + ten + `.map(c, data.s + data.s)))`,
		"replace that multiplies":                `data.s.replace("", data.s)`,
		"replace in loops":                       ten + `.map(a, ` + ten + `.map(b, data.s.replace("a", "aaaaaaaaaa")))`,
		"a regex that backtracks elsewhere":      `data.s.matches("(a+)+$")`,
		"a regex with a huge program":            `data.s.matches("((((a{100}){100}){100}){100})")`,
		"a regex from data":                      `data.s.matches(data.r)`,
		"split into single characters":           `data.s.split("").map(x, data.s.split(""))`,
		"join of a big list":                     `data.s.split("").join(data.s)`,
		"format with width":                      `"%s%s%s%s".format([data.s, data.s, data.s, data.s])`,
		"list that doubles":                      `data.l + data.l + data.l + data.l + data.l + data.l`,
		"equality of big lists in loops":         `data.l.map(a, data.l == data.l)`,
		"membership in loops":                    `data.l.map(a, data.l.map(b, a in data.l))`,
		"hundred-fold reverse":                   ten + `.map(a, ` + ten + `.map(b, data.s.reverse()))`,
		"base64 of base64":                       `base64.encode(bytes(base64.encode(bytes(base64.encode(bytes(data.s))))))`,
		"trim, case and indexes over a big text": `data.l.map(a, data.s.trim().lowerAscii().indexOf("b"))`,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(src, "data")
			if err != nil {
				return // refused before it ran
			}
			list := make([]any, 2000)
			for i := range list {
				list[i] = int64(i)
			}
			debug.FreeOSMemory()
			start := time.Now()
			_, err = p.Eval(map[string]any{"data": map[string]any{"s": big, "l": list, "r": strings.Repeat("(a?){9}", 100)}})
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %s (%v)", took, err)
			}
			var ee *EvalError
			if errors.As(err, &ee) && ee.Code == CodeDeadline {
				t.Error("only the deadline ended it: the outcome would depend on the machine")
			}
		})
	}
}

func FuzzCompileEval(f *testing.F) {
	for _, s := range []string{`data.score >= 50`, `data.list.map(x, x + "!")`, `{"a": 1}.map(k, k)`, `has(state.x) ? state.x : 0`,
		`event.time + duration("1h")`, `"%d".format([1])`, `data.s.matches("a*")`, `data.map.filter(k, data.map[k] > 1)`, "a.b.c[0]", `b"\x00"`, `1u - 2u`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		p, err := Compile(src, "event", "data", "state")
		if err != nil {
			var ce *CompileError
			if !errors.As(err, &ce) || len(ce.Problems) == 0 {
				t.Fatalf("%q: %v is no compile error", src, err)
			}
			return
		}
		v1, err1 := p.Eval(values())
		v2, err2 := p.Eval(values())
		if !reflect.DeepEqual(v1, v2) || (err1 == nil) != (err2 == nil) || (err1 != nil && err1.Error() != err2.Error()) {
			t.Fatalf("%q: %v (%v), then %v (%v)", src, v1, err1, v2, err2)
		}
	})
}
