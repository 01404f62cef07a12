package crmtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

// attempts is how many attempts are made at each work with answers by chance.
const attempts = 150

// slot is when an appointment is to begin.
var slot = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

// person has values that are found nowhere else.
var person = crm.Command{
	LeadID: "lead-1", Email: "canary.mail@person.example", Phone: "+15550102030", FirstName: "Canaryfirst", LastName: "Canarylast", Company: "Canarycompany",
	Source: "canarysource", Add: []string{"tag one"}, Remove: []string{"tag two"}, Body: "canary body", Channel: "sms", Title: "canary title", OwnerID: "Ann Owner",
	OpportunityID: "opp-1", TaskID: "task-1", AppointmentID: "app-1", Calendar: "Demos", StartsAt: slot, Channels: []string{"sms"}, Field: "Budget", FieldValue: "canary value", Automation: "Welcome", Of: crm.ObjectWorkflow, Name: "canary name", Pipeline: "Sales", Stage: "New", Value: "12.5", Closed: "won",
}

// works are attempts at each kind that an adapter carries out, with and without a contact.
func works(a crm.Adapter) []crm.Work {
	var out []crm.Work
	for _, kind := range slices.Sorted(maps.Keys(a.Kinds())) {
		for _, link := range []crm.Link{
			{}, {Keys: crm.Keys{Email: "before@person.example"}}, {Contact: "c1", Keys: crm.Keys{Email: person.Email, Phone: "+15550109999"}},
			{Contact: "c1", Fresh: true}, {Contact: "c1", Known: map[string]string{"email": person.Email, "phone": ""}},
		} {
			out = append(out, crm.Work{Kind: kind, Command: person, Account: "account-1", Link: link, Attempts: 1})
		}
	}
	return out
}

// answers are what a CRM, or what stands between, may say.
func answers() []crm.Answer {
	var out []crm.Answer
	for _, status := range []int{200, 201, 204, 301, 307, 400, 401, 403, 404, 408, 409, 410, 422, 425, 429, 500, 502, 503, 504, 520, 999} {
		for _, body := range []string{
			``, `{}`, `<html>error</html>`, `{"message":["x"],"contact":null}`, `{"contact":{"id":"c7","email":"` + person.Email + `"},"note":{"id":"n1"},"tags":[],"id":"i1"}`,
			`{"message":"contact not found: ` + person.Email + ` 15550102030","meta":{"contactId":"c9"}}`, `{"contact":{"id":"../../x"},`, `{"users":[{"id":"u1","name":"Ann Owner"}],"task":{"id":"t1"},"messageId":"m1","workflows":[{"id":"w1","name":"Welcome","status":"published"}],"customFields":[{"id":"f1","name":"Budget"}],"calendars":[{"id":"cal1","name":"Demos"}]}`, `{"2026-12-01":{"slots":["2026-12-01T10:00:00+01:00"]},"event":{"id":"e1","calendarId":"cal1","startTime":"2026-12-01T09:00:00+01:00"}}`, `{"events":[{"id":"e2","calendarId":"cal1","startTime":"2026-12-01T10:00:00+01:00","description":"ref:app-1"}],"message":"The slot you have selected is no longer available."}`, `{"messages":[{"id":"m2","direction":"outbound","body":"canary body"}]}`, `{"pipelines":[{"id":"p1","name":"Sales","stages":[{"id":"s1","name":"New"}]}],"opportunity":{"id":"o1"},"succeded":true}`, //nolint:misspell // a vendor's spelling
			`{"message":"Opportunity not found"}`, `{"code":"OPPORTUNITY_NO_DUPLICATE","message":"duplicate","meta":{"existingId":"o9"}}`,
		} {
			out = append(out, crm.Answer{Status: status, Header: http.Header{}, Body: []byte(body)})
		}
	}
	return append(out, crm.Answer{}, crm.Answer{NotSent: true, Err: errors.New("away")}, crm.Answer{Err: errors.New("reset")},
		crm.Answer{Status: 200, Err: errors.New("broke off"), Body: []byte(`{"contact":`)}, crm.Answer{Status: 200, Cut: true, Body: []byte(`{"contact":{"id":"c1"}}`)})
}

