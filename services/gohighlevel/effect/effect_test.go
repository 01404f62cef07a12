package effect

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h
}

func TestClassify_FollowsTheTable(t *testing.T) {
	gone := errors.New("connection reset")
	up, note, tag := KindUpsert, KindNote, KindTag
	for name, c := range map[string]struct {
		kind    string
		answer  Answer
		verdict Verdict
		code    string
		after   time.Duration
	}{
		"never connected, upsert":           {up, Answer{Err: gone, NotSent: true}, VerdictRetry, "not_connected", 0},
		"never connected, note":             {note, Answer{Err: gone, NotSent: true}, VerdictRetry, "not_connected", 0},
		"answer lost, upsert":               {up, Answer{Err: gone}, VerdictRetry, "no_answer", 0},
		"answer lost, note":                 {note, Answer{Err: gone}, VerdictUnknown, "no_answer", 0},
		"created":                           {up, Answer{Status: 201, Body: []byte(`{"new":true,"contact":{"id":"abc"}}`)}, VerdictDone, "", 0},
		"any 2xx":                           {note, Answer{Status: 200, Body: []byte(`{"note":{"id":"n1"}}`)}, VerdictDone, "", 0},
		"tags":                              {tag, Answer{Status: 201, Body: []byte(`{"tags":[]}`)}, VerdictDone, "", 0},
		"html with 200, upsert":             {up, Answer{Status: 200, Body: []byte(`<html>`)}, VerdictRetry, "unreadable_answer", 0},
		"html with 200, note":               {note, Answer{Status: 200, Body: []byte(`<html>`)}, VerdictUnknown, "unreadable_answer", 0},
		"empty 200, note":                   {note, Answer{Status: 200}, VerdictUnknown, "unreadable_answer", 0},
		"body broke off":                    {note, Answer{Status: 201, Err: gone, Body: []byte(`{"note":`)}, VerdictUnknown, "unreadable_answer", 0},
		"huge":                              {up, Answer{Status: 200, Cut: true, Body: []byte(`{"contact":{"id":"abc"}}`)}, VerdictRetry, "unreadable_answer", 0},
		"id that is a path":                 {up, Answer{Status: 200, Body: []byte(`{"contact":{"id":"../x"}}`)}, VerdictRetry, "unreadable_answer", 0},
		"duplicate":                         {up, Answer{Status: 400, Body: []byte(`{"message":"This location does not allow duplicated contacts.","meta":{"contactId":"c9"}}`)}, VerdictFailed, CodeContactTaken, 0},
		"version":                           {note, Answer{Status: 401, Body: []byte(`{"message":"version header was not found."}`)}, VerdictFailed, CodeVersion, 0},
		"token":                             {note, Answer{Status: 401, Body: []byte(`{"message":"Invalid JWT"}`)}, VerdictRetry, "unauthorized", authPause},
		"location":                          {up, Answer{Status: 403, Body: []byte(`{"message":"The token does not have access to this location."}`)}, VerdictRetry, "unauthorized", authPause},
		"other 403, note":                   {note, Answer{Status: 403, Body: []byte(`<html>waf</html>`)}, VerdictUnknown, CodeRejected, 0},
		"route":                             {note, Answer{Status: 404, Body: []byte(`{"message":"Cannot POST /contacts/x/notes"}`)}, VerdictFailed, CodeNotFound, 0},
		"contact gone":                      {note, Answer{Status: 400, Body: []byte(`{"message":"Contact with id x not found"}`)}, VerdictFailed, CodeContactUnknown, 0},
		"422, upsert":                       {up, Answer{Status: 422, Body: []byte(`{"message":["email must be an email"]}`)}, VerdictFailed, CodeRejected, 0},
		"422 proves nothing for once":       {note, Answer{Status: 422, Body: []byte(`{"message":["body x"]}`)}, VerdictUnknown, CodeRejected, 0},
		"409, note":                         {note, Answer{Status: 409}, VerdictUnknown, CodeRejected, 0},
		"429 bare":                          {note, Answer{Status: 429}, VerdictRetry, "rate_limited", 10 * time.Second},
		"429 with interval":                 {up, Answer{Status: 429, Header: header("X-RateLimit-Interval-Milliseconds", "2500")}, VerdictRetry, "rate_limited", 2500 * time.Millisecond},
		"429 Retry-After":                   {up, Answer{Status: 429, Header: header("Retry-After", "7")}, VerdictRetry, "rate_limited", 7 * time.Second},
		"429 Retry-After zero":              {up, Answer{Status: 429, Header: header("Retry-After", "0")}, VerdictRetry, "rate_limited", time.Second},
		"429 Retry-After huge":              {up, Answer{Status: 429, Header: header("Retry-After", "99999999999")}, VerdictRetry, "rate_limited", time.Hour},
		"429 Retry-After out of range":      {up, Answer{Status: 429, Header: header("Retry-After", "99999999999999999999")}, VerdictRetry, "rate_limited", 10 * time.Second},
		"429 Retry-After date":              {up, Answer{Status: 429, Header: header("Retry-After", "Mon, 30 Nov 2026 10:02:00 GMT", "Date", "Mon, 30 Nov 2026 10:00:00 GMT")}, VerdictRetry, "rate_limited", 2 * time.Minute},
		"429 Retry-After date that is over": {up, Answer{Status: 429, Header: header("Retry-After", "Mon, 30 Nov 2026 09:00:00 GMT", "Date", "Mon, 30 Nov 2026 10:00:00 GMT")}, VerdictRetry, "rate_limited", time.Second},
		"429 Retry-After far date":          {up, Answer{Status: 429, Header: header("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", "Date", "Mon, 30 Nov 2026 10:00:00 GMT")}, VerdictRetry, "rate_limited", time.Hour},
		"429 Retry-After date, no Date":     {up, Answer{Status: 429, Header: header("Retry-After", "Mon, 30 Nov 2026 10:02:00 GMT")}, VerdictRetry, "rate_limited", 10 * time.Second},
		"429 Retry-After negative":          {up, Answer{Status: 429, Header: header("Retry-After", "-5")}, VerdictRetry, "rate_limited", 10 * time.Second},
		"500, upsert":                       {up, Answer{Status: 500}, VerdictRetry, "no_verdict", 0},
		"500, note":                         {note, Answer{Status: 500}, VerdictUnknown, "no_verdict", 0},
		"504, tag":                          {tag, Answer{Status: 504, Body: []byte(`<html>`)}, VerdictRetry, "no_verdict", 0},
		"408, note":                         {note, Answer{Status: 408}, VerdictUnknown, "no_verdict", 0},
		"redirect, upsert":                  {up, Answer{Status: 302}, VerdictFailed, CodeRedirected, 0},
		"redirect, note":                    {note, Answer{Status: 307}, VerdictUnknown, CodeRedirected, 0},
		"message array of odd things":       {up, Answer{Status: 400, Body: []byte(`{"message":[1,{"a":2}],"error":{"message":"x"}}`)}, VerdictFailed, CodeRejected, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := Classify(c.kind, c.answer)
			if o.Verdict != c.verdict || o.Code != c.code || o.After != c.after {
				t.Fatalf("got %+v", o)
			}
		})
	}
}

