package calendar_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/zone"
)

func newYork() *time.Location {
	loc, err := zone.Load("America/New_York")
	if err != nil {
		log.Fatal(err)
	}
	return loc
}

// A day later and 24 hours later differ when clocks change in between.
func ExampleAdd() {
	loc := newYork()
	saturday := calendar.Resolve(2026, time.March, 7, 9, 0, 0, 0, loc)
	for _, text := range []string{"P1D", "PT24H", "P1M"} {
		d, err := calendar.ParseDuration(text)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(text, calendar.Add(saturday, d, loc).In(loc).Format("Mon 2 Jan 15:04 MST"))
	}
	// Output:
	// P1D Sun 8 Mar 09:00 EDT
	// PT24H Sun 8 Mar 10:00 EDT
	// P1M Tue 7 Apr 09:00 EDT
}

func ExampleParseDuration() {
	d, err := calendar.ParseDuration("P1Y2WT90M")
	fmt.Println(d, err)
	_, err = calendar.ParseDuration("P15M1H")
	fmt.Println(err)
	// Output:
	// P1Y14DT1H30M <nil>
	// duration "P15M1H" has H before the T; hours, minutes and seconds follow a T, as in PT15M
}

// Clocks skip 02:30 in spring and show 01:30 twice in autumn.
func ExampleResolve() {
	loc := newYork()
	fmt.Println(calendar.Resolve(2026, time.March, 8, 2, 30, 0, 0, loc).In(loc))
	fmt.Println(calendar.Resolve(2026, time.November, 1, 1, 30, 0, 0, loc).In(loc))
	// Output:
	// 2026-03-08 03:30:00 -0400 EDT
	// 2026-11-01 01:30:00 -0400 EDT
}

// Two minutes of office time are left on Friday; the other three pass on Saturday.
func ExampleCalendar_After() {
	office, err := calendar.New(calendar.Spec{
		Zone:     "America/New_York",
		Hours:    map[string][]string{"mon-fri": {"09:00-12:00", "13:00-17:30"}, "sat": {"10:00-14:00"}},
		Holidays: []calendar.Holiday{{Date: "2026-11-26"}, {Date: "2026-12-24", Hours: []string{"09:00-12:00"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	friday := calendar.Resolve(2026, time.March, 6, 17, 28, 0, 0, office.Zone())
	due, ok := office.After(friday, 5*time.Minute)
	fmt.Println(due.In(office.Zone()).Format("Mon 15:04"), ok)
	fmt.Println(office.Open(friday), office.Between(friday, due))
	// Output:
	// Sat 10:03 true
	// true 5m0s
}

// Each problem has the path of its value, so that a line of a file can be named.
func ExampleNew() {
	_, err := calendar.New(calendar.Spec{
		Zone:  "Europe/Berlin",
		Hours: map[string][]string{"mon-thu": {"09:00-12:00", "22:00-02:00"}, "thu-fri": {"09:00-15:00"}},
	})
	var problems *calendar.Error
	if errors.As(err, &problems) {
		for _, p := range problems.Problems {
			fmt.Println(p.Path, p.Message)
		}
	}
	// Output:
	// hours.mon-thu[1] "22:00-02:00" goes over midnight; write 22:00-24:00 on this day and 00:00-02:00 on the next
	// hours.thu-fri names thu, which mon-thu has named; each day stands once
}
