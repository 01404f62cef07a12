package pace

import "time"

// Day watches what is left of an account's day. The zero value knows nothing.
type Day struct {
	marks []mark    // every five minutes of the last hour since the reset, oldest first, and the newest
	reset time.Time // when the budget was last seen to be whole again; zero: never
}

type mark struct {
	at   time.Time
	left int
}

const (
	markEvery = 5 * time.Minute
	rateOver  = time.Hour
	jump      = 100 // more left than before by so much is the next day; by less, an answer that overtook another one
	wholeDay  = 24 * time.Hour
)

// Learn notes what an answer says is left today; a negative number is none.
func (d *Day) Learn(left int, now time.Time) {
	if left < 0 {
		return
	}
	n := len(d.marks)
	switch {
	case n > 0 && left > d.marks[n-1].left+jump:
		d.marks, d.reset = []mark{{now, left}}, now
	case n < 2 || d.marks[n-1].at.Sub(d.marks[n-2].at) >= markEvery:
		d.marks = append(d.marks, mark{now, left})
	default:
		d.marks[n-1] = mark{now, left}
	}
	for len(d.marks) > 2 && now.Sub(d.marks[1].at) >= rateOver {
		d.marks = d.marks[1:]
	}
}

// Exhausted forecasts when only the reserve is left: pending requests go as fast as the account allows, perSecond, and after them as many as in
// the last hour. false: not before the budget is whole again, or nothing is known yet.
func (d *Day) Exhausted(reserve, pending int, perSecond float64, now time.Time) (time.Duration, bool) {
	n := len(d.marks)
	if n == 0 {
		return 0, false
	}
	first, newest := d.marks[0], d.marks[n-1]
	whole := wholeDay
	if since := now.Sub(d.reset); since < wholeDay {
		whole -= since
	}
	left := float64(newest.left - reserve)
	if left <= 0 {
		return 0, true
	}
	backlog := min(float64(pending), left)
	in := backlog / perSecond
	if left -= backlog; left > 0 {
		took := now.Sub(first.at)
		used := float64(first.left - newest.left)
		if took < markEvery || used <= 0 {
			return 0, false
		}
		in += left / (used / took.Seconds())
	}
	if in >= whole.Seconds() {
		return 0, false
	}
	return time.Duration(in * float64(time.Second)), true
}
