package standin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// sales is a rig with a location that has been set up, and one contact.
func sales(t *testing.T, cfg Config) (*rig, Setup, string) {
	t.Helper()
	r := start(t, cfg)
	set, err := r.s.Setup(Setup{
		Location:     "locA",
		Pipelines:    []Pipeline{{Name: "Sales", Stages: []Stage{{Name: "New"}, {Name: "Qualified"}}}, {Name: "Renewal", Stages: []Stage{{Name: "Due"}}}},
		Users:        []User{{FirstName: "Ann", LastName: "Lee", Email: "ann@example.com"}},
		CustomFields: []CustomField{{Name: "NeuronX id"}, {Name: "NeuronX id", Model: "opportunity"}},
		Calendars:    []Calendar{{Name: "Demo", Zone: "America/New_York", From: "09:00", To: "11:00", SlotMinutes: 30}},
		Workflows:    []Automation{{Name: "Welcome"}, {Name: "Again", ReEntry: true}, {Name: "Draft", Status: "draft"}},
		Campaigns:    []Automation{{Name: "Drip"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, out := r.upsert(`"email":"a@b.co","phone":"+15550001111"`)
	return r, set, contactID(t, out)
}

// send sends a body that is written as a Go value.
func (r *rig) send(method, path string, body any) (int, map[string]any) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	text := string(b)
	if body == nil {
		text = ""
	}
	status, out, _ := r.do(method, path, text)
	return status, out
}

func (r *rig) count(kind string) int {
	r.t.Helper()
	list, err := r.s.Objects("locA", kind)
	if err != nil {
		r.t.Fatal(err)
	}
	return len(list)
}

// at walks a decoded answer: at(out, "meta", "existingId").
func at(v any, keys ...any) any {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

type dict = map[string]any

func TestOpportunities_OneAContactAndPipelineAlsoWhenClosed(t *testing.T) {
	r, set, contact := sales(t, Config{})
	p := set.Pipelines[0]
	deal := dict{"locationId": "locA", "contactId": contact, "pipelineId": p.ID, "name": "Deal", "status": "open", "monetaryValue": 12.5}
	status, out := r.send("POST", "/opportunities/", deal)
	id, _ := at(out, "opportunity", "id").(string)
	if status != 201 || id == "" || at(out, "opportunity", "pipelineStageId") != p.Stages[0].ID {
		t.Fatalf("%d %v", status, out)
	}
	if status, out := r.send("PUT", "/opportunities/"+id+"/status", dict{"status": "lost"}); status != 200 || out["succeded"] != true { //nolint:misspell // the vendor's spelling
		t.Fatalf("%d %v", status, out)
	}
	status, out = r.send("POST", "/opportunities/", deal)
	if status != 400 || out["code"] != "OPPORTUNITY_NO_DUPLICATE" || at(out, "meta", "existingId") != id {
		t.Fatalf("%d %v", status, out)
	}
	other := dict{"locationId": "locA", "contactId": contact, "pipelineId": set.Pipelines[1].ID, "name": "Renewal", "status": "open"}
	if status, out = r.send("POST", "/opportunities/", other); status != 201 {
		t.Fatalf("another pipeline: %d %v", status, out)
	}
	r.s.mu.Lock()
	r.s.addLocation(LocationSettings{Location: "locA", AllowDuplicateOpportunity: true})
	r.s.mu.Unlock()
	if status, out = r.send("POST", "/opportunities/", deal); status != 201 || r.count("opportunity") != 3 {
		t.Fatalf("duplicates allowed: %d %v", status, out)
	}
}

func TestOpportunities_RefuseWhatTheVendorRefuses(t *testing.T) {
	r, set, contact := sales(t, Config{})
	good := func() dict {
		return dict{"locationId": "locA", "contactId": contact, "pipelineId": set.Pipelines[0].ID, "name": "Deal", "status": "open"}
	}
	for name, c := range map[string]struct {
		field string
		value any
		want  int
	}{
		"source":               {"source", "web", 422},
		"status all":           {"status", "all", 422},
		"name of a number":     {"name", 7, 422},
		"no name":              {"name", "", 422},
		"value of a text":      {"monetaryValue", "12", 422},
		"null":                 {"assignedTo", nil, 422},
		"unknown pipeline":     {"pipelineId", "nope", 400},
		"stage of another":     {"pipelineStageId", set.Pipelines[1].Stages[0].ID, 400},
		"unknown contact":      {"contactId", "nope", 400},
		"another location":     {"locationId", "locB", 403},
		"custom field's field": {"customFields", []dict{{"id": "x", "fieldValue": "y"}}, 422},
	} {
		t.Run(name, func(t *testing.T) {
			deal := good()
			deal[c.field] = c.value
			if status, out := r.send("POST", "/opportunities/", deal); status != c.want || r.count("opportunity") != 0 {
				t.Fatalf("%d %v, %d stored", status, out, r.count("opportunity"))
			}
		})
	}
}

func TestOpportunities_UpdateMovesAndKeepsWhatIsAbsent(t *testing.T) {
	r, set, contact := sales(t, Config{})
	p, field := set.Pipelines[0], set.CustomFields[1].ID
	_, out := r.send("POST", "/opportunities/", dict{"locationId": "locA", "contactId": contact, "pipelineId": p.ID, "name": "Deal", "status": "open", "monetaryValue": 5,
		"customFields": []dict{{"id": field, "field_value": "n-1"}, {"id": set.CustomFields[0].ID, "field_value": "of contacts"}, {"id": "gone", "field_value": "x"}}})
	id, _ := at(out, "opportunity", "id").(string)
	if list, _ := at(out, "opportunity", "customFields").([]any); len(list) != 1 || at(list, 0, "id") != field || at(list, 0, "fieldValue") != "n-1" {
		t.Fatalf("only the location's own field of opportunities is kept: %v", out)
	}
	r.now = r.now.Add(time.Hour)
	status, _ := r.send("PUT", "/opportunities/"+id, dict{"pipelineStageId": p.Stages[1].ID})
	_, out = r.send("GET", "/opportunities/"+id, nil)
	o := at(out, "opportunity")
	if status != 200 || at(o, "pipelineStageId") != p.Stages[1].ID || at(o, "monetaryValue") != 5.0 || at(o, "customFields", 0, "fieldValue") != "n-1" ||
		at(o, "lastStageChangeAt") != "2026-11-23T11:00:00.000Z" || at(o, "lastStatusChangeAt") != "2026-11-23T10:00:00.000Z" {
		t.Fatalf("%d %v", status, out)
	}
	if status, out := r.send("PUT", "/opportunities/"+id, dict{"contactId": contact}); status != 422 {
		t.Fatalf("a new contact: %d %v", status, out)
	}
	if status, _ := r.send("DELETE", "/opportunities/"+id, nil); status != 200 {
		t.Fatal(status)
	}
	if status, _ := r.send("GET", "/opportunities/"+id, nil); status != 404 {
		t.Fatal(status)
	}
}

func TestOpportunities_SearchLagsAndPagesThroughEqualTimes(t *testing.T) {
	r, set, _ := sales(t, Config{SearchLag: 2 * time.Second, Burst: 1000})
	want := map[string]bool{}
	for i := range 7 {
		_, out := r.upsert(fmt.Sprintf(`"email":"c%d@b.co"`, i))
		_, out = r.send("POST", "/opportunities/", dict{"locationId": "locA", "contactId": contactID(t, out), "pipelineId": set.Pipelines[0].ID, "name": "Deal", "status": "open"})
		want[at(out, "opportunity", "id").(string)] = true
	}
	search := func(q string) (int, map[string]any) {
		status, out, _ := r.do("GET", "/opportunities/search?locationId=locA"+q, "", func(q *http.Request) { q.Header.Set("Version", "v3") })
		return status, out
	}
	if _, out := search(""); at(out, "meta", "total") != 0.0 {
		t.Fatalf("seen at once: %v", out)
	}
	r.now = r.now.Add(2 * time.Second)
	next := "&limit=3"
	for range 4 {
		_, out := search(next)
		list, _ := out["opportunities"].([]any)
		for _, o := range list {
			id := at(o, "id").(string)
			if !want[id] {
				t.Fatalf("%s comes twice", id)
			}
			delete(want, id)
		}
		if len(list) == 0 {
			break
		}
		next = fmt.Sprintf("&limit=3&startAfter=%.0f&startAfterId=%s", at(out, "meta", "startAfter"), at(out, "meta", "startAfterId"))
	}
	if len(want) != 0 {
		t.Fatalf("%d are missing", len(want))
	}
	for q, status := range map[string]int{"&location_id=locA": 422, "&status=sold": 422, "&limit=101": 422, "&status=won": 200} {
		if got, out := search(q); got != status {
			t.Errorf("%s: %d %v", q, got, out)
		}
	}
	if status, _, _ := r.do("GET", "/opportunities/search?location_id=locA", ""); status != 422 {
		t.Errorf("the name of the older file is served: %d", status)
	}
}

func TestTasks_AreNotIdempotentAndCompleteTwice(t *testing.T) {
	r, _, contact := sales(t, Config{})
	task := dict{"title": "Call", "body": "soon", "dueDate": "2026-12-01T09:00:00Z", "completed": false}
	path := "/contacts/" + contact + "/tasks"
	status, out := r.send("POST", path, task)
	id, _ := at(out, "task", "id").(string)
	if again, _ := r.send("POST", path, task); status != 201 || again != 201 || r.count("task") != 2 {
		t.Fatalf("%d %d, %d tasks", status, again, r.count("task"))
	}
	for range 2 {
		if status, out = r.send("PUT", path+"/"+id+"/completed", dict{"completed": true}); status != 200 || at(out, "task", "completed") != true {
			t.Fatalf("%d %v", status, out)
		}
	}
	_, out = r.send("GET", path, nil)
	if list, _ := out["tasks"].([]any); len(list) != 2 || at(list, 0, "completed") != true || at(list, 1, "completed") != false || at(list, 0, "dateAdded") != nil {
		t.Fatalf("%v", out)
	}
	r.now = r.now.Add(5 * time.Second)
	_, out = r.send("POST", "/locations/locA/tasks/search", dict{"contactId": []string{contact}, "completed": false})
	if list, _ := out["tasks"].([]any); len(list) != 1 {
		t.Fatalf("%v", out)
	}
	for name, body := range map[string]dict{
		"no completed": {"title": "x", "dueDate": "2026-12-01T09:00:00Z"}, "no due date": {"title": "x", "completed": false}, "date": {"title": "x", "dueDate": "tomorrow", "completed": false},
		"unknown": {"title": "x", "dueDate": "2026-12-01T09:00:00Z", "completed": false, "contactId": contact},
	} {
		if status, out := r.send("POST", path, body); status != 422 {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if status, _ := r.send("PUT", "/contacts/other/tasks/"+id+"/completed", dict{"completed": true}); status != 404 {
		t.Errorf("a task of another contact: %d", status)
	}
}

func TestMessages_AreRefusedByChannelAndTellTheirStatusLater(t *testing.T) {
	r, _, contact := sales(t, Config{})
	send := func(m dict) (int, map[string]any) { return r.send("POST", "/conversations/messages", m) }
	sms := dict{"type": "SMS", "contactId": contact, "message": "hello"}
	status, first := send(sms)
	_, second := send(sms)
	if status != 200 || first["messageId"] == second["messageId"] || first["conversationId"] != second["conversationId"] {
		t.Fatalf("%v then %v", first, second)
	}
	state := func(id any) string {
		_, out := r.send("GET", "/conversations/messages/"+id.(string), nil)
		return fmt.Sprint(out["status"], " ", out["error"])
	}
	for _, want := range []string{"pending <nil>", "sent <nil>", "delivered <nil>"} {
		if got := state(first["messageId"]); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		r.now = r.now.Add(2 * time.Second)
	}
	_, far := send(dict{"type": "SMS", "contactId": contact, "message": "x", "toNumber": "+15550000000"})
	_, due := send(dict{"type": "SMS", "contactId": contact, "message": "x", "scheduledTimestamp": r.now.Add(time.Hour).Unix()})
	r.now = r.now.Add(time.Minute)
	if got := state(far["messageId"]); got != "failed Error 30005 - Unknown destination handset" {
		t.Error(got)
	}
	if got := state(due["messageId"]); got != "scheduled <nil>" {
		t.Error(got)
	}
	if _, out := r.send("PUT", "/contacts/"+contact, dict{"dndSettings": dict{"SMS": dict{"status": "active"}}}); at(out, "contact", "dnd") != false {
		t.Fatalf("dnd follows a channel: %v", out)
	}
	if status, out := send(sms); status != 400 || out["message"] != "Cannot send message as DND is active for SMS." {
		t.Fatalf("%d %v", status, out)
	}
	if status, out := send(dict{"type": "Email", "contactId": contact, "subject": "s", "html": "<p>x</p>"}); status != 200 || out["emailMessageId"] == nil {
		t.Fatalf("another channel: %d %v", status, out)
	}
	_, nameless := r.upsert(`"email":"only@b.co"`)
	for name, m := range map[string]dict{
		"no phone": {"type": "SMS", "contactId": contactID(t, nameless), "message": "x"}, "no text": {"type": "Email", "contactId": contact, "subject": "s"}, "gone": {"type": "SMS", "contactId": "nope", "message": "x"},
	} {
		if status, out := send(m); status != 400 {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if status, out := send(dict{"type": "SMS", "contactId": contact, "message": "x", "phone": "1"}); status != 422 {
		t.Errorf("unknown field: %d %v", status, out)
	}
}

func TestMessages_ExportsCursorDies(t *testing.T) {
	r, _, contact := sales(t, Config{})
	for i := range 25 {
		r.send("POST", "/conversations/messages", dict{"type": "SMS", "contactId": contact, "message": fmt.Sprint(i)})
	}
	r.send("POST", "/conversations/messages", dict{"type": "Email", "contactId": contact, "subject": "s", "message": "mail"})
	page := func(q string) (int, int, string) {
		status, out := r.send("GET", "/conversations/messages/export?locationId=locA&sortOrder=asc&"+q, nil)
		list, _ := out["messages"].([]any)
		next, _ := out["nextCursor"].(string)
		return status, len(list), next
	}
	_, n, next := page("limit=10")
	_, m, last := page("limit=10&cursor=" + next)
	_, k, end := page("limit=10&cursor=" + last)
	if n != 10 || m != 10 || k != 5 || end != "" {
		t.Fatalf("pages of %d, %d and %d, e-mail left out; then %q", n, m, k, end)
	}
	if _, n, _ := page("channel=Email"); n != 1 {
		t.Errorf("%d e-mails", n)
	}
	if status, _, _ := page("limit=10&channel=SMS&cursor=" + last); status != 400 {
		t.Errorf("the cursor of another query: %d", status)
	}
	r.now = r.now.Add(cursorLife)
	if status, _, _ := page("limit=10&cursor=" + next); status != 400 {
		t.Errorf("a cursor of two minutes ago: %d", status)
	}
	if status, _, _ := page("limit=5"); status != 422 {
		t.Errorf("a page of 5: %d", status)
	}
	if _, n, _ := page("startDate=" + url.QueryEscape(r.now.Format(time.RFC3339))); n != 0 {
		t.Errorf("%d messages of the future", n)
	}
}

func TestAppointments_TakeTheSlotsOwnTextOnly(t *testing.T) {
	r, set, contact := sales(t, Config{})
	c := set.Calendars[0]
	from := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	free := func() []any {
		status, out := r.send("GET", fmt.Sprintf("/calendars/%s/free-slots?startDate=%d&endDate=%d&timezone=Europe/London", c.ID, from.UnixMilli(), from.Add(24*time.Hour).UnixMilli()), nil)
		if status != 200 {
			t.Fatalf("%d %v", status, out)
		}
		list, _ := at(out, "2026-11-24", "slots").([]any)
		return list
	}
	slots := free()
	if len(slots) != 4 || slots[0] != "2026-11-24T14:00:00Z" {
		t.Fatalf("%v", slots)
	}
	book := func(start string, more ...string) (int, map[string]any) {
		m := dict{"calendarId": c.ID, "locationId": "locA", "contactId": contact, "startTime": start}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return r.send("POST", "/calendars/events/appointments", m)
	}
	for name, start := range map[string]string{"the instant in another zone": "2026-11-24T15:00:00+01:00", "between slots": "2026-11-24T09:10:00-05:00", "the past": "2026-11-20T09:00:00-05:00"} {
		if status, out := book(start); status != 400 || out["message"] != "The slot you have selected is no longer available." {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if status, out := book(slots[0].(string), "endTime", "2026-11-24T14:45:00Z"); status != 400 {
		t.Errorf("an end of its own: %d %v", status, out)
	}
	status, out := book(slots[0].(string))
	id, _ := out["id"].(string)
	if status != 200 || out["dateAdded"] != nil || out["startTime"] != slots[0] {
		t.Fatalf("%d %v", status, out)
	}
	if again, _ := book(slots[0].(string)); again != 400 || len(free()) != 3 {
		t.Fatalf("a taken slot: %d, %d free", again, len(free()))
	}
	if status, out = r.send("PUT", "/calendars/events/appointments/"+id, dict{"appointmentStatus": "cancelled"}); status != 200 || len(free()) != 4 {
		t.Fatalf("%d %v, %d free", status, out, len(free()))
	}
	if status, out = book("2026-11-24T09:30:00-05:00"); status != 200 {
		t.Fatalf("the calendar's own text: %d %v", status, out)
	}
	_, out = r.send("GET", "/contacts/"+contact+"/appointments", nil)
	if list, _ := out["events"].([]any); len(list) != 2 || at(list, 0, "appointmentStatus") != "cancelled" || at(list, 0, "dateAdded") == nil {
		t.Fatalf("%v", out)
	}
	if status, _ := r.send("GET", fmt.Sprintf("/calendars/%s/free-slots?startDate=%d&endDate=%d", c.ID, from.UnixMilli(), from.Add(32*24*time.Hour).UnixMilli()), nil); status != 400 {
		t.Errorf("32 days: %d", status)
	}
}

func TestAutomations_AcceptAndSkipWithoutAWord(t *testing.T) {
	r, set, contact := sales(t, Config{})
	runs := func(id string) (n int) {
		list, err := r.s.Objects("locA", "enrolment")
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range list {
			var e Enrolment
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			if e.Automation == id {
				n = e.Runs
			}
		}
		return n
	}
	for i, want := range []int{1, 2} { // without re-entry, with
		path := "/contacts/" + contact + "/workflow/" + set.Workflows[i].ID
		for _, step := range []string{"POST", "POST", "DELETE", "DELETE", "POST"} {
			if status, out := r.send(step, path, dict{}); status != 200 {
				t.Fatalf("%s: %d %v", step, status, out)
			}
		}
		if got := runs(set.Workflows[i].ID); got != want {
			t.Errorf("%s ran %d times, want %d", set.Workflows[i].Name, got, want)
		}
	}
	if status, _ := r.send("POST", "/contacts/"+contact+"/campaigns/"+set.Campaigns[0].ID, dict{}); status != 201 || runs(set.Campaigns[0].ID) != 1 {
		t.Errorf("campaign: %d", status)
	}
	for path, want := range map[string]int{
		"/contacts/" + contact + "/workflow/" + set.Workflows[2].ID: 400, "/contacts/" + contact + "/workflow/nope": 404, "/contacts/nope/workflow/" + set.Workflows[0].ID: 404,
	} {
		if status, out := r.send("POST", path, dict{}); status != want {
			t.Errorf("%s: %d %v", path, status, out)
		}
	}
	if status, _ := r.send("POST", "/contacts/"+contact+"/workflow/"+set.Workflows[0].ID, nil); status != 400 {
		t.Errorf("without a body: %d", status)
	}
}

func TestReference_ListsWhatWasSetUp(t *testing.T) {
	r, set, contact := sales(t, Config{})
	for path, want := range map[string][]any{
		"/opportunities/pipelines?locationId=locA":                   {"pipelines", 0, "stages", 1, "name", "Qualified"},
		"/users/?locationId=locA":                                    {"users", 0, "name", "Ann Lee"},
		"/users/search?companyId=company-locA":                       {"users", 0, "email", "ann@example.com"},
		"/users/" + set.Users[0].ID:                                  {"firstName", "Ann"},
		"/locations/locA/customFields?model=opportunity":             {"customFields", 0, "fieldKey", "opportunity.neuronx_id"},
		"/locations/locA":                                            {"location", "settings", "allowDuplicateContact", false},
		"/calendars/?locationId=locA":                                {"calendars", 0, "name", "Demo"},
		"/workflows/?locationId=locA":                                {"workflows", 2, "status", "draft"},
		"/campaigns/?locationId=locA":                                {"campaigns", 0, "name", "Drip"},
		"/conversations/search?locationId=locA&contactId=" + contact: {"total", 0.0},
	} {
		status, out := r.send("GET", path, nil)
		last := len(want) - 1
		if got := at(out, want[:last]...); status != 200 || got != want[last] {
			t.Errorf("%s: %d %v", path, status, out)
		}
	}
	for path, want := range map[string]int{"/opportunities/pipelines?locationId=locB": 403, "/workflows/": 422, "/locations/locB": 403, "/users/search?companyId=other": 403, "/users/nope": 404} {
		if status, out := r.send("GET", path, nil); status != want {
			t.Errorf("%s: %d %v", path, status, out)
		}
	}
}

func TestContacts_KeepOnlyTheLocationsCustomFields(t *testing.T) {
	r, set, contact := sales(t, Config{})
	field := set.CustomFields[0].ID
	_, out := r.send("PUT", "/contacts/"+contact, dict{"customFields": []dict{{"id": field, "field_value": "n-1"}, {"id": "gone", "field_value": "x"}}})
	if list, _ := at(out, "contact", "customFields").([]any); len(list) != 1 || at(list, 0, "id") != field || at(list, 0, "value") != "n-1" {
		t.Fatalf("%v", out)
	}
	_, out = r.send("PUT", "/contacts/"+contact, dict{"customFields": []dict{{"key": "neuronx_id", "field_value": "n-2"}}, "firstName": "Ann"})
	if list, _ := at(out, "contact", "customFields").([]any); len(list) != 1 || at(list, 0, "value") != "n-2" {
		t.Fatalf("%v", out)
	}
	if status, out := r.send("PUT", "/contacts/"+contact, dict{"customFields": []dict{{"id": field, "val": "x"}}}); status != 422 {
		t.Fatalf("%d %v", status, out)
	}
}

func TestJournal_KeepsEveryKindOverARestart(t *testing.T) {
	dir := t.TempDir()
	r, set, contact := sales(t, Config{DataDir: dir})
	r.send("POST", "/opportunities/", dict{"locationId": "locA", "contactId": contact, "pipelineId": set.Pipelines[0].ID, "name": "Deal", "status": "open"})
	_, gone := r.send("POST", "/opportunities/", dict{"locationId": "locA", "contactId": contact, "pipelineId": set.Pipelines[1].ID, "name": "Gone", "status": "open"})
	r.send("DELETE", "/opportunities/"+at(gone, "opportunity", "id").(string), nil)
	r.send("POST", "/contacts/"+contact+"/tasks", dict{"title": "x", "dueDate": "2026-12-01T09:00:00Z", "completed": false})
	r.send("POST", "/conversations/messages", dict{"type": "SMS", "contactId": contact, "message": "hello"})
	r.send("POST", "/calendars/events/appointments", dict{"calendarId": set.Calendars[0].ID, "locationId": "locA", "contactId": contact, "startTime": "2026-11-24T09:30:00-05:00"})
	r.send("POST", "/contacts/"+contact+"/workflow/"+set.Workflows[0].ID, dict{})
	_, other := r.upsert(`"email":"other@b.co"`)
	if !r.s.Merge("locA", contact, contactID(t, other)) {
		t.Fatal("not merged")
	}
	kinds := map[string]string{}
	r.s.mu.Lock()
	for kind := range r.s.locations["locA"].tables() {
		kinds[kind] = ""
	}
	r.s.mu.Unlock()
	show := func(r *rig, kind string) string {
		list, err := r.s.Objects("locA", kind)
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %d objects, %v", kind, len(list), err)
		}
		return fmt.Sprintf("%s", list)
	}
	for kind := range kinds {
		kinds[kind] = show(r, kind)
	}
	if !strings.Contains(kinds["task"], contactID(t, other)) || strings.Contains(kinds["opportunity"], "Gone") {
		t.Fatalf("%v", kinds)
	}
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	var again *rig
	for range 2 { // each start rewrites the journal, and the second reads what the first wrote
		again = start(t, Config{DataDir: dir})
		for kind, want := range kinds {
			if got := show(again, kind); got != want {
				t.Errorf("%s\nwas %s\nis  %s", kind, want, got)
			}
		}
		if err := again.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again.s.Reset()
	if again.count("task") != 0 || again.count("pipeline") != 2 {
		t.Errorf("after a reset: %d tasks, %d pipelines", again.count("task"), again.count("pipeline"))
	}
}