// mayRefuse reports whether an answer can prove that nothing was done: only statuses that are given before a request is acted upon.
func mayRefuse(a crm.Answer) bool {
	return slices.Contains([]int{400, 401, 403, 404, 410, 429}, a.Status)
}

// Run tests an adapter.
func Run(t *testing.T, a crm.Adapter) {
	t.Run("names", func(t *testing.T) { names(t, a) })
	t.Run("attempts", func(t *testing.T) {
		for i, w := range works(a) {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for range attempts {
				if attempt(t, a, w, rng); t.Failed() {
					return // the first is enough
				}
			}
		}
	})
	t.Run("absent fields", func(t *testing.T) { absent(t, a) })
	t.Run("ids in paths", func(t *testing.T) { paths(t, a) })
	t.Run("limits", func(t *testing.T) { limits(t, a) })
}

func names(t *testing.T, a crm.Adapter) {
	if name := a.Name(); name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		t.Errorf("the name %q is not lower-case letters: a database role and a consumer group are called by it", name)
	}
	if len(a.Kinds()) == 0 {
		t.Error("it carries out nothing")
	}
	for kind, k := range a.Kinds() {
		if !crm.Answers(kind) || k.Cost < 1 {
			t.Errorf("%s costs %d requests and has outcomes: %v", kind, k.Cost, crm.Answers(kind))
		}
	}
}

// attempt plays one attempt with answers by chance, and holds each step against the contract.
func attempt(t *testing.T, a crm.Adapter, w crm.Work, rng *rand.Rand) {
	t.Helper()
	all := answers()
	w.Attempts = 1 + rng.IntN(5)
	switch rng.IntN(3) {
	case 0:
		w.Names = map[string]crm.Names{crm.ObjectUser: {IDs: map[string][]string{"ann owner": {"u1"}}}, crm.ObjectPipeline: {IDs: map[string][]string{"sales": {"p1"}}}, crm.ObjectStage: {IDs: map[string][]string{"p1/new": {"s1"}}}, crm.ObjectWorkflow: {IDs: map[string][]string{"welcome": {"w1"}}}, crm.ObjectField: {IDs: map[string][]string{"budget": {"f1"}}}, crm.ObjectCalendar: {IDs: map[string][]string{"demos": {"cal1"}}}}
		w.Remote = []string{"", "o1"}[rng.IntN(2)]
	case 1:
		w.Names = map[string]crm.Names{crm.ObjectUser: {Fresh: true}, crm.ObjectPipeline: {Fresh: true}}
		w.Remote = "o1"
	}
	w.LastCode = []string{"", crm.CodeContactGone, crm.CodeContactExists, "rate_limited"}[rng.IntN(4)]
	var last *crm.Step
	begun := 0 // changing calls that may have been acted upon
	for range crm.MaxSteps {
		step := a.Next(w)
		told := func(format string, args ...any) {
			t.Errorf("%s with the contact %q, after %s: %s", w.Kind, w.Link.Contact, trail(w.Trail), fmt.Sprintf(format, args...))
		}
		if !reflect.DeepEqual(step, a.Next(w)) {
			told("the same work gives another step")
		}
		if step.Refused {
			if last == nil || last.Call == nil || !mayRefuse(w.Trail[len(w.Trail)-1].Answer) {
				told("what came last is no proof of a refusal")
			} else if last.Call.Changes && !last.Call.Again {
				begun--
			}
		}
		if n := chosen(step); n != 1 {
			told("it names %d things to do: %+v", n, step)
			return
		}
		if (len(step.Might) > 0) != (len(w.Trail) == 0 && step.End == nil) {
			told("%d requests may follow", len(step.Might))
		}
		if end := step.End; end != nil {
			judge(told, w, *end, begun)
			return
		}
		x := crm.Exchange{Answer: all[rng.IntN(len(all))]}
		if step.Call == nil {
			x = []crm.Exchange{{}, {}, {Owner: "lead-2"}, {Owner: "lead-3", Same: true}, {Owner: crm.OtherTenant}, {Unknown: true}}[rng.IntN(6)]
		} else if step.Call.Changes && !step.Call.Again && !x.Answer.NotSent {
			begun++
		}
		w.Trail, last = append(slices.Clip(w.Trail), x), &step
	}
	t.Errorf("%s with the contact %q has no end after %d steps: %s", w.Kind, w.Link.Contact, crm.MaxSteps, trail(w.Trail))
}

