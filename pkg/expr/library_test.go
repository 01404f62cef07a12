package expr

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// shop is a calendar that opens at nine and closes at five, every day, in Berlin.
type shop struct{ loc *time.Location }

func (s shop) hours(t time.Time) (opens, closes time.Time) {
	y, m, d := t.In(s.loc).Date()
	return time.Date(y, m, d, 9, 0, 0, 0, s.loc), time.Date(y, m, d, 17, 0, 0, 0, s.loc)
}
func (s shop) Open(t time.Time) bool {
	opens, closes := s.hours(t)
	return !t.Before(opens) && t.Before(closes)
}
func (s shop) NextOpen(t time.Time) (time.Time, bool) {
	opens, closes := s.hours(t)
	switch {
	case t.Before(opens):
		return opens, true
	case t.Before(closes):
		return t, true
	}
	return opens.AddDate(0, 0, 1), true
}
func (s shop) Between(a, b time.Time) (open time.Duration) {
	for day := a; ; day = day.AddDate(0, 0, 1) {
		opens, closes := s.hours(day)
		if !opens.Before(b) {
			return open
		}
		if opens.Before(a) {
			opens = a
		}
		if b.Before(closes) {
			closes = b
		}
		open += max(0, closes.Sub(opens))
	}
}
func (s shop) Zone() *time.Location { return s.loc }

// shut never opens.
type shut struct{ shop }

func (shut) Open(time.Time) bool                        { return false }
func (shut) NextOpen(time.Time) (time.Time, bool)       { return time.Time{}, false }
func (shut) Between(time.Time, time.Time) time.Duration { return 0 }

func reference(t testing.TB) *Reference {
	t.Helper()
	berlin, err := Zone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	team, err := NewLookup("rep", map[string]Kind{"rep": Text, "weight": Int, "rate": Amount, "share": Double, "out": Bool, "since": Time}, []map[string]any{
		{"rep": "ann", "weight": int64(3), "rate": Decimal("19.90"), "share": 0.5, "out": false, "since": noon},
		{"rep": "bob", "weight": int64(1), "rate": Decimal("9.90"), "share": 0.25, "out": true, "since": noon},
	})
	if err != nil {
		t.Fatal(err)
	}
	weeks, err := NewLookup("week", map[string]Kind{"week": Int, "template": Text}, []map[string]any{{"week": int64(1), "template": "hello"}, {"week": int64(2), "template": "again"}})
	if err != nil {
		t.Fatal(err)
	}
	return NewReference(map[string]*Lookup{"sales-team": team, "nurture": weeks}, map[string]Calendar{"office": shop{berlin}, "shut": shut{shop{berlin}}})
}

func libraryVars(t testing.TB) map[string]any {
	vars := map[string]any{
		"data": map[string]any{"rep": "ann", "who": "zoe", "week": int64(2), "none": nil, "table": "nurture", "n": int64(4), "tags": []any{"b", "a", "b"},
			"amounts": []any{Decimal("9.90"), Decimal("10.0"), Decimal("1")}, "rows": []any{map[string]any{"k": int64(2), "v": "x"}, map[string]any{"k": int64(1), "v": "y"}, map[string]any{"k": int64(2), "v": "a"}},
			"big": make([]any, 5_000), "mixed": []any{"a", int64(1)}, "m": map[string]any{"b": int64(1), "a": int64(2)}},
		// A Wednesday, half past midnight in Berlin.
		"event": map[string]any{"time": time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC)},
	}
	reference(t).Bind(vars)
	return vars
}

