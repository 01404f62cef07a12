package value

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/expr"
)

func TestAppend_WritesWhatComesBackAsItWas(t *testing.T) {
	at := time.Date(2026, 3, 2, 12, 0, 0, 5000, time.UTC)
	all := map[string]any{
		"nil": nil, "yes": true, "int": int64(math.MinInt64), "whole": 1.0, "tiny": 1e-300, "text": "ä<&>\u2028\"", "time": at, "bytes": []byte{0, 255}, "amount": expr.Decimal("12.50"),
		"list": []any{int64(1), []any{}, map[string]any{"a": []byte{}}}, "": "empty key",
	}
	b, err := Append(nil, all)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Read(b)
	if err != nil || !reflect.DeepEqual(back, all) {
		t.Errorf("%v %v\n%s", back, err, b)
	}
	again, err := Append(nil, back)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("%s\n%s", b, again)
	}
	elsewhere, err := Append(nil, at.In(time.FixedZone("", 3600)))
	if err != nil || string(elsewhere) != `{"$time":"2026-03-02T12:00:00.000005Z"}` {
		t.Errorf("%s %v: a time depends on the zone that it is in", elsewhere, err)
	}
}

func TestAppend_RefusesWhatCouldNotComeBack(t *testing.T) {
	deep := any("x")
	for range maxDepth {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"not a number": math.NaN(), "infinite": []any{math.Inf(1)}, "year 10000": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "a mark": map[string]any{"$time": "x"}, "another kind": int32(1), "deep": deep,
	} {
		if b, err := Append(nil, v); err == nil {
			t.Errorf("%s: %s", name, b)
		}
	}
}

func TestRead_RefusesWhatWasNotWritten(t *testing.T) {
	for _, text := range []string{"", "1 2", "[1", "9223372036854775808", "1e999", `{"$time":"now"}`, `{"$time":1}`, `{"$time":"2026-03-02T12:00:00Z","a":1}`, `{"$odd":"a"}`, `{"$bytes":"*"}`, `{"$decimal":"1e5"}`,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)} {
		if v, err := Read([]byte(text)); err == nil {
			t.Errorf("%s: %v", text, v)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{`{"a":[1,1.0,"x",null,true,{"$time":"2026-03-02T12:00:00Z"}]}`, `{"$bytes":"AA=="}`, `{"$decimal":"-12.50"}`, "1e3", `"\ud800"`, "-0", "-0.0"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Read(b)
		if err != nil {
			return
		}
		one, err := Append(nil, v)
		if err != nil {
			t.Fatalf("%s was read and can't be written: %v", b, err)
		}
		again, err := Read(one)
		if err != nil {
			t.Fatalf("%s was written and can't be read: %v", one, err)
		}
		if two, err := Append(nil, again); err != nil || !bytes.Equal(one, two) {
			t.Fatalf("%s\n%s", one, two)
		}
	})
}
