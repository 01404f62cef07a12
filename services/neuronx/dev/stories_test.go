package dev

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

func TestStories_TellsAnInstanceFromItsStartToItsEnd(t *testing.T) {
	var s stories
	note := func(typ, cause string, data map[string]any) {
		s.admitted(&event.Recorded{Event: event.Event{Type: typ, CausationID: cause}}, data)
	}
	of := func(more map[string]any) map[string]any {
		more["workflow"], more["key"] = "call-back", "42"
		return more
	}
	due := time.Date(2026, 3, 2, 14, 1, 0, 0, time.Local)
	note("workflow.started", "", of(map[string]any{"at": []any{"minute"}, "due": due, "decisions": []any{map[string]any{"kind": "assign", "value": "ann"}}, "emitted": []any{"e1"}}))
	note("workflow.advanced", "", of(map[string]any{"at": []any{"tag"}, "decisions": []any{map[string]any{"kind": "assign", "value": "bob"}}, "emitted": []any{"c1"}}))
	note("crm.contact.tag.succeeded", "c1", map[string]any{})
	note("crm.contact.tag.failed", "c1", map[string]any{"code": "rejected"})
	note("crm.contact.tag.succeeded", "of a rule", map[string]any{})
	note("lead.scored", "c1", map[string]any{})
	note("workflow.started", "", nil) // of an earlier run
	note("workflow.completed", "", of(map[string]any{"outcome": "answered", "at": []any{}, "emitted": []any{}}))
	want := `call-back of 42: started, assigned to ann, waits at minute until 14:01:00
call-back of 42: goes on, assigned to bob, waits at tag
call-back of 42: the CRM has carried out crm.contact.tag
call-back of 42: the CRM has refused crm.contact.tag, rejected
call-back of 42: completed, answered`
	if got := strings.Join(s.untold(), "\n"); got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
	if len(s.untold()) != 0 {
		t.Error("a line is told twice")
	}
	if got := s.latest(); len(got) != 5 {
		t.Errorf("the view shows %d lines", len(got))
	}
}

func TestStories_ForgetsTheOldest(t *testing.T) {
	var s stories
	for i := range 3 * keptStories {
		s.admitted(&event.Recorded{Event: event.Event{Type: "workflow.started"}}, map[string]any{"workflow": "w", "key": fmt.Sprint(i), "emitted": []any{fmt.Sprint(i)}})
		if i == keptStories {
			s.untold()
		}
	}
	if len(s.lines) > keptStories || len(s.commands) > keptStories || len(s.order) > keptStories {
		t.Errorf("%d lines, %d commands, %d in order", len(s.lines), len(s.commands), len(s.order))
	}
	if got := s.untold(); len(got) != keptStories || got[len(got)-1] != fmt.Sprintf("w of %d: started", 3*keptStories-1) {
		t.Errorf("%d untold lines", len(got))
	}
}
