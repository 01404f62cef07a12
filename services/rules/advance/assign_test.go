package advance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

// asked counts what is asked of calendars that are closed.
type asked struct {
	days
	open, next *int
}

type askedHours struct {
	reach.Hours
	of asked
}

func (a asked) Hours(name string, in *time.Location) (reach.Hours, bool) {
	h, known := a.days.Hours(name, in)
	return askedHours{h, a}, known
}

func (h askedHours) Open(t time.Time) bool { *h.of.open++; return h.Hours.Open(t) }

func (h askedHours) NextOpen(t time.Time) (time.Time, bool) { *h.of.next++; return h.Hours.NextOpen(t) }

// crowd is a pool of members who share two calendars, both closed at noon.
func crowd(n int) (p Pool) {
	for i := range n {
		p.Members = append(p.Members, pool.Member{Name: fmt.Sprint("m", i), Weight: 1})
		p.Hours = append(p.Hours, []string{"night", "dawn"}[i%2])
	}
	return p
}

func TestPool_AsksEachCalendarOnceHoweverManyMembersShareIt(t *testing.T) {
	var open, next int
	calendars := asked{days{"night": {0, 1}, "dawn": {5, 6}}, &open, &next}
	p := crowd(5_000)
	members := p.At(began, calendars)
	if open != 2 || !members[0].Closed || !members[4_999].Closed {
		t.Errorf("calendars were asked %d times for 5,000 members of two", open)
	}
	pick := p.Tell("sales", members, nil, "", began, calendars)
	if next != 0 {
		t.Errorf("a pick that nobody looks at looked %d times for an opening", next)
	}
	if got, want := pick.Opens(1), began.Add(17*time.Hour); !got.Equal(want) {
		t.Errorf("the second member opens at %s, want %s", got, want)
	}
}

// What a pick goes through says how long others wait for it.
func TestAssign_CountsTheMembersAndExceptionsThatItGoesThrough(t *testing.T) {
	pick := func(except string) uint64 {
		a := &flow.Assign{Pool: "sales", As: "owner", Or: x(`"queue"`)}
		if except != "" {
			a.Except = x(except)
		}
		r := newRig(t, program(task("a", a)))
		r.env.Calendars = days{"night": {0, 1}, "dawn": {5, 6}}
		r.env.Pools = map[string]Pool{"sales": crowd(1_000)}
		r.start()
		r.is(Completed, "end", "")
		return r.last.Cost
	}
	list := `["` + strings.Repeat(`x", "`, 400) + `x"]`
	none, some := pick(""), pick(list)
	if none < 1_000 || some < none+400 {
		t.Errorf("a pick of 1,000 members costs %d units, and with 401 exceptions %d", none, some)
	}
}

func TestAssign_ChargesForPoolsOfThousandsAndNoOthers(t *testing.T) {
	for members, want := range map[int]Status{freeMembers: Completed, 5_000: InTrouble} {
		var do []*flow.Task
		for i := range 199 {
			do = append(do, task(fmt.Sprint("a", i), &flow.Assign{Pool: "sales", As: "owner"}))
		}
		r := newRig(t, program(do...))
		p := crowd(members)
		p.Hours = nil
		r.env.Pools = map[string]Pool{"sales": p}
		r.start()
		if r.in.Status != want || want == InTrouble && r.in.Tokens[0].Incident.Code != errLimit || r.last.Cost > 200_000 {
			t.Errorf("199 picks of %d members: %s for %d units, %+v", members, r.in.Status, r.last.Cost, r.in.Tokens)
		}
	}
}
