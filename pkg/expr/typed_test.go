package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func typedVars() map[string]Type {
	null := func(k Kind) Type { return Type{Kind: k, Nullable: true} }
	return map[string]Type{
		"data": {Kind: Object, Name: "lead.created", Fields: map[string]Type{
			"lead_id": {Kind: Text}, "phone": null(Text), "score": {Kind: Int}, "rating": null(Double), "value": null(Amount), "price": {Kind: Amount},
			"born": null(Time), "vip": {Kind: Bool}, "tags": {Kind: List, Elem: &Type{Kind: Text}}, "labels": {Kind: Map, Elem: &Type{Kind: Text}},
			"stage":   {Kind: Text, Symbols: []string{"new", "won"}},
			"address": {Kind: Object, Nullable: true, Fields: map[string]Type{"city": {Kind: Text}, "zip": null(Text)}},
			"extra":   {Kind: Any, Maybe: true}, "any": {Kind: Any},
		}},
		"event": {Kind: Object, Name: "event", Fields: map[string]Type{"type": {Kind: Text, Known: "lead.created"}, "time": {Kind: Time}, "sequence": {Kind: Int}}},
		"state": {Kind: Object, Name: "state", Lacks: "never set", Fields: map[string]Type{"seen": {Kind: Any, Maybe: true}}},
	}
}

