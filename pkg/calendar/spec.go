package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/zone"
)

// Spec is a calendar as a file writes it.
type Spec struct {
	// Zone is an IANA name that pkg/zone has.
	Zone string
	// Hours are intervals of local time such as 09:00-17:30, by day (mon, tue, wed, thu, fri, sat, sun) or range of days (mon-fri). A
	// day stands in one key only; one that stands in none, or has an empty list, is closed. An interval ends at 24:00 at the latest.
	Hours map[string][]string
	// Holidays are dates with hours of their own, whatever their weekday.
	Holidays []Holiday
}

// Holiday is a date, as 2026-12-24, and its hours; it is closed all day if there are none.
type Holiday struct {
	Date  string
	Hours []string
}

// Bounds of a Spec.
const (
	MaxHolidays  = 1000
	maxIntervals = 24  // of a day
	maxProblems  = 100 // that New reports
)

// Problem is one thing that is wrong with a Spec.
type Problem struct {
	Path    string // of the value: zone, hours.mon-fri[1], holidays[3].date
	Message string // what is wrong and what to write instead
}

// Error is what New found wrong: at least one problem, in the order zone, hours by weekday, holidays, and at most a hundred.
type Error struct{ Problems []Problem }

// Error lists all problems.
func (e *Error) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Path + ": " + p.Message
	}
	return "calendar: " + strings.Join(texts, "; ")
}

// New checks a Spec and makes a calendar of it. What is wrong with the Spec is an *Error; any other error is the machine's.
func New(s Spec) (*Calendar, error) {
	r := &reader{cal: &Calendar{holidays: map[int64][]interval{}}}
	if err := r.zone(s.Zone); err != nil {
		return nil, err
	}
	r.hours(s.Hours)
	r.holidays(s.Holidays)
	if len(r.problems) > 0 {
		return nil, &Error{Problems: r.problems}
	}
	return r.cal, nil
}

type reader struct {
	cal      *Calendar
	problems []Problem
}

func (r *reader) problem(path, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{path, fmt.Sprintf(format, args...)})
	}
}

func (r *reader) zone(name string) error {
	loc, err := zone.Load(name)
	switch {
	case name == "":
		r.problem("zone", "is missing; write an IANA name such as America/New_York")
	case errors.Is(err, zone.ErrUnknown):
		instead := "write an IANA name such as America/New_York"
		for _, known := range slices.Sorted(slices.Values(zone.Names())) {
			if strings.EqualFold(known, strings.ReplaceAll(name, " ", "_")) {
				instead = "write " + known
			}
		}
		r.problem("zone", "has no time zone %s; %s", quote(name), instead)
	case err != nil:
		return err
	}
	r.cal.loc = loc
	return nil
}

var dayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// dayKey is a key of Hours, with the days that it names.
type dayKey struct {
	text        string
	first, last int    // Monday is 0
	problem     string // why it names no days
}

func (r *reader) hours(hours map[string][]string) {
	if len(hours) == 0 {
		r.problem("hours", `is missing; write for example {mon-fri: ["09:00-17:00"]}, or {mon-sun: []} if only holidays have hours`)
		return
	}
	var keys []dayKey
	for text := range maps.Keys(hours) {
		keys = append(keys, parseDays(text))
	}
	slices.SortFunc(keys, func(a, b dayKey) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last), strings.Compare(a.text, b.text))
	})
	var takenBy [7]string
	for _, k := range keys {
		path := "hours." + k.text
		if k.problem != "" {
			r.problem("hours."+pathKey(k.text), "%s", k.problem)
			continue
		}
		intervals := r.intervals(path, hours[k.text])
		for day := k.first; day <= k.last; day++ {
			if takenBy[day] != "" {
				r.problem(path, "names %s, which %s has named; each day stands once", dayNames[day], takenBy[day])
				break
			}
			takenBy[day], r.cal.week[day] = k.text, intervals
			for _, i := range intervals {
				r.cal.total += int64(i.to-i.from) * 60
			}
		}
	}
}

// pathKey is a key as it stands in a path; one that could be taken for more than a key is quoted.
func pathKey(key string) string {
	if key != "" && len(key) <= 40 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == "" {
		return key
	}
	return quote(key)
}

