package importer

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Years that a time of business may have; others are slips, such as 0026 for 2026, or 20260 for 2026.
const (
	firstYear = 1900
	lastYear  = 2199
)

// zoned are layouts of times that say their offset, local those that get the input's zone.
var (
	zoned = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00"}
	local = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"}
)

var (
	dayNumber = regexp.MustCompile(`^[0-9]{5}([.,][0-9]+)?$`)
	slashes   = regexp.MustCompile(`^[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}`)
)

// parseTime takes CEL timestamps, text with an offset (RFC 3339), and local times in the input's zone; a date alone is that day's
// beginning there. An empty text is no time, which is the zero one. What a clock in the zone never shows, or shows twice, is refused.
func parseTime(v any, zone *time.Location) (time.Time, error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return sane(v, v.Format(time.RFC3339))
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		t, err := textTime(v, zone)
		if err != nil {
			return time.Time{}, err
		}
		return sane(t, v)
	}
	return time.Time{}, fmt.Errorf("must be a time or text, not %T", v)
}

// offsetless reports whether a value that parseTime takes is a time of the input's zone, for want of an offset.
func offsetless(v any) bool {
	s, ok := v.(string)
	return ok && s != "" && !slices.ContainsFunc(zoned, func(layout string) bool {
		_, err := time.Parse(layout, s)
		return err == nil
	})
}

func sane(t time.Time, said string) (time.Time, error) {
	if y := t.Year(); y < firstYear || y > lastYear {
		return time.Time{}, fmt.Errorf("%.40q is in the year %d; %d to %d are possible", said, y, firstYear, lastYear)
	}
	return t.UTC(), nil
}

func textTime(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range zoned {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range local {
		if wall, err := time.Parse(layout, s); err == nil {
			return atWall(wall, zone, s)
		}
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return beginning(day, zone, s)
	}
	why := ""
	switch {
	case dayNumber.MatchString(s):
		why = "; it looks like the number of a day in a spreadsheet: format the column as yyyy-mm-dd before the export"
	case slashes.MatchString(s):
		why = "; which number is the month can't be known: export it as yyyy-mm-dd"
	}
	return time.Time{}, fmt.Errorf("%.40q is not a time: RFC 3339, yyyy-mm-dd hh:mm[:ss], or yyyy-mm-dd%s", s, why)
}

// instants are the moments at which a clock in the zone shows what wall shows in UTC: one, or none or two where it is put forward or back.
func instants(wall time.Time, zone *time.Location) (out []time.Time) {
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if _, there := at.In(zone).Zone(); there == offset && (len(out) == 0 || !out[0].Equal(at)) {
			out = append(out, at)
		}
	}
	return out
}

func atWall(wall time.Time, zone *time.Location, said string) (time.Time, error) {
	at := instants(wall, zone)
	switch len(at) {
	case 1:
		return at[0], nil
	case 0:
		return time.Time{}, fmt.Errorf("%.40q does not exist in %s, where clocks were put forward over it", said, zone)
	}
	return time.Time{}, fmt.Errorf("%.40q exists twice in %s, where clocks were put back: write %s or %s", said, zone,
		at[0].In(zone).Format(time.RFC3339), at[1].In(zone).Format(time.RFC3339))
}

// beginning is the first moment of a day, which is not always midnight.
func beginning(day time.Time, zone *time.Location, said string) (time.Time, error) {
	if at := instants(day, zone); len(at) > 0 {
		return at[0], nil
	}
	_, change := day.Add(-24 * time.Hour).In(zone).ZoneBounds()
	if y, m, d := change.Date(); y == day.Year() && m == day.Month() && d == day.Day() {
		return change, nil
	}
	return time.Time{}, fmt.Errorf("%.40q does not exist in %s, which left that day out", said, zone)
}