func TestCheckTypes_RefusesByLineAndColumnWithASuggestion(t *testing.T) {
	for src, want := range map[string]string{
		`data.score >= "50"`:                         `1:12: >= does not take an integer and a text; data.score is a number: write 50 without quotes`,
		`"50" <= data.score`:                         `write 50 without quotes`,
		`data.score == "50"`:                         `write 50 without quotes`,
		`data.price > "10000"`:                       `data.price is a number: write 10000 without quotes`,
		`data.value > "10000"`:                       `data.value is a number: write 10000 without quotes`,
		`data.value == "9000"`:                       `write 9000 without quotes`,
		`data.score == "many"`:                       `make both of one kind`,
		`data.lead_id > 5`:                           `data.lead_id is a text: write "5" in quotes`,
		"true &&\n  data.scor > 5":                   `2:7: data.scor: lead.created has no such field; did you mean data.score?`,
		`has(data.scor)`:                             `did you mean data.score?`,
		`data["scor"] > 5`:                           `did you mean data.score?`,
		`has(data["scor"])`:                          ``,
		`data.address.cty == "x"`:                    `did you mean data.address.city?`,
		`data["address"]["cty"] == "x"`:              `did you mean data.address.city?`,
		`data.nothing`:                               `it has address, any, born`,
		`state.sen`:                                  `did you mean state.seen?`,
		`has(state.other)`:                           `never set; it has seen`,
		`event.sequence > "5"`:                       `write 5 without quotes`,
		`event["typ"] == "x"`:                        `did you mean event.type?`,
		`"score " + data.score`:                      `join texts by string(x)`,
		`data.score + 1.5`:                           `double(x)`,
		`data.price + "1"`:                           `+ does not take a decimal and a text`,
		`data.score.startsWith("+1")`:                `startsWith does not take`,
		`data.vip == "true"`:                         `== does not take a boolean and a text`,
		`data.score && true`:                         ``,
		`data.stage == "wno"`:                        `data.stage is never "wno"; did you mean "won"?`,
		`data.stage in ["new", "open"]`:              `data.stage is never "open"; it is one of new, won`,
		`data.tags.exists(x, x > 5)`:                 `> does not take a text and an integer`,
		`event.time.getHours("America/NewYork") > 9`: `1:21: no time zone "America/NewYork"; did you mean "America/New_York"?`,
		`event.time > "2026-01-01T00:00:00Z"`:        `timestamp(`,
		`data.born - event.time > 5`:                 `duration(`,
	} {
		_, err := CheckTypes(Edition2, src, typedVars(), nil, false)
		var ce *CompileError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
}

func TestCheckTypes_AcceptsWhatRunsOverMaps(t *testing.T) {
	for src, want := range map[string]string{
		`data.score >= 50`: "bool", `data.score >= 50.5`: "bool", `data["score"] + 1`: "int", `data.price * 1.1`: "decimal", `data.price == 100`: "bool",
		`100 != data.value`: "bool", `data.value == data.score`: "bool", `data.phone == null`: "bool", `data.phone != null && data.phone.startsWith("+1")`: "bool",
		`data.address == null || data.address.city == "x"`: "bool", `data["address"] != null && data["address"]["city"] == "x"`: "bool",
		`data.labels.color == "red"`: "bool", `data.labels["a-b"]`: "string", `data.exists(k, k == "x")`: "bool", `"phone" in data`: "bool",
		`data[data.lead_id] == 5`: "bool", `data.size() > 3`: "bool", `data == data`: "bool", `data.any > 5 && data.any == "x"`: "bool",
		`event.time - duration("1h")`: "google.protobuf.Timestamp", `has(state.seen) ? state.seen : 0`: "dyn", `data.tags.map(x, x + "!")`: "list(string)",
		`data.stage == "new" && "won" != data.stage`: "bool", `{"a": data}`: "", `data.address`: "", `[1, "a", data.phone].size()`: "int",
		`(data.phone == null ? "unknown" : data.phone)`: "", `data.vip`: "bool", `event == event`: "bool", `has(data.address.zip)`: "bool",
	} {
		if _, err := CompileIn(Edition2, src, "data", "event", "state"); err != nil {
			t.Errorf("%s does not compile: %v", src, err)
		}
		got, err := CheckTypes(Edition2, src, typedVars(), nil, false)
		if err != nil || want != "" && got.Result != want {
			t.Errorf("%s: %s (%v), want %s", src, got.Result, err, want)
		}
	}
}

func TestCheckTypes_WarnsOfANullableOperandWithoutATest(t *testing.T) {
	for src, want := range map[string]string{ // want is what the warnings are about
		`data.phone.startsWith("+1")`:                                                  "data.phone",
		`data.phone != null && data.phone.startsWith("+1")`:                            "",
		`data.phone.startsWith("+1") && data.phone != null`:                            "",
		`data.phone == null || data.phone.startsWith("+1")`:                            "",
		`data.phone.startsWith("+1") && data.phone.endsWith("9")`:                      "data.phone",
		`data.phone.startsWith("+1") || data.phone != null`:                            "data.phone",
		`data.phone != null || data.phone.startsWith("+1")`:                            "data.phone",
		`!(data.phone == null) && data.phone.size() > 3`:                               "",
		`!(data.phone == null || data.phone.size() < 3)`:                               "",
		`data.phone == "+1" && data.phone.size() > 3`:                                  "",
		`has(data.phone) && data.phone.size() > 3`:                                     "data.phone",
		`data.phone != null ? data.phone.size() : 0`:                                   "",
		`data.phone == null ? data.phone.size() : 0`:                                   "data.phone",
		`(data.phone == null ? "" : data.phone).size()`:                                "",
		`(data.vip ? data.phone : "x").size()`:                                         "data.phone",
		`data.value > 10000 && data.rating > 4.5`:                                      "data.value data.rating",
		`data.phone in ["a"] || data.phone == "b"`:                                     "",
		`data.address.city == "x"`:                                                     "data.address",
		`data.address != null && data.address.city == "x"`:                             "",
		`data["phone"].size() > 3`:                                                     "data.phone",
		`data["phone"] != null && data.phone.size() > 3`:                               "",
		`data.tags.exists(x, x == data.phone || data.phone.size() > 1)`:                "data.phone",
		`data.phone != null && data.tags.exists(x, data.phone.size() > 1)`:             "",
		`state.seen == true`:                                                           "state.seen",
		`has(state.seen) && state.seen`:                                                "",
		`!has(state.seen) || state.seen > 5`:                                           "",
		`data.extra == 1`:                                                              "data.extra",
		`event.type == "lead.scored" && data.extra == 1 && data.phone.size() > 1`:      "",
		`event.type != "lead.scored" && data.extra == 1`:                               "data.extra",
		`event.type == "lead.scored" ? data.extra : 0`:                                 "",
		`data.any.size() > 3 && data.lead_id.size() > 3`:                               "",
		`data.phone != null && data.vip || data.phone == null && data.score > 5`:       "",
		`(data.phone != null && data.vip || data.phone == "x") && data.phone.size()>1`: "",
	} {
		got, err := CheckTypes(Edition2, src, typedVars(), nil, false)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var about []string
		for _, w := range got.Warnings {
			about = append(about, strings.Fields(w.Message)[0])
			if w.Line != 1 || w.Column < 1 {
				t.Errorf("%s: a warning at %d:%d", src, w.Line, w.Column)
			}
		}
		if fmt.Sprint(about) != fmt.Sprint(strings.Fields(want)) {
			t.Errorf("%s: warns of %v, want %s", src, about, want)
		}
	}
}

func TestCheckTypes_AConditionProvesWhatFollowsIt(t *testing.T) {
	when, err := CheckTypes(Edition2, `data.phone.startsWith("+1") && data.value != null`, typedVars(), nil, true)
	if err != nil || !slices.Contains(when.Proven, "data.phone") || !slices.Contains(when.Proven, "data.value") {
		t.Fatalf("proven %v (%v)", when.Proven, err)
	}
	for src, want := range map[string]int{`data.phone + "!"`: 0, `data.value * 2`: 0, `data.rating * 2.0`: 1} {
		got, err := CheckTypes(Edition2, src, typedVars(), when.Proven, false)
		if err != nil || len(got.Warnings) != want {
			t.Errorf("%s: %v (%v), want %d warnings", src, got.Warnings, err, want)
		}
	}
	got, err := CheckTypes(Edition2, `data.vip ? data.rating : data.phone == null ? 0.5 : 1.0`, typedVars(), nil, false)
	if err != nil || !slices.Equal(got.MayBe, []string{"data.rating"}) {
		t.Errorf("may be null by %v (%v)", got.MayBe, err)
	}
}

func FuzzCheckTypes(f *testing.F) {
	for _, s := range []string{`data.score >= "50"`, `data["address"]["cty"] == "x"`, `data.exists(k, data[k] == data)`, `has(data.address.zip) || !has(state.seen)`, `{"a": data, data.lead_id: [event]}`,
		`data.phone == null ? data.value * 1.1 : -data.price`, `data.stage in ["won", data.stage]`, `event.time.getHours("America/NewYork")`, `dyn(data).x.y["z"]`, `google.protobuf.Int32Value{value: data.score}`,
		`data.tags.map(x, x + "!").filter(y, y > 5)`, `100 == data.value && data.value != 9.5`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if _, err := CompileIn(Edition2, src, "data", "event", "state"); err != nil {
			return
		}
		a, errA := CheckTypes(Edition2, src, typedVars(), []string{"data.phone"}, true)
		b, errB := CheckTypes(Edition2, src, typedVars(), []string{"data.phone"}, true)
		var ce *CompileError
		if errA != nil && (!errors.As(errA, &ce) || len(ce.Problems) == 0) {
			t.Fatalf("%q: %v is no compile error", src, errA)
		}
		if fmt.Sprint(a, errA) != fmt.Sprint(b, errB) {
			t.Fatalf("%q: %v %v, then %v %v", src, a, errA, b, errB)
		}
	})
}
