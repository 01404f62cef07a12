package gohighlevel

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
)

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h
}

// classified is what an answer to a call that changes something means.
func classified(kind string, a crm.Answer) outcome {
	return classify(kind, crm.Call{Changes: true}, a)
}

func TestClassify_FollowsTheTable(t *testing.T) {
	gone := errors.New("connection reset")
	up, note, tag, message := crm.KindUpsert, crm.KindNote, crm.KindTag, crm.KindMessage
	for name, c := range map[string]struct {
		kind   string
		answer crm.Answer
		status crm.Status
		code   string
		after  time.Duration
	}{
		"never connected, upsert":           {up, crm.Answer{Err: gone, NotSent: true}, crm.Pending, "not_connected", 0},
		"never connected, note":             {note, crm.Answer{Err: gone, NotSent: true}, crm.Pending, "not_connected", 0},
		"answer lost, upsert":               {up, crm.Answer{Err: gone}, crm.Pending, "no_answer", 0},
		"answer lost, note":                 {note, crm.Answer{Err: gone}, crm.Unknown, "no_answer", 0},
		"created":                           {up, crm.Answer{Status: 201, Body: []byte(`{"new":true,"contact":{"id":"abc"}}`)}, crm.Done, "", 0},
		"any 2xx":                           {note, crm.Answer{Status: 200, Body: []byte(`{"note":{"id":"n1"}}`)}, crm.Done, "", 0},
		"tags":                              {tag, crm.Answer{Status: 201, Body: []byte(`{"tags":[]}`)}, crm.Done, "", 0},
		"html with 200, upsert":             {up, crm.Answer{Status: 200, Body: []byte(`<html>`)}, crm.Pending, "unreadable_answer", 0},
		"html with 200, note":               {note, crm.Answer{Status: 200, Body: []byte(`<html>`)}, crm.Unknown, "unreadable_answer", 0},
		"empty 200, note":                   {note, crm.Answer{Status: 200}, crm.Unknown, "unreadable_answer", 0},
		"body broke off":                    {note, crm.Answer{Status: 201, Err: gone, Body: []byte(`{"note":`)}, crm.Unknown, "unreadable_answer", 0},
		"huge":                              {up, crm.Answer{Status: 200, Cut: true, Body: []byte(`{"contact":{"id":"abc"}}`)}, crm.Pending, "unreadable_answer", 0},
		"id that is a path":                 {up, crm.Answer{Status: 200, Body: []byte(`{"contact":{"id":"../x"}}`)}, crm.Pending, "unreadable_answer", 0},
		"duplicate":                         {up, crm.Answer{Status: 400, Body: []byte(`{"message":"This location does not allow duplicated contacts.","meta":{"contactId":"c9"}}`)}, crm.Failed, crm.CodeContactTaken, 0},
		"version":                           {note, crm.Answer{Status: 401, Body: []byte(`{"message":"version header was not found."}`)}, crm.Failed, crm.CodeVersion, 0},
		"token":                             {note, crm.Answer{Status: 401, Body: []byte(`{"message":"Invalid JWT"}`)}, crm.Pending, "unauthorized", authPause},
		"location":                          {up, crm.Answer{Status: 403, Body: []byte(`{"message":"The token does not have access to this location."}`)}, crm.Pending, "unauthorized", authPause},
		"other 403, note":                   {note, crm.Answer{Status: 403, Body: []byte(`<html>waf</html>`)}, crm.Unknown, crm.CodeRejected, 0},
		"route":                             {note, crm.Answer{Status: 404, Body: []byte(`{"message":"Cannot POST /contacts/x/notes"}`)}, crm.Failed, crm.CodeNotFound, 0},
		"contact gone":                      {note, crm.Answer{Status: 400, Body: []byte(`{"message":"Contact with id x not found"}`)}, crm.Failed, crm.CodeContactUnknown, 0},
		"422, upsert":                       {up, crm.Answer{Status: 422, Body: []byte(`{"message":["email must be an email"]}`)}, crm.Failed, crm.CodeRejected, 0},
		"422 proves nothing for once":       {note, crm.Answer{Status: 422, Body: []byte(`{"message":["body x"]}`)}, crm.Unknown, crm.CodeRejected, 0},
		"409, note":                         {note, crm.Answer{Status: 409}, crm.Unknown, crm.CodeRejected, 0},
		"429 bare":                          {note, crm.Answer{Status: 429}, crm.Pending, "rate_limited", 10 * time.Second},
		"429 with interval":                 {up, crm.Answer{Status: 429, Header: header("X-RateLimit-Interval-Milliseconds", "2500")}, crm.Pending, "rate_limited", 2500 * time.Millisecond},
		"429 Retry-After":                   {up, crm.Answer{Status: 429, Header: header("Retry-After", "7")}, crm.Pending, "rate_limited", 7 * time.Second},
		"429 Retry-After zero":              {up, crm.Answer{Status: 429, Header: header("Retry-After", "0")}, crm.Pending, "rate_limited", time.Second},
		"429 Retry-After huge":              {up, crm.Answer{Status: 429, Header: header("Retry-After", "99999999999")}, crm.Pending, "rate_limited", time.Hour},
		"429 Retry-After out of range":      {up, crm.Answer{Status: 429, Header: header("Retry-After", "99999999999999999999")}, crm.Pending, "rate_limited", 10 * time.Second},
		"429 Retry-After date":              {up, crm.Answer{Status: 429, Header: header("Retry-After", "Mon, 30 Nov 2026 10:02:00 GMT", "Date", "Mon, 30 Nov 2026 10:00:00 GMT")}, crm.Pending, "rate_limited", 2 * time.Minute},
		"429 Retry-After date that is over": {up, crm.Answer{Status: 429, Header: header("Retry-After", "Mon, 30 Nov 2026 09:00:00 GMT", "Date", "Mon, 30 Nov 2026 10:00:00 GMT")}, crm.Pending, "rate_limited", time.Second},
		"429 Retry-After far date":          {up, crm.Answer{Status: 429, Header: header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", "Date", "Mon, 30 Nov 2026 10:00:00 GMT")}, crm.Pending, "rate_limited", time.Hour},
		"429 Retry-After date, no Date":     {up, crm.Answer{Status: 429, Header: header("Retry-After", "Mon, 30 Nov 2026 10:02:00 GMT")}, crm.Pending, "rate_limited", 10 * time.Second},
		"429 Retry-After negative":          {up, crm.Answer{Status: 429, Header: header("Retry-After", "-5")}, crm.Pending, "rate_limited", 10 * time.Second},
		"DND, message":                      {message, crm.Answer{Status: 400, Body: []byte(`{"message":"Cannot send message as DND is active for SMS."}`)}, crm.Failed, crm.CodeDoNotDisturb, 0},
		"no number, message":                {message, crm.Answer{Status: 400, Body: []byte(`{"message":"Missing phone number"}`)}, crm.Failed, crm.CodeAddress, 0},
		"400 of another kind, message":      {message, crm.Answer{Status: 400, Body: []byte(`{"message":"no"}`)}, crm.Unknown, crm.CodeRejected, 0},
		"DND, note":                         {note, crm.Answer{Status: 400, Body: []byte(`{"message":"Cannot send message as DND is active for SMS."}`)}, crm.Unknown, crm.CodeRejected, 0},
		"500, upsert":                       {up, crm.Answer{Status: 500}, crm.Pending, "no_verdict", 0},
		"500, note":                         {note, crm.Answer{Status: 500}, crm.Unknown, "no_verdict", 0},
		"504, tag":                          {tag, crm.Answer{Status: 504, Body: []byte(`<html>`)}, crm.Pending, "no_verdict", 0},
		"408, note":                         {note, crm.Answer{Status: 408}, crm.Unknown, "no_verdict", 0},
		"redirect, upsert":                  {up, crm.Answer{Status: 302}, crm.Failed, crm.CodeRedirected, 0},
		"redirect, note":                    {note, crm.Answer{Status: 307}, crm.Unknown, crm.CodeRedirected, 0},
		"message array of odd things":       {up, crm.Answer{Status: 400, Body: []byte(`{"message":[1,{"a":2}],"error":{"message":"x"}}`)}, crm.Failed, crm.CodeRejected, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := classified(c.kind, c.answer)
			if o.Status != c.status || o.Code != c.code || o.After != c.after {
				t.Fatalf("got %+v", o)
			}
		})
	}
}

// The promise behind I5: whatever comes back, a once effect is tried again only after a refusal given before it was acted upon.
func TestClassify_OnceIsRetriedOnlyAfterProvenRefusals(t *testing.T) {
	for status := 100; status < 600; status++ {
		for _, body := range []string{``, `{}`, `<html>`, `{"message":"x"}`, `{"message":["x"]}`, `{"message":"contact not found"}`} {
			o := classified(crm.KindNote, crm.Answer{Status: status, Body: []byte(body)})
			if o.Status == crm.Pending && status != 429 && status != 401 {
				t.Fatalf("status %d %s: %+v", status, body, o)
			}
			if o.Status == crm.Done {
				t.Fatalf("status %d %s is done without a note", status, body)
			}
		}
	}
}

func TestClassify_TellsNoMoreThanAFewPrintableWords(t *testing.T) {
	o := classified(crm.KindUpsert, crm.Answer{Status: 400, Body: []byte(`{"message":"` + strings.Repeat("é\\u0000\\n", 1000) + `"}`)})
	if len(o.Detail) > maxDetailBytes+40 || strings.ContainsAny(o.Detail, "\x00\n") {
		t.Fatalf("%q", o.Detail)
	}
}

func TestDropped_NamesKeysThatWereNotTakenOver(t *testing.T) {
	c := crm.Call{Writes: map[string]string{"email": "A@b.co", "phone": "+1 555-1111"}}
	if got := dropped(c, []byte(`{"contact":{"email":"a@b.co","phone":"+15551111"}}`)); got != nil {
		t.Fatal(got)
	}
	if got := dropped(c, []byte(`{"contact":{"email":"a@b.co"}}`)); len(got) != 1 || got[0] != "phone" {
		t.Fatal(got)
	}
}

func TestCalls_NeverSendTagsInAnUpsert(t *testing.T) {
	calls := planOf(crm.Work{Kind: crm.KindUpsert, Account: "loc", Command: crm.Command{LeadID: "l", Email: "a@b.co", Add: []string{"x"}, Remove: []string{"y"}, Body: "z"}})
	if got := string(calls[0].Body); got != `{"locationId":"loc","email":"a@b.co"}` {
		t.Fatal(got)
	}
}

func TestCalls_UpdateAKnownContactByItsID(t *testing.T) {
	calls := planOf(crm.Work{Kind: crm.KindUpsert, Account: "loc", Link: crm.Link{Contact: "c1"}, Command: crm.Command{LeadID: "l", Email: "new@b.co", FirstName: "Ann"}})
	if len(calls) != 1 || calls[0].Method != "PUT" || calls[0].Path != "/contacts/c1" || string(calls[0].Body) != `{"email":"new@b.co","firstName":"Ann"}` {
		t.Fatalf("%+v", calls)
	}
	taken := crm.Answer{Status: 400, Body: []byte(`{"message":"This location does not allow duplicated contacts.","meta":{"contactId":"other"}}`)}
	if o := classify(crm.KindUpsert, calls[0], taken); o.Status != crm.Failed || o.Code != crm.CodeContactTaken || o.RemoteID != "" {
		t.Fatalf("an address of another contact turns the lead into it: %+v", o)
	}
}

func TestCalls_PutNoRemoteIDIntoThePathUnescaped(t *testing.T) {
	calls := planOf(crm.Work{Kind: crm.KindNote, Link: crm.Link{Contact: "a/../b?c"}, Command: crm.Command{LeadID: "l", Body: "z"}})
	if got := calls[0].Path; got != "/contacts/a%2F..%2Fb%3Fc/notes" {
		t.Fatal(got)
	}
}

func TestLimits_IgnoreAbsurdHeaders(t *testing.T) {
	l := Adapter{}.Learn(Adapter{}.Limits(), header("X-RateLimit-Max", "-1", "X-RateLimit-Interval-Milliseconds", "0", "X-RateLimit-Daily-Remaining", "x", "X-RateLimit-Remaining", "1e9"))
	if l != (Adapter{}).Limits() {
		t.Fatalf("%+v", l)
	}
	l = Adapter{}.Learn(l, header("X-RateLimit-Max", "25", "X-RateLimit-Remaining", "3", "X-RateLimit-Daily-Remaining", "900"))
	now := time.Date(2026, 11, 23, 23, 50, 0, 0, time.UTC)
	if l.Max != 25 || l.Remaining != 3 || l.DailyPause(1000, now) != 10*time.Minute || l.DailyPause(100, now) != 0 {
		t.Fatalf("%+v", l)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, []byte(`{"contact":{"id":"x"}}`))
	f.Add(400, []byte(`{"message":["a"],"meta":{"contactId":"c"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, kind := range slices.Sorted(maps.Keys(Adapter{}.Kinds())) {
			o := classified(kind, crm.Answer{Status: status, Body: body})
			if o.RemoteID != "" && !validID(o.RemoteID) || o.Status == "" {
				t.Fatalf("%+v", o)
			}
		}
	})
}
