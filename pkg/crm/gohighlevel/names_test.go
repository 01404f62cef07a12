package gohighlevel

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

const twoAnns = `{"users":[{"id":"u1","name":"Ann Owner","email":"Ann@Team.example"},{"id":"u2","firstName":"Bob","lastName":"Seller","email":"bob@team.example"},
	{"id":"u3","name":"Ann  owner"},{"id":"u4","name":"Gone Girl","deleted":true},{"id":"../u5","name":"Odd"},{"id":"u6","name":"a\u0000b"}]}`

func TestNext_ATaskIsForWhomItsOwnerNames(t *testing.T) {
	asked := time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	task := func(owner string) crm.Work {
		return crm.Work{Kind: crm.KindTask, Command: crm.Command{LeadID: "l1", Title: " Call ", OwnerID: owner}, Account: "loc", Asked: asked, Link: crm.Link{Contact: "c1"}, Attempts: 1}
	}
	for owner, want := range map[string]string{
		"":                 `{"title":"Call","dueDate":"2026-12-01T09:30:00Z","completed":false}`,
		"bob seller":       `"assignedTo":"u2"}`,
		" Bob  SELLER ":    `"assignedTo":"u2"}`,
		"ann@team.example": `"assignedTo":"u1"}`,
		"u3":               `"assignedTo":"u3"}`,
		"Ann Owner":        "name_ambiguous u1, u3",
		"Gone Girl":        "name_unknown",
		"Odd":              "name_unknown",
		"a\x00b":           "name_unknown",
	} {
		w := task(owner)
		if owner != "" {
			if c := (Adapter{}).Next(w).Call; c == nil || c.Path != "/users/?locationId=loc" || c.Changes {
				t.Fatalf("%q: %+v", owner, c)
			}
			w.Trail = []crm.Exchange{said(200, twoAnns)}
		}
		step := Adapter{}.Next(w)
		var got string
		switch {
		case step.Call != nil:
			got = string(step.Call.Body)
		case step.End != nil:
			got = step.End.Code + " " + step.End.Detail
			if len(step.End.Learned[crm.ObjectUser]) == 0 {
				t.Errorf("%q: what was read is not told: %+v", owner, step.End)
			}
		}
		for _, part := range strings.Fields(want) {
			if !strings.Contains(got, strings.TrimSuffix(part, ",")) {
				t.Errorf("%q: %s, want %s", owner, got, want)
			}
		}
	}
	known := task("Bob Seller")
	known.Command.DueAt, known.Command.Body = asked.Add(time.Hour), "today"
	known.Names = map[string]crm.Names{crm.ObjectUser: {IDs: map[string][]string{"bob seller": {"u2"}}}}
	if c := (Adapter{}).Next(known).Call; c == nil || string(c.Body) != `{"title":"Call","body":"today","dueDate":"2026-12-01T10:30:00Z","completed":false,"assignedTo":"u2"}` {
		t.Errorf("%+v", c)
	}
	fresh := task("Bob Seller")
	fresh.Names = map[string]crm.Names{crm.ObjectUser: {Fresh: true}}
	if end := (Adapter{}).Next(fresh).End; end == nil || end.Code != crm.CodeNameUnknown {
		t.Errorf("a list that was just read is asked for again: %+v", end)
	}
	broken := task("Bob Seller")
	broken.Trail = []crm.Exchange{said(200, `<html>`)}
	if end := (Adapter{}).Next(broken).End; end == nil || end.Status != crm.Pending {
		t.Errorf("a list that can't be read: %+v", end)
	}
}