func TestEdition3_FunctionsGiveWhatTheyPromise(t *testing.T) {
	vars := libraryVars(t)
	for src, want := range map[string]any{
		`lookup("sales-team", data.rep).weight`:                                       int64(3),
		`lookup("sales-team", data.rep).rate > 19`:                                    true,
		`lookup("sales-team", data.rep).since == event.time`:                          false,
		`lookup("nurture", data.week).template`:                                       "again",
		`lookup(data.table, data.week)["template"]`:                                   "again",
		`lookup_or("nurture", 9, {"week": 0, "template": "-"}).template`:              "-",
		`lookup_or("nurture", 1, {"week": 0, "template": "-"}).template`:              "hello",
		`lookup_or("sales-team", data.who, null) == null`:                             true,
		`lookup("nurture", 1)`:                                                        map[string]any{"week": int64(1), "template": "hello"},
		`lookup("nurture", 1).map(k, k)`:                                              []any{"template", "week"},
		`cel.bind(row, lookup("sales-team", "bob"), row.out ? row.weight : 0)`:        int64(1),
		`open(event.time, "office")`:                                                  false,
		`next_open(event.time, "office")`:                                             time.Date(2026, 7, 2, 7, 0, 0, 0, time.UTC),
		`open_between(event.time, event.time + days(2), "office") == duration("16h")`: true,
		`open_between(event.time + days(1), event.time, "office") == duration("-8h")`: true,
		`local(event.time, "office").hour`:                                            int64(0),
		`local(event.time, "America/New_York").hour`:                                  int64(18),
		`local(event.time, "+05:30").minute`:                                          int64(0),
		`local(event.time, "office")`: map[string]any{"year": int64(2026), "month": int64(7), "day": int64(2), "hour": int64(0), "minute": int64(30),
			"date": "2026-07-02", "weekday": "thu"},
		`event.time.getHours()`:                                      int64(22),
		`days(-1) == duration("-24h")`:                               true,
		`bucket("lead/42", "spring")`:                                int64(40),
		`bucket("lead/42", "spring") == bucket("lead/42", "autumn")`: false,
		`bucket("b", "a") == bucket("", "ab")`:                       false,
		`email(" Ada@Example.COM ")`:                                 "Ada@example.com", `email("ada")`: nil, `email(data.rep) == null`: true,
		`e164("(212) 555-0123", "US")`: "+12125550123", `e164("030 901820", "DE")`: "+4930901820", `e164(data.rep, "US")`: nil, `e164("+12125550123", "")`: "+12125550123",
		`lists.range(4).map(i, i * 2)`:                   []any{int64(0), int64(2), int64(4), int64(6)},
		`data.tags.distinct()`:                           []any{"b", "a"},
		`[1, 1.0, 1u, decimal("1.0")].distinct().size()`: int64(1),
		`data.tags.sort()`:                               []any{"a", "b", "b"},
		`data.amounts.sort()`:                            []any{Decimal("1"), Decimal("9.90"), Decimal("10.0")},
		`data.rows.sortBy(r, r.k).map(r, r.v)`:           []any{"y", "x", "a"},
		`data.rows.sortBy(r, -r.k).map(r, r.v)`:          []any{"x", "a", "y"},
		`lists.range(60).sortBy(i, i % 2) == lists.range(30).map(i, 2 * i) + lists.range(30).map(i, 2 * i + 1)`: true, // the order of what is equal
		`data.m.sortBy(k, k)`:                                          []any{"a", "b"},
		`(data.tags + ["0"]).sort()`:                                   []any{"0", "a", "b", "b"},
		`[true, false].sort()`:                                         []any{false, true},
		`[[1, 2], [3]].flatten()`:                                      []any{int64(1), int64(2), int64(3)},
		`[1, 2, 3, 4].slice(1, 3)`:                                     []any{int64(2), int64(3)},
		`sets.contains(data.tags, ["a"])`:                              true,
		`sets.intersects(data.tags, ["x", "a"])`:                       true,
		`sets.equivalent(data.tags, ["a", "b"])`:                       true,
		`["a"].hasOnly(data.tags)`:                                     true,
		`data.tags.hasOnly(["a"])`:                                     false,
		`data.tags.hasAll(["a", "b"]) && data.tags.hasAny(["a", "z"])`: true,
		`data.tags.hasExactly(["a", "b"])`:                             true,
		`cel.bind(n, data.n + 1, n * n)`:                               int64(25),
		`10000 < decimal("10000.5")`:                                   true,
	} {
		p, err := CompileIn(Edition3, src, "data", "event")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got, err := p.Eval(vars); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %v (%v), want %v", src, got, err, want)
		}
	}
}