// The promise behind I5: whatever comes back, a once effect is tried again only after a refusal given before it was acted upon.
func TestClassify_OnceIsRetriedOnlyAfterProvenRefusals(t *testing.T) {
	for status := 100; status < 600; status++ {
		for _, body := range []string{``, `{}`, `<html>`, `{"message":"x"}`, `{"message":["x"]}`, `{"message":"contact not found"}`} {
			o := Classify(KindNote, Answer{Status: status, Body: []byte(body)})
			if o.Verdict == VerdictRetry && status != 429 && status != 401 {
				t.Fatalf("status %d %s: %+v", status, body, o)
			}
			if o.Verdict == VerdictDone {
				t.Fatalf("status %d %s is done without a note", status, body)
			}
		}
	}
}

func TestClassify_TellsNoMoreThanAFewPrintableWords(t *testing.T) {
	o := Classify(KindUpsert, Answer{Status: 400, Body: []byte(`{"message":"` + strings.Repeat("é\\u0000\\n", 1000) + `"}`)})
	if len(o.Detail) > maxDetailBytes+40 || strings.ContainsAny(o.Detail, "\x00\n") {
		t.Fatalf("%q", o.Detail)
	}
}

func TestDropped_NamesKeysThatWereNotTakenOver(t *testing.T) {
	c := Call{Writes: map[string]string{"email": "A@b.co", "phone": "+1 555-1111"}}
	if got := Dropped(c, []byte(`{"contact":{"email":"a@b.co","phone":"+15551111"}}`)); got != nil {
		t.Fatal(got)
	}
	if got := Dropped(c, []byte(`{"contact":{"email":"a@b.co"}}`)); len(got) != 1 || got[0] != "phone" {
		t.Fatal(got)
	}
}

