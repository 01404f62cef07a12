package effects

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
)

// fact is a lead.updated that happened at a time; answer a command that a rule made of it.
func (r *rig) fact(lead string, at time.Time) event.Recorded {
	e := r.event(tenant, "lead.updated", "lead/"+lead, map[string]any{"lead_id": lead})
	e.Time = at
	return e
}

func (r *rig) answer(cause event.Recorded, lead string, fields map[string]any) event.Recorded {
	e := r.change(lead, fields)
	e.CausationID, e.Deriver, e.Time = cause.ID, "rules", cause.RecordedTime
	return e
}

func TestUpdate_AFactThatComesLateIsNotWrittenOverANewerOne(t *testing.T) {
	r := newRigWithLag(t, -1)
	r.connect(tenant, "send")
	r.run(r.worker())
	noon := r.now.Add(-6 * time.Hour)
	say := func(at time.Time, fields map[string]any) effectEnd {
		cause := r.fact("l1", at)
		hop := r.event(tenant, "lead.scored", "lead/l1", map[string]any{"lead_id": "l1", "score": 5})
		hop.CausationID, hop.Deriver, hop.Time = cause.ID, "rules", cause.RecordedTime
		cmd := r.answer(hop, "l1", fields)
		r.apply(cause, hop, cmd)
		end := effectEnd{code: r.waitStatus(cmd.ID, crm.Done).Code}
		if end.code == "" {
			end.detail = r.attemptDetail(cmd.ID)
		}
		return end
	}
	say(noon, map[string]any{"email": "ann@example.com", "phone": "+15550100001", "first_name": "Ann"})
	say(noon.Add(2*time.Hour), map[string]any{"phone": "+15550100002"})
	say(noon.Add(3*time.Hour), map[string]any{"first_name": "Ann"}) // changes nothing, and is newer all the same
	late := say(noon.Add(time.Hour), map[string]any{"phone": "+15550100003", "first_name": "Anne", "last_name": "Lee"})
	if f := r.byEmail("ann@example.com").Fields; f["phone"] != "+15550100002" || f["firstName"] != "Ann" || f["lastName"] != "Lee" {
		t.Errorf("the contact holds what was true before: %v", f)
	}
	if !strings.Contains(late.detail, "firstName, phone") {
		t.Errorf("the attempt does not say what was left out: %+v", late)
	}
	if later := say(noon.Add(time.Hour), map[string]any{"phone": ""}); later.code != crm.CodeSuperseded {
		t.Errorf("%+v", later)
	}
	if f := r.byEmail("ann@example.com").Fields; f["phone"] != "+15550100002" {
		t.Errorf("an older fact emptied a newer one: %v", f)
	}
	say(noon.Add(2*time.Hour), map[string]any{"phone": "+15550100004"}) // of two at one time the later in the log counts
	if f := r.byEmail("ann@example.com").Fields; f["phone"] != "+15550100004" {
		t.Errorf("%v", f)
	}
	say(r.now.Add(time.Hour), map[string]any{"phone": "+15550100005"}) // a clock that is ahead reserves no field
	say(time.Time{}, map[string]any{"phone": "+15550100006"})
	if f := r.byEmail("ann@example.com").Fields; f["phone"] != "+15550100006" {
		t.Errorf("%v", f)
	}
}

type effectEnd struct{ code, detail string }

// causes is an archive of a few events.
type causes map[string]event.Recorded

func (c causes) ByID(_ context.Context, _, id string) (event.Recorded, error) {
	if e, is := c[id]; is {
		return e, nil
	}
	return event.Recorded{}, archive.ErrNotFound
}

