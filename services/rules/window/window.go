// Package window counts what happened to a subject lately: how many events, and how many different values they had, within a length of time
// that ends now. Time is the position time of the log, so a replay counts the same.
//
// A window is cut into Buckets parts of equal length, and an event leaves it together with all others of its part: what is counted lies
// between 59/60 of the window's length and the whole of it. Of different values the last MaxDistinct are kept, as hashes: Values tells at
// most so many, and up to there exactly.
//
// All functions are pure; a State is not modified.
package window

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Bounds of a window.
const (
	Buckets     = 60
	MaxDistinct = 256
	Shortest    = time.Minute
	Longest     = 400 * 24 * time.Hour
)

// State is what is kept of a window of one subject.
type State struct {
	Of     string     `json:"of"`               // what was counted: see Def. A window that is defined otherwise begins at nothing
	Counts [][2]int64 `json:"counts,omitempty"` // number of a bucket, and of its events; ascending
	Seen   [][2]int64 `json:"seen,omitempty"`   // hash of a value, and the bucket that it was seen in last; those that were seen last stand last
}

// States are the windows of one subject, by name.
type States map[string]State

// Values are what a window holds at a time.
type Values struct {
	Count    int64
	Distinct int64   // at most MaxDistinct
	Rate     float64 // events an hour, over the whole length of the window
}

// Def names a definition: windows of the same texts and length count the same.
func Def(over time.Duration, texts ...string) string {
	h := sha256.New()
	for _, s := range texts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(over)))
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

// bucket is the number of the bucket of a time.
func bucket(now time.Time, over time.Duration) int64 {
	return now.UnixMilli() / max(1, over.Milliseconds()/Buckets)
}

// Hash is what is kept of a value of a tenant; v is what an expression gives.
func Hash(tenant string, v any) (int64, error) {
	b, err := json.Marshal([]any{tenant, fmt.Sprintf("%T", v), v})
	if err != nil {
		return 0, fmt.Errorf("hash a value: %w", err)
	}
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:8])), nil
}

// Add counts an event at a time. of is the window's definition; seen are the hashes of its values, none or one.
func (s State) Add(of string, over time.Duration, now time.Time, seen ...int64) State {
	if s.Of != of {
		s = State{}
	}
	at := bucket(now, over)
	if n := len(s.Counts); n > 0 {
		at = max(at, s.Counts[n-1][0]) // times of the log never go back
	}
	next := State{Of: of, Counts: within(s.Counts, 0, at), Seen: within(s.Seen, 1, at)}
	if n := len(next.Counts); n > 0 && next.Counts[n-1][0] == at {
		next.Counts[n-1][1]++
	} else {
		next.Counts = append(next.Counts, [2]int64{at, 1})
	}
	for _, hash := range seen {
		next.Seen = slices.DeleteFunc(next.Seen, func(x [2]int64) bool { return x[0] == hash })
		next.Seen = append(next.Seen, [2]int64{hash, at})
	}
	next.Seen = next.Seen[max(0, len(next.Seen)-MaxDistinct):]
	return next
}

// within copies what lies in the window that ends with a bucket; which says where the number of the bucket stands.
func within(list [][2]int64, which int, at int64) [][2]int64 {
	out := make([][2]int64, 0, len(list)+1)
	for _, x := range list {
		if x[which] > at-Buckets {
			out = append(out, x)
		}
	}
	return out
}

// At tells what the window holds at a time.
func (s State) At(of string, over time.Duration, now time.Time) (v Values) {
	if s.Of != of {
		return v
	}
	at := bucket(now, over)
	for _, x := range within(s.Counts, 0, at) {
		v.Count += x[1]
	}
	v.Distinct = int64(len(within(s.Seen, 1, at)))
	v.Rate = float64(v.Count) / over.Hours()
	return v
}

// Join is what both windows hold. Of two that count other things, the second one stays.
func Join(a, b State) State {
	if a.Of != b.Of {
		return b
	}
	out := State{Of: b.Of}
	counts := slices.Concat(a.Counts, b.Counts)
	slices.SortFunc(counts, func(x, y [2]int64) int { return cmp.Compare(x[0], y[0]) })
	for _, x := range counts {
		if n := len(out.Counts); n > 0 && out.Counts[n-1][0] == x[0] {
			out.Counts[n-1][1] += x[1]
		} else {
			out.Counts = append(out.Counts, x)
		}
	}
	out.Counts = out.Counts[max(0, len(out.Counts)-Buckets):]
	seen := slices.Concat(a.Seen, b.Seen)
	slices.SortFunc(seen, func(x, y [2]int64) int { return cmp.Or(cmp.Compare(x[1], y[1]), cmp.Compare(x[0], y[0])) })
	for i, x := range seen {
		if !slices.ContainsFunc(seen[i+1:], func(y [2]int64) bool { return y[0] == x[0] }) {
			out.Seen = append(out.Seen, x)
		}
	}
	out.Seen = out.Seen[max(0, len(out.Seen)-MaxDistinct):]
	return out
}

// JoinAll joins windows by name.
func JoinAll(a, b States) States {
	out := States{}
	for name, s := range a {
		out[name] = s
	}
	for name, s := range b {
		if other, both := out[name]; both {
			s = Join(other, s)
		}
		out[name] = s
	}
	return out
}