// parseDays reads mon or mon-fri. Keys that name no days sort last.
func parseDays(text string) dayKey {
	k := dayKey{text: text, first: len(dayNames), last: len(dayNames)}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, last := slices.Index(dayNames, from), slices.Index(dayNames, to)
	switch {
	case first < 0 || last < 0:
		k.problem = "is no day; days are mon, tue, wed, thu, fri, sat, sun and ranges such as mon-fri"
		if short := shortDays(from, to, isRange); short != "" {
			k.problem = "is no day; write " + short
		}
	case isRange && first == last:
		k.problem = "is a range of one day; write " + from
	case first > last:
		tail := dayNames[0] + "-" + to
		if last == 0 {
			tail = to
		}
		head := from + "-" + dayNames[6]
		if first == 6 {
			head = from
		}
		k.problem = fmt.Sprintf("goes over the end of the week, which is sun; write %s and %s", head, tail)
	default:
		k.first, k.last = first, last
	}
	return k
}

// shortDays is how a day or range that is spelt out or capitalised is to be written, or "".
func shortDays(from, to string, isRange bool) string {
	short := func(s string) string {
		s = strings.ToLower(strings.TrimSpace(s))
		for _, d := range dayNames {
			if strings.HasPrefix(s, d) && len(s) <= len("wednesday") && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "" {
				return d
			}
		}
		return ""
	}
	a, b := short(from), short(to)
	switch {
	case a == "" || b == "":
		return ""
	case isRange:
		return a + "-" + b
	default:
		return a
	}
}

// intervals reads the intervals of a day, each apart from the others.
func (r *reader) intervals(path string, texts []string) []interval {
	if len(texts) > maxIntervals {
		r.problem(path, "has %d intervals, a day has at most %d", len(texts), maxIntervals)
		return nil
	}
	var out []interval
	for i, text := range texts {
		at := path + "[" + strconv.Itoa(i) + "]"
		in, why := parseInterval(text)
		if why != "" {
			r.problem(at, "%s", why)
			continue
		}
		for _, o := range out {
			if in.from < o.to && o.from < in.to {
				r.problem(at, "%s overlaps %s; write intervals that do not share a minute", in, o)
				break
			}
		}
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
	return out
}

// parseInterval reads 09:00-17:30; the second result says what is wrong.
func parseInterval(text string) (interval, string) {
	from, to, ok := strings.Cut(text, "-")
	if !ok || strings.Contains(to, "-") {
		return interval{}, quote(text) + " is no interval; write for example 09:00-17:30, with a hyphen"
	}
	var in interval
	var err error
	if in.from, err = parseClock(from); err != nil {
		return interval{}, quote(from) + " " + err.Error()
	}
	if in.to, err = parseClock(to); err != nil {
		return interval{}, quote(to) + " " + err.Error()
	}
	switch {
	case in.from == dayMinutes:
		return interval{}, quote(text) + " begins at the end of a day; write 00:00 on the next day"
	case in.from == in.to && in.from == 0:
		return interval{}, quote(text) + " is empty; write 00:00-24:00 for the whole day"
	case in.from == in.to:
		return interval{}, quote(text) + " is empty; leave it out, or write an end after its begin"
	case in.to == 0:
		return interval{}, fmt.Sprintf("%s ends before it begins; write %s-24:00 to go on until midnight", quote(text), from)
	case in.from > in.to:
		return interval{}, fmt.Sprintf("%s goes over midnight; write %s-24:00 on this day and 00:00-%s on the next", quote(text), from, to)
	}
	return in, ""
}

// String is HH:MM-HH:MM.
func (i interval) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", i.from/60, i.from%60, i.to/60, i.to%60)
}

func (r *reader) holidays(holidays []Holiday) {
	if len(holidays) > MaxHolidays {
		r.problem("holidays", "has %d dates, more than %d", len(holidays), MaxHolidays)
		return
	}
	index := map[int64]int{}
	for i, h := range holidays {
		path := "holidays[" + strconv.Itoa(i) + "]"
		intervals := r.intervals(path+".hours", h.Hours)
		day, why := parseDate(h.Date)
		if why != "" {
			r.problem(path+".date", "%s", why)
			continue
		}
		if first, twice := index[day]; twice {
			r.problem(path+".date", "%s stands in holidays[%d] already; write all its hours there", h.Date, first)
			continue
		}
		index[day], r.cal.holidays[day] = i, intervals
	}
	r.cal.dates = slices.Sorted(maps.Keys(r.cal.holidays))
}

// parseDate reads a date as days since 1 January 1970.
func parseDate(text string) (day int64, why string) {
	if text == "" {
		return 0, "is missing; write a date such as 2026-12-24"
	}
	t, err := time.Parse(time.DateOnly, text)
	switch {
	case err == nil && t.Year() < 1900:
		return 0, text + " is before 1900"
	case err == nil:
		return floorDiv(t.Unix(), daySeconds), ""
	case strings.HasSuffix(err.Error(), "out of range"):
		return 0, quote(text) + " does not exist"
	default:
		return 0, quote(text) + " is no date; write year, month and day such as 2026-12-24"
	}
}