func TestFactTimes_FollowTheCausesThroughTheArchiveWhatWasNotReadNow(t *testing.T) {
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	recorded := func(id, cause, deriver string, happened time.Time) event.Recorded {
		return event.Recorded{Event: event.Event{TenantID: "a", ID: id, CausationID: cause, Deriver: deriver, Time: happened}, RecordedTime: at.Add(time.Hour)}
	}
	old := causes{"fact": recorded("fact", "", "", at), "hop": recorded("hop", "fact", "rules", at.Add(time.Hour)), "loop": recorded("loop", "loop", "rules", at)}
	for name, c := range map[string]struct {
		e    event.Recorded
		want time.Time
	}{
		"a fact":                              {recorded("x", "", "", at), at},
		"a fact without a time":               {recorded("x", "", "", time.Time{}), at.Add(time.Hour)},
		"a fact of tomorrow":                  {recorded("x", "", "", at.Add(24*time.Hour)), at.Add(time.Hour)},
		"a command, two hops away":            {recorded("x", "hop", "rules", at.Add(time.Hour)), at},
		"an unknown cause":                    {recorded("x", "gone", "rules", at.Add(30*time.Minute)), at.Add(30 * time.Minute)},
		"a claim of a cause by a producer":    {recorded("x", "hop", "", at.Add(30*time.Minute)), at.Add(30 * time.Minute)},
		"what is sent for a dead letter":      {recorded("x", "fact", "deadletter", at.Add(30*time.Minute)), at.Add(30 * time.Minute)},
		"an event that is its own cause ends": {recorded("x", "loop", "rules", at), at},
	} {
		f := factTimes{archive: old}
		f.see(&c.e)
		if got, err := f.of(context.Background(), &c.e); err != nil || !got.Equal(c.want) {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
}

// counted is an archive that counts what it is asked.
type counted struct {
	causes
	asked int
}

func (c *counted) ByID(ctx context.Context, tenant, id string) (event.Recorded, error) {
	c.asked++
	return c.causes.ByID(ctx, tenant, id)
}

// All tenants wait for a batch. What another tenant's rules derive late must not cost it a look into the archive an event.
func TestFactTimes_AskTheArchiveForCommandsOnlyAndOnceACause(t *testing.T) {
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	derivedOf := func(id, cause string) *event.Recorded {
		return &event.Recorded{Event: event.Event{TenantID: "a", ID: id, CausationID: cause, Deriver: "rules", Time: at.Add(time.Hour)}, RecordedTime: at.Add(2 * time.Hour)}
	}
	old := &counted{causes: causes{"fact": {Event: event.Event{TenantID: "a", ID: "fact", Time: at}, RecordedTime: at}}}
	f := factTimes{archive: old}
	for i := range 100 {
		f.see(derivedOf(fmt.Sprint("late-", i), "fact"))
	}
	if old.asked != 0 {
		t.Fatalf("the archive was asked %d times for events that are no commands", old.asked)
	}
	f.see(derivedOf("hop", "fact")) // the archive does not have it yet, and need not
	for i := range 16 {
		cmd := derivedOf(fmt.Sprint("command-", i), "hop")
		f.see(cmd)
		if got, err := f.of(t.Context(), cmd); err != nil || !got.Equal(at) {
			t.Errorf("%s %v, want the time of the fact", got, err)
		}
	}
	if old.asked != 1 {
		t.Errorf("the archive was asked %d times for one cause", old.asked)
	}
}

// What is remembered is bounded: the older half goes at once, and the newer one is still known.
func TestFactTimes_RememberAsManyEventsTwiceAndNoMore(t *testing.T) {
	f := factTimes{}
	see := func(n int) {
		f.see(&event.Recorded{Event: event.Event{TenantID: "a", ID: fmt.Sprint(n)}, RecordedTime: time.UnixMicro(int64(n))})
	}
	for n := range remembered {
		see(n)
	}
	if len(f.now) != remembered || len(f.before) != 0 {
		t.Errorf("%d and %d are remembered", len(f.now), len(f.before))
	}
	for n := range remembered + 1 {
		see(remembered + n)
	}
	if len(f.now) != 1 || len(f.before) != remembered {
		t.Errorf("%d and %d are remembered", len(f.now), len(f.before))
	}
	for n, known := range map[int]bool{0: false, remembered - 1: false, remembered: true, 2 * remembered: true} {
		o := f.known(&event.Recorded{Event: event.Event{TenantID: "a", ID: "x", CausationID: fmt.Sprint(n), Deriver: "rules"}, RecordedTime: time.UnixMicro(1 << 40)})
		if (o.cause == "") != known || known && o.at != int64(n) {
			t.Errorf("of %d is known %+v", n, o)
		}
	}
}

// away is an archive that can't be asked.
type away struct{}

func (away) ByID(context.Context, string, string) (event.Recorded, error) {
	return event.Recorded{}, errors.New("the archive is away")
}

// Without the archive it is not known when a fact happened, and a command that guessed might write over a newer one.
func TestFactTimes_TellThatTheArchiveIsAway(t *testing.T) {
	f := factTimes{archive: away{}}
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	e := event.Recorded{Event: event.Event{TenantID: "a", ID: "x", CausationID: "hop", Deriver: "rules", Time: at}, RecordedTime: at}
	if got, err := f.of(t.Context(), &e); err == nil || !got.IsZero() {
		t.Errorf("%s, %v", got, err)
	}
}
