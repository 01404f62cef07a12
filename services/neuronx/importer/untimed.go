package importer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// untimed counts an input's events without a time, by type. What has none happened when it was recorded: the row of an old export would
// overwrite the status and the address that came meanwhile, as if it were news.
type untimed struct {
	types   map[string]int64
	guessed int64 // events with a time that has no offset, where the spec names no zone
}

func (u *untimed) see(e *Event) {
	if e.Time == "" {
		u.types[e.Type]++
	}
	if e.guessed {
		u.guessed++
	}
}

// tell says how many there are, and what to do.
func (u *untimed) tell(file string, note func(format string, args ...any)) {
	for _, typ := range slices.Sorted(maps.Keys(u.types)) {
		note("%s: %d of %s without a time: they count as of now, over what was recorded meanwhile; give them one (time: …), such as that of the export", file, u.types[typ], typ)
	}
	if u.guessed > 0 {
		note("%s: %s with a time that has no offset, read as UTC because the spec names no zone; say whose clock it is (zone: Europe/Berlin, or zone: UTC)",
			file, events(u.guessed))
	}
}

func events(n int64) string {
	if n == 1 {
		return "1 event"
	}
	return strconv.FormatInt(n, 10) + " events"
}

// unread notes the columns that no expression reads: one that was forgotten is lost in silence otherwise.
func unread(in Input, header []string, note func(format string, args ...any)) {
	var left []string
	names := in.Columns()
	for _, h := range header {
		if h != "" && !slices.Contains(names, h) {
			left = append(left, strconv.Quote(h))
		}
	}
	more := ""
	if n := len(left) - maxUnread; n > 0 {
		left, more = left[:maxUnread], fmt.Sprintf(" and %d more", n)
	}
	if len(left) > 0 {
		note("%s: no expression of the spec reads %s%s", in.File, strings.Join(left, ", "), more)
	}
}

const maxUnread = 20

// neverTimed notes before anything is sent the types of an input that the spec gives no time.
func (in Input) neverTimed(note func(format string, args ...any)) {
	for i := range in.Events {
		if m := &in.Events[i]; m.time == nil {
			note("%s: the spec gives %s no time; such events count as of now, over what is newer than the file", in.File, m.Type)
		}
	}
}