func TestEdition3_WhatTheDataExplainsIsAnErrorWithoutTheData(t *testing.T) {
	vars := libraryVars(t)
	for src, want := range map[string]string{
		`lookup("sales-team", data.who).weight`:                      "missing_key: " + noRow,
		`lookup("sales-team", data.none).weight`:                     "type: ",
		`lookup("sales-team", data.n).weight`:                        "type: ",
		`lookup("nurture", data.who).template`:                       "type: ",
		`lookup(data.who, data.who)`:                                 "failed: " + noLookup,
		`lookup("sales-team", data.rep)[data.who]`:                   "missing_key: ",
		`lookup_or("nurture", data.n, null).template`:                "missing_key: ",
		`open(event.time, data.who)`:                                 "failed: " + noCalendar,
		`open(data.n, "office")`:                                     "type: ",
		`local(event.time, data.who).hour`:                           "failed: " + noPlace,
		`local(event.time, "Local").hour`:                            "failed: " + noPlace,
		`next_open(event.time, "shut")`:                              "failed: " + neverOpens,
		`open_between(event.time, event.time + days(401), "office")`: "failed: " + tooFarApart,
		`event.time + days(36501)`:                                   "failed: " + tooManyDays,
		`data.mixed.sort()`:                                          "failed: " + unsortable,
		`[0.0 / 0.0, 1.0].sort()`:                                    "failed: " + unsortable,
		`data.rows.sort()`:                                           "failed: " + unsortable,
		`lists.range(1001)`:                                          "failed: ",
		`lists.range(data.n - 5)`:                                    "failed: ",
		`data.big.map(x, 1).distinct()`:                              "cost: ",
		`sets.contains(data.big.map(x, 1), data.big)`:                "cost: ",
		`data.big.hasExactly(data.big) || true`:                      "cost: ",
	} {
		p, err := CompileIn(Edition3, src, "data", "event")
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		_, err = p.Eval(vars)
		var failed *EvalError
		if !errors.As(err, &failed) || !strings.HasPrefix(failed.Error(), want) || strings.Contains(failed.Error(), "zoe") {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
	p, err := CompileIn(Edition3, `lookup("nurture", 1).template`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Eval(nil); err == nil || !strings.Contains(err.Error(), noReference) {
		t.Errorf("without a reference: %v", err)
	}
}

func TestEdition3_RefusesWhatCannotRunAndSaysWhatToWrite(t *testing.T) {
	for src, want := range map[string]string{
		`event.time.getHours("Europe/Berlin") > 9`: `1:20: getHours takes no zone`,
		`event.time.getDayOfWeek(data.zone)`:       `.weekday`,
		`event.time.getSeconds("UTC")`:             `use it without: getSeconds()`,
		`lookup("nurture")`:                        `1:7: lookup takes 2 arguments and is given 1; write it as in lookup("sales-team", data.owner_id)`,
		`open()`:                                   `open takes 2 arguments and is given 0`,
		`cel.bind(data, 1, data)`:                  `the name data hides the variable of that name`,
		`@lookup(@reference, "a", 1)`:              ``,
		`@reference`:                               ``,
		`email(5)`:                                 ``, `e164("+12125550123")`: ``,
		`bucket(5, "a")`:     ``,
		`data.format(["a"])`: `format is not available`,
	} {
		_, err := CompileIn(Edition3, src, "data", "event")
		var ce *CompileError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
	for _, src := range []string{`lookup("nurture", 1)`, `data.tags.sort()`, `cel.bind(a, 1, a)`, `sets.contains([1], [1])`, `lists.range(2)`, `open(event.time, "office")`} {
		if _, err := CompileIn(Edition2, src, "data", "event"); err == nil {
			t.Errorf("%s compiles in Edition2, which never had it", src)
		}
	}
}

func TestCheckTypes_KnowsLookupsCalendarsAndLocalTimes(t *testing.T) {
	vars := typedVars()
	reference(t).Declare(vars)
	for src, want := range map[string]string{
		`lookup("nurtur", 1).template`:                                 `1:8: there is no lookup "nurtur" in the bundle; did you mean "nurture"?`,
		`lookup("zzz", 1).template`:                                    `it has nurture, sales-team`,
		`lookup("nurture", data.lead_id).template`:                     `the key of the lookup nurture is an integer and is given a text`,
		`lookup("sales-team", data.score).weight`:                      `the key of the lookup sales-team is a text and is given an integer`,
		"true &&\n lookup(\"nurture\", 1).templat == \"\"":             `2:22: lookup("nurture", …).templat: the lookup nurture has no such column; did you mean lookup("nurture", …).template?`,
		`lookup("sales-team", data.lead_id).weight > "3"`:              `> does not take an integer and a text`,
		`lookup("sales-team", data.lead_id).rate > "3"`:                `write 3 without quotes`,
		`lookup("sales-team", data.lead_id)["wieght"]`:                 `did you mean`,
		`lookup_or("nurture", 1, {"week": 1}).template`:                `the default of the lookup nurture lacks the column template`,
		`lookup_or("nurture", 1, {"week": 1, "templte": ""}).template`: `the lookup nurture has no column "templte"; did you mean "template"?`,
		`lookup_or("nurture", 1, null).templat`:                        `did you mean`,
		`cel.bind(r, lookup("nurture", 1), r["templat"])`:              `r.templat: the lookup nurture has no such column`,
		`cel.bind(r, lookup("nurture", 1), r.templat)`:                 `r.templat: the lookup nurture has no such column; did you mean r.template?`,
		`open(event.time, "ofice")`:                                    `1:18: there is no calendar "ofice" in the bundle; did you mean "office"?`,
		`open(data.lead_id, "office")`:                                 `open does not take a text and a text`,
		`next_open(event.time, "off") > event.time`:                    `there is no calendar "off"`,
		`open_between(event.time, event.time, "x") > duration("1h")`:   `there is no calendar "x"`,
		`local(event.time, "Europe/Berln").hour > 9`:                   `there is no time zone "Europe/Berln"; did you mean "Europe/Berlin"?`,
		`local(event.time, "ofice").hour > 9`:                          `there is no calendar or time zone "ofice" in the bundle; did you mean "office"?`,
		`local(event.time, "office").hours > 9`:                        `did you mean local(…).hour?`,
		`local(event.time, "office").weekday == "monday"`:              `local(…).weekday is never "monday"`,
		`local(event.time, "office").weekday in ["mon", "tues"]`:       `did you mean "tue"?`,
		`local(event.time, "office").hour > "9"`:                       `write 9 without quotes`,
		`event.time.getHours("UTC")`:                                   `getHours takes no zone`,
		`days("3")`:                                                    `days does not take a text`,
	} {
		_, err := CheckTypes(Edition3, src, vars, nil, false)
		var ce *CompileError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
	for src, want := range map[string]string{
		`lookup("nurture", data.score).template`: "string", `lookup("sales-team", data.lead_id).rate * 2`: "decimal", `lookup("sales-team", data.lead_id).since < event.time`: "bool",
		`lookup_or("nurture", data.score, {"week": 0, "template": ""}).template`: "string", `lookup_or("nurture", 1, null) == null`: "bool",
		`lookup_or("nurture", 1, data.any)`: "dyn", `lookup(data.lead_id, 1).x`: "dyn", `lookup("nurture", 1)`: "dyn",
		`cel.bind(r, lookup("nurture", 1), r.template)`: "string", `open(event.time, data.lead_id)`: "bool", `local(event.time, data.lead_id).date`: "string",
		`local(event.time, "Europe/Berlin").weekday == "mon"`: "bool", `open_between(event.time, event.time, "office")`: "google.protobuf.Duration",
		`data.tags.sort()`: "list(string)", `data.tags.distinct().size() == data.tags.size()`: "bool", `data.tags.sortBy(x, x)`: "list(string)", `data.price == data.score`: "bool",
		`lookup("nurture", 1).exists(k, k == "week")`: "bool", `"week" in lookup("nurture", 1)`: "bool", `lookup("nurture", 1) == {"week": 1, "template": "x"}`: "bool",
		`cel.bind(r, lookup("nurture", 1), r.exists(k, k == "week") && r.week == 1)`: "bool", `lookup("sales-team", data.lead_id)["weight"]`: "int",
		`local(event.time, "office").map(k, k).size()`: "int", `cel.bind(r, lookup("nurture", 1), cel.bind(q, r.week + 1, q > r.week))`: "bool",
		`lists.range(data.score).map(i, lookup("nurture", i).template)`: "list(string)", `bucket(data.lead_id, "x") < 10`: "bool",
		`lookup("sales-team", data.lead_id).rate == data.score`: "bool", `lookup("nurture", 1) == lookup("nurture", 2)`: "bool",
	} {
		got, err := CheckTypes(Edition3, src, vars, nil, false)
		if err != nil || got.Result != want {
			t.Errorf("%s: %s (%v), want %s", src, got.Result, err, want)
		}
		if _, err := CompileIn(Edition3, src, "data", "event", "state"); err != nil {
			t.Errorf("%s does not compile: %v", src, err)
		}
	}
	got, err := CheckTypes(Edition3, `lookup("sales-team", data.phone).weight > 1`, vars, nil, false)
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Message, "data.phone may be null") {
		t.Errorf("a key that may be null: %v (%v)", got.Warnings, err)
	}
	for src, want := range map[string]string{
		`email(data.lead_id).endsWith("x")`: "email(…) may be null", `lookup_or("nurture", 1, null).template == "x"`: `lookup_or("nurture", …) may be null`,
		`cel.bind(a, email(data.lead_id), a != null && a.endsWith("x"))`: "", `email(data.lead_id) == null`: "", `lookup_or("nurture", 1, null) == null`: "",
		`lookup("nurture", 1).template.endsWith("x")`: "", `cel.bind(r, lookup_or("nurture", 1, null), r == null ? "" : r.template)`: "",
	} {
		got, err := CheckTypes(Edition3, src, vars, nil, false)
		if err != nil || (want == "") != (len(got.Warnings) == 0) || want != "" && !strings.Contains(got.Warnings[0].Message, want) {
			t.Errorf("%s: %v (%v), want %q", src, got.Warnings, err, want)
		}
	}
	delete(vars, referenceVar)
	if _, err := CheckTypes(Edition3, `lookup("nurtur", 1).x == local(event.time, "x").hour`, vars, nil, false); err != nil {
		t.Errorf("names were checked although none are known: %v", err)
	}
}

func TestNewLookup_RefusesWhatIsNoTable(t *testing.T) {
	for name, c := range map[string]struct {
		key     string
		columns map[string]Kind
		rows    []map[string]any
	}{
		"a key that is no column": {"x", map[string]Kind{"a": Text}, nil},
		"a key of doubles":        {"a", map[string]Kind{"a": Double}, nil},
		"a row without a value":   {"a", map[string]Kind{"a": Text, "b": Int}, []map[string]any{{"a": "x"}}},
		"a null":                  {"a", map[string]Kind{"a": Text, "b": Int}, []map[string]any{{"a": "x", "b": nil}}},
		"a key twice":             {"a", map[string]Kind{"a": Int}, []map[string]any{{"a": int64(1)}, {"a": int64(1)}}},
	} {
		if _, err := NewLookup(c.key, c.columns, c.rows); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestNeeds_IsTheOldestEditionThatCanMeanIt(t *testing.T) {
	for src, want := range map[string]Edition{
		`data.score > 5`: Edition2, `event.time.getHours("Europe/Berlin") > 5 && data.note == "open (now)"`: Edition2, `data.tags.reverse()`: Edition2, `data.sort`: Edition2,
		`data.lookup`: Edition2, `data.lookup("x", 1)`: Edition2, `1 +`: Edition2, `data.tags.exists(t, t == "days(3)")`: Edition2, `cel.other(1)`: Edition2,
		`lookup("a", 1)`: Edition3, `lookup("a")`: Edition3, `cel.bind(a, 1, a)`: Edition3, `data.tags.sort()`: Edition3, `data.tags.exists(t, lists.range(3).size() == 3)`: Edition3,
		`{"a": [open(event.time, "x")]}`: Edition3, `sets.contains([1], [1]) ? 1 : 2`: Edition3, `data.rows.sortBy(x, x.a)`: Edition3, `days(3) > duration("1h")`: Edition3,
	} {
		if got := Needs(src); got != want {
			t.Errorf("%s needs edition %d, want %d", src, got, want)
		}
	}
	// Whatever Edition2 compiles needs no more, and whatever needs more Edition2 refuses.
	for name, srcs := range calls {
		for _, src := range srcs {
			if got := Needs(src); got != Edition2 {
				t.Errorf("%s (%s) needs edition %d", src, name, got)
			}
		}
	}
	for name, srcs := range libraryCalls {
		for _, src := range srcs {
			if _, err := CompileIn(Edition2, src, "data"); Needs(src) != Edition3 || err == nil {
				t.Errorf("%s (%s) needs edition %d, in Edition2: %v", src, name, Needs(src), err)
			}
		}
	}
}