func chosen(s crm.Step) (n int) {
	for _, is := range []bool{s.Call != nil, s.Adopt != "", s.Whose != "", s.End != nil} {
		if is {
			n++
		}
	}
	return n
}

func judge(told func(string, ...any), w crm.Work, end crm.End, begun int) {
	once := crm.ClassOf(w.Kind) == crm.Once
	switch end.Status {
	case crm.Done, crm.Failed, crm.Unknown, crm.Pending:
	default:
		told("it ends as %q", end.Status)
	}
	switch {
	case end.Status != crm.Done && (end.Code == "" || end.Detail == ""):
		told("it does not say why it is %s: %q %q", end.Status, end.Code, end.Detail)
	case once && end.Status == crm.Pending && begun > 0:
		told("it would be tried again (%s), and may have been carried out", end.Code)
	case once && end.Status == crm.Failed && begun > 0:
		told("it counts as failed (%s), and may have been carried out", end.Code)
	case !once && end.Status == crm.Unknown:
		told("what may be repeated is unknown (%s)", end.Code)
	}
	if shown := w.Command.Redact(end.Detail); shown != w.Command.Redact(shown) || len(end.Detail) > 1000 || strings.ContainsFunc(end.Detail, func(r rune) bool { return r < ' ' }) {
		told("the detail is not for people: %q", end.Detail)
	}
	for _, v := range []string{person.Email, person.FirstName, person.LastName, person.Body, person.FieldValue, person.Title, person.Name} {
		if strings.Contains(w.Command.Redact(end.Detail), v) {
			told("the detail tells of the person: %q", end.Detail)
		}
	}
}

func trail(xs []crm.Exchange) string {
	var out []string
	for _, x := range xs {
		out = append(out, fmt.Sprintf("%d %.60s owner %q same %v unknown %v", x.Answer.Status, x.Answer.Body, x.Owner, x.Same, x.Unknown))
	}
	return "[" + strings.Join(out, " | ") + "]"
}