func TestNext_DecidesBeforeAnythingIsSent(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	lead := Command{LeadID: "l1", Email: "a@b.co"}
	note := Command{LeadID: "l1", Body: "hi"}
	for name, c := range map[string]struct {
		s      State
		status Status
		code   string
		calls  int
	}{
		"look first":       {State{Kind: KindUpsert, Command: lead, Mode: ModeSend, Connected: true, NotAfter: now}, "", "", 0},
		"update":           {State{Kind: KindUpsert, Command: lead, Mode: ModeSend, Connected: true, ContactID: "c1"}, "", "", 1},
		"partial update":   {State{Kind: KindUpsert, Command: Command{LeadID: "l1", LastName: "Smith"}, Mode: ModeSend, Connected: true, ContactID: "c1"}, "", "", 1},
		"unchanged":        {State{Kind: KindUpsert, Command: lead, Mode: ModeSend, Connected: true, ContactID: "c1", Known: map[string]string{"email": "A@B.co "}}, Done, CodeUnchanged, 0},
		"not connected":    {State{Kind: KindUpsert, Command: lead, Mode: ModeSend}, Off, "", 0},
		"off":              {State{Kind: KindUpsert, Command: lead, Mode: ModeOff, Connected: true}, Off, "", 0},
		"record":           {State{Kind: KindUpsert, Command: lead, Mode: ModeRecord, Connected: true}, Recorded, "", 0},
		"no mode":          {State{Kind: KindUpsert, Command: lead, Connected: true}, Recorded, "", 0},
		"expired":          {State{Kind: KindUpsert, Command: lead, Mode: ModeSend, Connected: true, NotAfter: now.Add(-time.Second)}, Failed, CodeExpired, 0},
		"no key":           {State{Kind: KindUpsert, Command: Command{LeadID: "l1"}, Mode: ModeSend, Connected: true}, Failed, CodeContactUnknown, 0},
		"note, no contact": {State{Kind: KindNote, Command: note, Mode: ModeSend, Connected: true}, Failed, CodeContactUnknown, 0},
		"note":             {State{Kind: KindNote, Command: note, Mode: ModeSend, Connected: true, ContactID: "c1"}, "", "", 1},
		"tags both ways": {State{Kind: KindTag, Command: Command{LeadID: "l1", Add: []string{"A", "a "}, Remove: []string{"b"}}, Mode: ModeSend, Connected: true,
			ContactID: "c1"}, "", "", 2},
		"no tags":                {State{Kind: KindTag, Command: Command{LeadID: "l1", Add: []string{" "}}, Mode: ModeSend, Connected: true, ContactID: "c1"}, Done, "", 0},
		"message":                {State{Kind: KindMessage, Command: Command{LeadID: "l1", Body: "Hi"}, Mode: ModeSend, Connected: true}, Failed, CodeUnsupported, 0},
		"message by template":    {State{Kind: KindMessage, Command: Command{LeadID: "l1", Template: "t"}, Mode: ModeSend, Connected: true}, Failed, CodeUnsupported, 0},
		"message of two texts":   {State{Kind: KindMessage, Command: Command{LeadID: "l1", Body: "Hi", Template: "t"}, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand, 0},
		"message of no text":     {State{Kind: KindMessage, Command: lead, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand, 0},
		"message, known contact": {State{Kind: KindMessage, Command: Command{LeadID: "l1", Body: "Hi"}, Mode: ModeSend, Connected: true, ContactID: "c1"}, Failed, CodeUnsupported, 0},
		"message in mode record": {State{Kind: KindMessage, Command: Command{LeadID: "l1", Body: "Hi"}, Mode: ModeRecord, Connected: true}, Recorded, "", 0},
		"task":                   {State{Kind: KindTask, Command: lead, Mode: ModeSend, Connected: true, ContactID: "c1"}, Failed, CodeUnsupported, 0},
		"unknown kind":           {State{Kind: "crm.fax.send", Command: lead, Mode: ModeSend, Connected: true}, Failed, CodeUnknownKind, 0},
	} {
		t.Run(name, func(t *testing.T) {
			step := Next(c.s, now)
			if step.Status != c.status || step.Code != c.code || len(step.Calls) != c.calls {
				t.Fatalf("got %+v", step)
			}
		})
	}
}

func TestCalls_NeverSendTagsInAnUpsert(t *testing.T) {
	calls := Calls(State{Kind: KindUpsert, Location: "loc", Command: Command{LeadID: "l", Email: "a@b.co", Add: []string{"x"}, Remove: []string{"y"}, Body: "z"}})
	if got := string(calls[0].Body); got != `{"locationId":"loc","email":"a@b.co"}` {
		t.Fatal(got)
	}
}

func TestCalls_UpdateAKnownContactByItsID(t *testing.T) {
	calls := Calls(State{Kind: KindUpsert, Location: "loc", ContactID: "c1", Command: Command{LeadID: "l", Email: "new@b.co", FirstName: "Ann"}})
	if len(calls) != 1 || calls[0].Method != "PUT" || calls[0].Path != "/contacts/c1" || string(calls[0].Body) != `{"email":"new@b.co","firstName":"Ann"}` {
		t.Fatalf("%+v", calls)
	}
	taken := Answer{Status: 400, Body: []byte(`{"message":"This location does not allow duplicated contacts.","meta":{"contactId":"other"}}`)}
	if o := ClassifyCall(KindUpsert, calls[0], taken); o.Verdict != VerdictFailed || o.Code != CodeContactTaken || o.RemoteID != "" {
		t.Fatalf("an address of another contact turns the lead into it: %+v", o)
	}
}

func TestCalls_PutNoRemoteIDIntoThePathUnescaped(t *testing.T) {
	calls := Calls(State{Kind: KindNote, ContactID: "a/../b?c", Command: Command{LeadID: "l", Body: "z"}})
	if got := calls[0].Path; got != "/contacts/a%2F..%2Fb%3Fc/notes" {
		t.Fatal(got)
	}
}

func TestModeFor_PrefersTheKindThenAllThenTheConnection(t *testing.T) {
	set := map[string]Mode{KindNote: ModeOff, "*": ModeRecord}
	if ModeFor(KindNote, set, ModeSend) != ModeOff || ModeFor(KindTag, set, ModeSend) != ModeRecord || ModeFor(KindTag, nil, ModeSend) != ModeSend {
		t.Fatal("wrong order")
	}
	if ParseMode("SEND") != ModeRecord {
		t.Fatal("an unknown mode must do no harm")
	}
}

func TestLimits_IgnoreAbsurdHeaders(t *testing.T) {
	l := ReadLimits(DocumentedLimits(), header("X-RateLimit-Max", "-1", "X-RateLimit-Interval-Milliseconds", "0", "X-RateLimit-Daily-Remaining", "x", "X-RateLimit-Remaining", "1e9"))
	if l != DocumentedLimits() {
		t.Fatalf("%+v", l)
	}
	l = ReadLimits(l, header("X-RateLimit-Max", "25", "X-RateLimit-Remaining", "3", "X-RateLimit-Daily-Remaining", "900"))
	now := time.Date(2026, 11, 23, 23, 50, 0, 0, time.UTC)
	if l.Max != 25 || l.Remaining != 3 || l.DailyPause(1000, now) != 10*time.Minute || l.DailyPause(100, now) != 0 {
		t.Fatalf("%+v", l)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(200, []byte(`{"contact":{"id":"x"}}`))
	f.Add(400, []byte(`{"message":["a"],"meta":{"contactId":"c"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, kind := range Kinds() {
			o := Classify(kind, Answer{Status: status, Body: body})
			if o.RemoteID != "" && !validID(o.RemoteID) || o.Verdict == "" {
				t.Fatalf("%+v", o)
			}
		}
	})
}
