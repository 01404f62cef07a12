package expr

import (
	"errors"
	"reflect"
	"testing"
)

func moneyVars() map[string]any {
	return map[string]any{"data": map[string]any{"value": Decimal("9000.0000"), "small": Decimal("0.1000"), "debt": Decimal("-20000.0000"), "none": nil,
		"score": int64(9000), "rate": 1.1, "text": "9000", "huge": Decimal("99999999999999999999999999999999999999")}}
}

func TestEdition2_DecimalsCompareAndCalculateAsDecimals(t *testing.T) {
	for src, want := range map[string]any{
		`data.value > 10000`: false,
		`10000 < data.value`: false,
		`data.value >= 9000 && 9000 <= data.value && data.value > 8999.99 && 8999.99 < data.value`: true,
		`data.debt > 10000`:                           false,
		`data.debt < data.value`:                      true,
		`data.value == 9000`:                          true,
		`9000 == data.value`:                          true,
		`9000u == data.value`:                         true,
		`9000.0 == data.value`:                        true,
		`data.value != 9000 || 9000 != data.value`:    false,
		`data.score == data.value`:                    true,
		`data.value == decimal("9000")`:               true,
		`data.value in [1, 9000]`:                     true,
		`data.none == data.value`:                     false,
		`data.none != data.value`:                     true,
		`data.value + 1`:                              Decimal("9001.0000"),
		`1 + data.value`:                              Decimal("9001.0000"),
		`1 - data.small`:                              Decimal("0.9000"),
		`data.small + data.small + data.small == 0.3`: true,
		`data.value * 1.1`:                            Decimal("9900.00000"),
		`data.value * data.rate == 9900`:              true,
		`data.value / 7`:                              Decimal("1285.7142857142857143"),
		`data.value / 4`:                              Decimal("2250.0000"),
		`-data.value`:                                 Decimal("-9000.0000"),
		`-data.score`:                                 int64(-9000),
		`(data.value / 7).round(2)`:                   Decimal("1285.71"),
		`decimal("2.5").round(0)`:                     Decimal("3"),
		`decimal("-2.5").round(0)`:                    Decimal("-3"),
		`decimal(0.1) + decimal(2)`:                   Decimal("2.1"),
		`string(data.value)`:                          "9000.0000",
		`int(data.value)`:                             int64(9000),
		`double(data.small)`:                          0.1,
		`data.value > 1.0 / 0.0 || data.value < -1.0 / 0.0 || data.value == 0.0 / 0.0 || data.value > 0.0 / 0.0`: false,
		`data.huge * data.huge > data.huge`: true,
		`"a" + "b" == "ab" && [1] + [2] == [1, 2] && 7 / 2 == 3 && 1.5 * 2.0 == 3.0 && "a" < "b"`: true,
		`[data.value].map(v, v * 2)`: []any{Decimal("18000.0000")},
	} {
		p, err := CompileIn(Edition2, src, "data")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got, err := p.Eval(moneyVars()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v (%v), want %#v", src, got, err, want)
		}
	}
}

func TestEdition2_WhatDecimalsCannotDoIsAnOutcome(t *testing.T) {
	for src, code := range map[string]string{
		`data.value > "10000"`:              CodeType,
		`data.value + data.none`:            CodeType,
		`"value " + data.value`:             CodeType,
		`data.value / 0`:                    CodeArithmetic,
		`data.huge * data.huge * data.huge`: CodeArithmetic,
		`data.value * (1.0 / 0.0)`:          CodeArithmetic,
		`decimal(data.text + "x")`:          CodeFailed,
		`int(data.huge)`:                    CodeArithmetic,
		`data.value.round(99)`:              CodeFailed,
	} {
		p, err := CompileIn(Edition2, src, "data")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		_, err = p.Eval(moneyVars())
		var ee *EvalError
		if !errors.As(err, &ee) || ee.Code != code {
			t.Errorf("%s: %v, want %s", src, err, code)
		}
	}
}

func TestEdition1_KeepsDecimalsAsTexts(t *testing.T) {
	p, err := Compile(`data.value > "10000" ? "text" : "number"`, "data")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Eval(map[string]any{"data": map[string]any{"value": "9000.0000"}}); err != nil || got != "text" {
		t.Errorf("got %v (%v)", got, err)
	}
	if _, err := Compile(`decimal("1")`, "data"); err == nil {
		t.Error("edition 1 has a function that it did not have when it was released")
	}
}

func TestDecimal_DigitsRoundsHalfAwayFromZero(t *testing.T) {
	for in, want := range map[Decimal]string{"110.00001": "110.0000", "1.00005": "1.0001", "-1.00005": "-1.0001", "7": "7", "0.00004": "0.0000", "-0.00004": "0.0000"} {
		if got := in.Digits(4); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
