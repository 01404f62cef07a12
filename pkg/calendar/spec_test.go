package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNew_ReportsEveryProblemAtItsPath(t *testing.T) {
	_, err := New(Spec{
		Zone: "america/new york",
		Hours: map[string][]string{
			"mon-fri":  {"09:00-12:00", "11:59-13:00", "17:00-09:00", "12:00-12:00", "00:00-00:00", "18:00-00:00", "9:00-10:00", "24:00-24:00", "09:00–12:00", "08:00 - 09:00", "10:00-24:01", ""},
			"wed":      {"13:00-14:00"},
			"sat-sun":  {"00:00-24:00"},
			"sun":      nil,
			"Monday":   {"09:00-17:00"},
			"fri-mon":  nil,
			"sun-mon":  nil,
			"mon,wed":  nil,
			"":         nil,
			"thu-thu":  nil,
			"weekdays": nil,
		},
		Holidays: []Holiday{
			{Date: "2026-02-29"},
			{Date: "2026-12-24", Hours: []string{"09:00-12:00", "22:00-02:00"}},
			{Date: "2026-12-24"},
			{Date: "24.12.2026"},
			{Date: ""},
			{Date: "1899-12-31"},
		},
	})
	var problems *Error
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems.Problems {
		got = append(got, p.Path+": "+p.Message)
	}
	want := []string{
		`zone: has no time zone "america/new york"; write America/New_York`,
		`hours.mon-fri[1]: 11:59-13:00 overlaps 09:00-12:00; write intervals that do not share a minute`,
		`hours.mon-fri[2]: "17:00-09:00" goes over midnight; write 17:00-24:00 on this day and 00:00-09:00 on the next`,
		`hours.mon-fri[3]: "12:00-12:00" is empty; leave it out, or write an end after its begin`,
		`hours.mon-fri[4]: "00:00-00:00" is empty; write 00:00-24:00 for the whole day`,
		`hours.mon-fri[5]: "18:00-00:00" ends before it begins; write 18:00-24:00 to go on until midnight`,
		`hours.mon-fri[6]: "9:00" needs two digits for the hour; write 09:00`,
		`hours.mon-fri[7]: "24:00-24:00" begins at the end of a day; write 00:00 on the next day`,
		`hours.mon-fri[8]: "09:00–12:00" is no interval; write for example 09:00-17:30, with a hyphen`,
		`hours.mon-fri[9]: "08:00 " is not a time; write hours and minutes of 24 hours, such as 09:00 or 17:30`,
		`hours.mon-fri[10]: "24:01" does not exist; times go from 00:00 to 24:00`,
		`hours.mon-fri[11]: "" is no interval; write for example 09:00-17:30, with a hyphen`,
		`hours.wed: names wed, which mon-fri has named; each day stands once`,
		`hours.sun: names sun, which sat-sun has named; each day stands once`,
		`hours."": is no day; days are mon, tue, wed, thu, fri, sat, sun and ranges such as mon-fri`,
		`hours.Monday: is no day; write mon`,
		`hours.fri-mon: goes over the end of the week, which is sun; write fri-sun and mon`,
		`hours."mon,wed": is no day; days are mon, tue, wed, thu, fri, sat, sun and ranges such as mon-fri`,
		`hours.sun-mon: goes over the end of the week, which is sun; write sun and mon`,
		`hours.thu-thu: is a range of one day; write thu`,
		`hours.weekdays: is no day; days are mon, tue, wed, thu, fri, sat, sun and ranges such as mon-fri`,
		`holidays[0].date: "2026-02-29" does not exist`,
		`holidays[1].hours[1]: "22:00-02:00" goes over midnight; write 22:00-24:00 on this day and 00:00-02:00 on the next`,
		`holidays[2].date: 2026-12-24 stands in holidays[1] already; write all its hours there`,
		`holidays[3].date: "24.12.2026" is no date; write year, month and day such as 2026-12-24`,
		`holidays[4].date: is missing; write a date such as 2026-12-24`,
		`holidays[5].date: 1899-12-31 is before 1900`,
	}
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			g, w := "", ""
			if i < len(got) {
				g = got[i]
			}
			if i < len(want) {
				w = want[i]
			}
			if g != w {
				t.Errorf("problem %d\n got %s\nwant %s", i, g, w)
			}
		}
	}
	if text := err.Error(); !strings.HasPrefix(text, "calendar: zone: has no time zone") || !strings.Contains(text, "; hours.wed: names wed") {
		t.Errorf("the error reads %s", text)
	}
}

func TestNew_TellsAbsentFromEmpty(t *testing.T) {
	for _, c := range []struct {
		what string
		spec Spec
		want string
	}{
		{"nothing", Spec{}, "calendar: zone: is missing; write an IANA name such as America/New_York; hours: is missing; write for example {mon-fri: [\"09:00-17:00\"]}, or {mon-sun: []} if only holidays have hours"},
		{"no hours", Spec{Zone: "UTC"}, "hours: is missing"},
		{"an empty map", Spec{Zone: "UTC", Hours: map[string][]string{}}, "hours: is missing"},
		{"closed days", Spec{Zone: "UTC", Hours: map[string][]string{"mon-sun": {}}}, ""},
		{"the machine's zone", Spec{Zone: "Local", Hours: map[string][]string{"mon": nil}}, `zone: has no time zone "Local"`},
		{"an offset", Spec{Zone: "+02:00", Hours: map[string][]string{"mon": nil}}, `zone: has no time zone "+02:00"`},
	} {
		_, err := New(c.spec)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

func TestNew_IsBounded(t *testing.T) {
	minutes := make([]string, 25)
	for i := range minutes {
		minutes[i] = fmt.Sprintf("%02d:%02d-%02d:%02d", i/2, i%2*30, i/2, i%2*30+15)
	}
	most := days("UTC", minutes[:24]...)
	for i := range MaxHolidays {
		most.Holidays = append(most.Holidays, Holiday{Date: fmt.Sprintf("%d-%02d-%02d", 2000+i/300, i/25%12+1, i%25+1), Hours: minutes[:24]})
	}
	if _, err := New(most); err != nil {
		t.Errorf("a calendar at its bounds: %v", err)
	}
	for what, s := range map[string]Spec{
		"hours.mon-sun: has 25 intervals": days("UTC", minutes...),
		"holidays: has 1001 dates":        {Zone: "UTC", Hours: most.Hours, Holidays: append(slices.Clone(most.Holidays), Holiday{Date: "2026-01-01"})},
	} {
		if _, err := New(s); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %s", err, what)
		}
	}
	hostile := Spec{Zone: strings.Repeat("x", 1<<20), Hours: map[string][]string{}}
	for i := range 10_000 {
		hostile.Hours[strings.Repeat("y", 1000)+fmt.Sprint(i)] = nil
	}
	_, err := New(hostile)
	var problems *Error
	if !errors.As(err, &problems) || len(problems.Problems) != maxProblems || len(err.Error()) > 20_000 {
		t.Errorf("10,001 problems are told in %d bytes", len(err.Error()))
	}
}

// The order of a map does not show: files are read again by a replay, and their messages are compared.
func TestNew_IsTheSameEveryTime(t *testing.T) {
	spec := Spec{Zone: "UTC", Hours: map[string][]string{"mon-fri": nil, "mon": nil, "fri": nil, "x": nil, "y": nil, "wed-sun": nil}}
	_, first := New(spec)
	for range 100 {
		if _, err := New(spec); err.Error() != first.Error() {
			t.Fatalf("once\n%v\nand once\n%v", first, err)
		}
	}
}
