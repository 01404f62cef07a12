package importer

import (
	"maps"
	"slices"
)

// untimed counts an input's events without a time, by type. What has none happened when it was recorded: the row of an old export would
// overwrite the status and the address that came meanwhile, as if it were news.
type untimed map[string]int64

func (u untimed) see(e *Event) {
	if e.Time == "" {
		u[e.Type]++
	}
}

// tell says how many there are, and what to do.
func (u untimed) tell(file string, note func(format string, args ...any)) {
	for _, typ := range slices.Sorted(maps.Keys(u)) {
		note("%s: %d of %s without a time: they count as of now, over what was recorded meanwhile; give them one (time: …), such as that of the export", file, u[typ], typ)
	}
}

// neverTimed notes before anything is sent the types of an input that the spec gives no time.
func (in Input) neverTimed(note func(format string, args ...any)) {
	for i := range in.Events {
		if m := &in.Events[i]; m.time == nil {
			note("%s: the spec gives %s no time; such events count as of now, over what is newer than the file", in.File, m.Type)
		}
	}
}
