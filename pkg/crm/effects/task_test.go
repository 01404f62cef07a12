package effects

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/standin"
)

func (r *rig) task(lead, title, owner string) event.Recorded {
	data := map[string]any{"lead_id": lead, "task_id": "t-" + title, "title": title}
	if owner != "" {
		data["owner_id"] = owner
	}
	return r.event(tenant, "crm.task.add.requested", "lead/"+lead, data)
}

func TestTask_IsGivenToTheUserWhomItNames(t *testing.T) {
	r := newRig(t)
	if _, err := r.crm.Setup(standin.Setup{Location: "loc-acme", Users: []standin.User{{ID: "u1", FirstName: "Ann", LastName: "Owner", Email: "ann@team.example"}}}); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	upsert := r.upsert("l1")
	first, second, wrong, free := r.task("l1", "Call", "Ann Owner"), r.task("l1", "Write", "ann@team.example"), r.task("l1", "Visit", "Zoe"), r.task("l1", "Think", "")
	r.apply(upsert, first, second, wrong, free)
	r.run(r.worker())
	for _, e := range []event.Recorded{first, second, free} {
		if got := r.waitStatus(e.ID, crm.Done); got.RemoteID == "" {
			t.Errorf("%s: %+v", e.ID, got)
		}
	}
	if e := r.waitStatus(wrong.ID, crm.Failed); e.Code != crm.CodeNameUnknown || !strings.Contains(e.LastError, "Zoe") {
		t.Errorf("%s: %s", e.Code, e.LastError)
	}
	if lists, _ := r.sent(http.MethodGet, "/users/"); lists != 1 {
		t.Errorf("the users were listed %d times", lists)
	}
	if asked, made := r.sent(http.MethodPost, "/tasks"); asked != 3 || made != 3 {
		t.Errorf("%d tasks asked for, %d made", asked, made)
	}
}

func TestAssign_GivesTheContactToTheUserWhomItNames(t *testing.T) {
	r := newRig(t)
	if _, err := r.crm.Setup(standin.Setup{Location: "loc-acme", Users: []standin.User{{ID: "u1", FirstName: "Ann", LastName: "Owner"}, {ID: "u2", FirstName: "Bob", LastName: "Seller"}}}); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	assign := func(owner string) event.Recorded {
		return r.event(tenant, "crm.contact.assign.requested", "lead/l1", map[string]any{"lead_id": "l1", "owner_id": owner})
	}
	upsert, first, second, nobody := r.upsert("l1"), assign("Ann Owner"), assign("u2"), assign("Zoe")
	r.apply(upsert, first, second, nobody)
	r.run(r.worker())
	made := r.waitStatus(upsert.ID, crm.Done)
	for _, e := range []event.Recorded{first, second} {
		if got := r.waitStatus(e.ID, crm.Done); got.RemoteID != made.RemoteID {
			t.Errorf("%s: %+v", e.ID, got)
		}
	}
	if e := r.waitStatus(nobody.ID, crm.Failed); e.Code != crm.CodeNameUnknown {
		t.Errorf("%s: %s", e.Code, e.LastError)
	}
	if f := r.byEmail("l1@example.com").Fields; f["assignedTo"] != "u2" || f["firstName"] != "Ann" {
		t.Errorf("%v", f)
	}
}

func TestTag_OneThatIsTakenAwayIsGone(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	upsert, tag := r.upsert("l1"), r.tag("l1", "hot", "new")
	gone := r.event(tenant, "crm.contact.tag.requested", "lead/l1", map[string]any{"lead_id": "l1", "add": []any{}, "remove": []any{"New"}})
	r.apply(upsert, tag, gone)
	r.run(r.worker())
	r.waitStatus(gone.ID, crm.Done)
	if tags := r.byEmail("l1@example.com").Tags; len(tags) != 1 || tags[0] != "hot" {
		t.Errorf("%v", tags)
	}
}

// A person sees a task twice if it is made twice.
func TestTask_IsUnknownWhenItsAnswerIsLost(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	upsert, task := r.upsert("l1"), r.task("l1", "Call", "")
	r.apply(upsert)
	r.run(r.worker())
	r.waitStatus(upsert.ID, crm.Done)
	r.fault(standin.Fault{Method: http.MethodPost, Path: "/contacts/*/tasks", Kind: "close", Apply: true})
	r.apply(task)
	r.waitStatus(task.ID, crm.Unknown)
	if asked, made := r.sent(http.MethodPost, "/tasks"); asked != 1 || made != 1 {
		t.Errorf("%d tasks asked for, %d made", asked, made)
	}
}

func TestTask_IsCompletedAndOpenedAgain(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	finish := func(lead, id string, done bool) event.Recorded {
		return r.event(tenant, "crm.task.complete.requested", "lead/"+lead, map[string]any{"lead_id": lead, "task_id": id, "completed": done})
	}
	up, other := r.upsert("l1"), r.upsert("l2")
	add, twin := r.task("l1", "Call", ""), r.task("l2", "Call", "") // called the same, as a workflow may call the task of each lead
	r.apply(up, other, add)
	r.run(r.worker())
	made := r.waitStatus(add.ID, crm.Done)
	r.apply(twin)
	r.waitStatus(twin.ID, crm.Done)
	done, others, none := finish("l1", "t-Call", true), finish("l2", "t-Visit", true), finish("l1", "", true)
	r.apply(done, others, none)
	if e := r.waitStatus(done.ID, crm.Done); e.RemoteID != made.RemoteID {
		t.Errorf("%+v", e)
	}
	if e := r.waitStatus(others.ID, crm.Failed); e.Code != crm.CodeTaskUnknown {
		t.Errorf("a task that was not added: %s", e.Code)
	}
	if e := r.waitStatus(none.ID, crm.Failed); e.Code != crm.CodeInvalidCommand {
		t.Errorf("no task: %s", e.Code)
	}
	completed := func() bool {
		raw, err := r.crm.Objects("loc-acme", "task")
		if err != nil || len(raw) != 2 {
			t.Fatalf("%d tasks, %v", len(raw), err)
		}
		var task standin.Task
		if err := json.Unmarshal(raw[0], &task); err != nil {
			t.Fatal(err)
		}
		return task.Completed
	}
	if !completed() {
		t.Error("the task is not done")
	}
	again := finish("l1", "t-Call", false)
	r.apply(again)
	r.waitStatus(again.ID, crm.Done)
	if completed() {
		t.Error("the task is still done")
	}
}