// absent: what a command does not name is not in its requests, neither as null nor as an empty text: it would empty what a person wrote.
func absent(t *testing.T, a crm.Adapter) {
	for _, kind := range slices.Sorted(maps.Keys(a.Kinds())) {
		w := crm.Work{Kind: kind, Account: "account-1", Link: crm.Link{Contact: "c1"}, Command: crm.Command{LeadID: "lead-1", Email: "only@person.example", Add: []string{"one"}, Body: "only", Title: "only", TaskID: "task-1", OpportunityID: "opp-1", Name: "only"}, Remote: "o1"}
		switch kind {
		case crm.KindAssign:
			w.Command.OwnerID, w.Names = "u1", map[string]crm.Names{crm.ObjectUser: {IDs: map[string][]string{"u1": {"u1"}}}}
		case crm.KindMove:
			w.Command.Stage, w.Names = "s1", map[string]crm.Names{crm.ObjectStage: {IDs: map[string][]string{"/s1": {"s1"}}}}
		case crm.KindClose:
			w.Command.Closed = "won"
		case crm.KindBook:
			w.Command.AppointmentID, w.Command.Calendar, w.Command.StartsAt, w.Names = "app-1", "cal1", slot, map[string]crm.Names{crm.ObjectCalendar: {IDs: map[string][]string{"cal1": {"cal1"}}}}
		case crm.KindReschedule, crm.KindCancel:
			w.Command.AppointmentID, w.Command.StartsAt = "app-1", slot
		case crm.KindDND:
			w.Command.Channels = []string{"sms"}
		case crm.KindField:
			w.Command.Field, w.Command.FieldValue, w.Names = "f1", "only", map[string]crm.Names{crm.ObjectField: {IDs: map[string][]string{"f1": {"f1"}}}}
		case crm.KindMessage:
			w.Command.Channel = "sms"
		case crm.KindEnrol, crm.KindLeave:
			w.Command.Automation, w.Command.Of, w.Names = "w1", crm.ObjectWorkflow, map[string]crm.Names{crm.ObjectWorkflow: {IDs: map[string][]string{"w1": {"w1"}}}}
		}
		step := a.Next(w)
		if step.Call == nil {
			t.Errorf("%s with a known contact sends nothing: %+v", kind, step)
			continue
		}
		var body any
		if len(step.Call.Body) > 0 {
			if err := json.Unmarshal(step.Call.Body, &body); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if empty(body) {
			t.Errorf("%s sends what its command does not name: %s", kind, step.Call.Body)
		}
	}
}

func empty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			if one == nil || one == "" || empty(one) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return one == nil || one == "" || empty(one) })
	}
	return false
}

// paths: an id that a CRM gave is one segment of a path, whatever it holds.
func paths(t *testing.T, a crm.Adapter) {
	names := map[string]crm.Names{crm.ObjectUser: {IDs: map[string][]string{"ann owner": {"u1"}}}, crm.ObjectPipeline: {IDs: map[string][]string{"sales": {"p1"}}}, crm.ObjectStage: {IDs: map[string][]string{"p1/new": {"s1"}}}, crm.ObjectWorkflow: {IDs: map[string][]string{"welcome": {"w1"}}}, crm.ObjectField: {IDs: map[string][]string{"budget": {"f1"}}}, crm.ObjectCalendar: {IDs: map[string][]string{"demos": {"cal1"}}}} // else they would be looked up first
	for _, kind := range slices.Sorted(maps.Keys(a.Kinds())) {
		clean := a.Next(crm.Work{Kind: kind, Command: person, Account: "account-1", Link: crm.Link{Contact: "c1"}, Remote: "o1", Names: names}).Call
		odd := a.Next(crm.Work{Kind: kind, Command: person, Account: "account-1", Link: crm.Link{Contact: "c1/../x?y#z%2F"}, Remote: "o1/../x?y#z%2F", Names: names}).Call
		if clean == nil || odd == nil {
			t.Errorf("%s with a known contact sends nothing", kind)
			continue
		}
		u, err := url.Parse(odd.Path)
		if err != nil || u.Fragment != "" || strings.Count(u.EscapedPath(), "/") != strings.Count(clean.Path, "/") || strings.Contains(odd.Path, "y#z") {
			t.Errorf("%s: an id becomes a part of the path: %s", kind, odd.Path)
		}
	}
}

// limits: what a header says that makes no sense changes nothing.
func limits(t *testing.T, a crm.Adapter) {
	l := a.Limits()
	if l.Max < 1 || l.Interval <= 0 {
		t.Fatalf("the documented limits let nothing through: %+v", l)
	}
	for _, v := range []string{"", "-1", "0", "NaN", "1e9", "99999999999999999999", "x", " ", "0x10", "1;2"} {
		h := http.Header{}
		for _, name := range []string{"X-RateLimit-Max", "X-RateLimit-Remaining", "X-RateLimit-Interval-Milliseconds", "X-RateLimit-Daily-Remaining", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"} {
			h.Set(name, v)
		}
		if got := a.Learn(l, h); got.Max < 1 || got.Interval <= 0 {
			t.Errorf("headers of %q make limits that let nothing through: %+v", v, got)
		}
	}
}
