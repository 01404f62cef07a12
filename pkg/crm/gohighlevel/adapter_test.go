package gohighlevel

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/crmtest"
)

// planOf lists the calls that change something for a work whose contact is known, or is made.
func planOf(w crm.Work) (out []crm.Call) {
	for _, c := range (state{Work: w}).calls() {
		out = append(out, c.Call)
	}
	return out
}

var lead = crm.Command{LeadID: "l1", Email: "a@b.co"}

func TestNext_BeginsWithALookUpAWriteOrTheEnd(t *testing.T) {
	note := crm.Command{LeadID: "l1", Body: "hi"}
	known := crm.Link{Contact: "c1"}
	for name, c := range map[string]struct {
		w      crm.Work
		status crm.Status
		code   string
		op     string
		might  int
	}{
		"look first":       {crm.Work{Kind: crm.KindUpsert, Command: lead}, "", "", opLookup, 2},
		"look by both":     {crm.Work{Kind: crm.KindUpsert, Command: crm.Command{LeadID: "l1", Email: "a@b.co", Phone: "+15550100"}}, "", "", opLookup, 3},
		"update":           {crm.Work{Kind: crm.KindUpsert, Command: lead, Link: known}, "", "", opUpdate, 1},
		"unchanged":        {crm.Work{Kind: crm.KindUpsert, Command: lead, Link: crm.Link{Contact: "c1", Known: map[string]string{"email": "A@B.co "}}}, crm.Done, crm.CodeUnchanged, "", 0},
		"no key":           {crm.Work{Kind: crm.KindUpsert, Command: crm.Command{LeadID: "l1"}}, crm.Failed, crm.CodeContactUnknown, "", 0},
		"note, no contact": {crm.Work{Kind: crm.KindNote, Command: note}, crm.Failed, crm.CodeContactUnknown, "", 0},
		"note, by keys":    {crm.Work{Kind: crm.KindNote, Command: note, Link: crm.Link{Keys: crm.Keys{Phone: "+15550100"}}}, "", "", opLookup, 2},
		"note":             {crm.Work{Kind: crm.KindNote, Command: note, Link: known}, "", "", opNote, 1},
		"tags both ways":   {crm.Work{Kind: crm.KindTag, Command: crm.Command{LeadID: "l1", Add: []string{"A", "a "}, Remove: []string{"b"}}, Link: known}, "", "", opTagAdd, 2},
		"no tags":          {crm.Work{Kind: crm.KindTag, Command: crm.Command{LeadID: "l1", Add: []string{" "}}, Link: known}, crm.Done, "", "", 0},
	} {
		step := Adapter{}.Next(c.w)
		end, call := crm.End{}, crm.Call{}
		if step.End != nil {
			end = *step.End
		}
		if step.Call != nil {
			call = *step.Call
		}
		if end.Status != c.status || end.Code != c.code || call.Op != c.op || len(step.Might) != c.might {
			t.Errorf("%s: %+v", name, step)
		}
		if claims := c.w.Kind == crm.KindUpsert && c.op == opLookup; claims != (len(step.Claims) > 0) {
			t.Errorf("%s: claims %v", name, step.Claims)
		}
	}
}

func said(status int, body string) crm.Exchange {
	return crm.Exchange{Answer: crm.Answer{Status: status, Header: http.Header{}, Body: []byte(body)}}
}

// An attempt is told as a trail: after each, what is next.
func TestNext_FollowsTheTrail(t *testing.T) {
	const (
		none    = `{"contact":null}`
		ann     = `{"contact":{"id":"c1","email":"a@b.co"}}`
		missing = `{"message":"Contact with id c1 not found"}`
		taken   = `{"message":"This location does not allow duplicated contacts.","meta":{"contactId":"c9"}}`
	)
	upsert, note := crm.Work{Kind: crm.KindUpsert, Command: lead}, crm.Work{Kind: crm.KindNote, Command: crm.Command{LeadID: "l1", Body: "hi"}}
	known := note
	known.Link = crm.Link{Contact: "c1", Keys: crm.Keys{Email: "a@b.co"}}
	update := upsert
	update.Link = crm.Link{Contact: "c1"}
	for name, c := range map[string]struct {
		w     crm.Work
		trail []crm.Exchange
		want  string
	}{
		"nobody found: made":                     {upsert, []crm.Exchange{said(200, none)}, "POST /contacts/upsert"},
		"made":                                   {upsert, []crm.Exchange{said(200, none), said(201, `{"contact":{"id":"c1","email":"a@b.co"}}`)}, "done"},
		"found: linked before it is written":     {upsert, []crm.Exchange{said(200, ann)}, "adopt c1"},
		"found and linked":                       {upsert, []crm.Exchange{said(200, ann), {}}, "PUT /contacts/c1"},
		"found, another lead's":                  {upsert, []crm.Exchange{said(200, ann), {Owner: "l2"}}, "failed contact_taken"},
		"found, the same person's":               {upsert, []crm.Exchange{said(200, ann), {Owner: "l2", Same: true}}, "PUT /contacts/c1"},
		"found, the ledger is away":              {upsert, []crm.Exchange{said(200, ann), {Unknown: true}}, "pending not_linked"},
		"a look-up without an answer":            {upsert, []crm.Exchange{{Answer: crm.Answer{}}}, "pending no_answer"},
		"refused for another contact":            {update, []crm.Exchange{said(400, taken)}, "whose c9 (refused)"},
		"which is another lead's":                {update, []crm.Exchange{said(400, taken), {Owner: "l2"}}, "failed contact_taken"},
		"a note":                                 {known, []crm.Exchange{said(201, `{"note":{"id":"n1"}}`)}, "done"},
		"a note whose answer is lost":            {known, []crm.Exchange{{Answer: crm.Answer{}}}, "unknown no_answer"},
		"a note is rate limited":                 {known, []crm.Exchange{said(429, ``)}, "pending rate_limited (refused)"},
		"the contact is gone: its keys":          {known, []crm.Exchange{said(400, missing)}, "GET /contacts/search/duplicate?email=a%40b.co&locationId= (refused)"},
		"gone, and not shown yet":                {known, []crm.Exchange{said(400, missing), said(200, none)}, "pending contact_gone"},
		"gone, its successor is linked":          {known, []crm.Exchange{said(400, missing), said(200, `{"contact":{"id":"c2","email":"a@b.co"}}`)}, "adopt c2"},
		"gone, its successor gets the same":      {known, []crm.Exchange{said(400, missing), said(200, `{"contact":{"id":"c2","email":"a@b.co"}}`), {}}, "POST /contacts/c2/notes"},
		"gone, its successor, too":               {known, []crm.Exchange{said(400, missing), said(200, `{"contact":{"id":"c2","email":"a@b.co"}}`), {}, said(400, missing)}, "pending contact_gone (refused)"},
		"gone, its successor, answer lost":       {known, []crm.Exchange{said(400, missing), said(200, `{"contact":{"id":"c2","email":"a@b.co"}}`), {}, {}}, "unknown no_answer"},
		"the phone number is that of somebody":   {crm.Work{Kind: crm.KindUpsert, Command: crm.Command{LeadID: "l1", Email: "a@b.co", Phone: "+15550100"}}, []crm.Exchange{said(200, none), said(200, `{"contact":{"id":"c3","email":"z@b.co","phone":"+15550100"}}`)}, "whose c3"},
		"two contacts":                           {crm.Work{Kind: crm.KindUpsert, Command: crm.Command{LeadID: "l1", Email: "a@b.co", Phone: "+15550100"}}, []crm.Exchange{said(200, ann), said(200, `{"contact":{"id":"c3"}}`)}, "failed contact_split"},
		"a held key is not looked up":            {crm.Work{Kind: crm.KindUpsert, Command: lead, Held: map[string]crm.Contact{"email": {ID: "c5", Email: "a@b.co"}}}, nil, "adopt c5"},
		"what nobody asked for is not looked at": {known, []crm.Exchange{said(201, `{"note":{"id":"n1"}}`), said(500, "")}, "done"},
	} {
		w := c.w
		w.Trail, w.Attempts = c.trail, 1
		step := Adapter{}.Next(w)
		var got string
		switch {
		case step.End != nil && step.End.Code != "":
			got = string(step.End.Status) + " " + step.End.Code
		case step.End != nil:
			got = string(step.End.Status)
		case step.Call != nil:
			got = step.Call.Method + " " + step.Call.Path
		case step.Adopt != "":
			got = "adopt " + step.Adopt
		case step.Whose != "":
			got = "whose " + step.Whose
		}
		if step.Refused {
			got += " (refused)"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if !reflect.DeepEqual(step, Adapter{}.Next(w)) {
			t.Errorf("%s: the same work gives another step", name)
		}
	}
}

// What a look found is final when the looks before waited long enough for the CRM's search, and came to the same.
func TestFinal_AfterAsManyLooksAsTheSearchMayNeed(t *testing.T) {
	for attempts, want := range map[int]bool{0: false, looks - 1: false, looks: true, looks + 1: true} {
		a := &attempt{state: state{Work: crm.Work{LastCode: crm.CodeContactExists, Attempts: attempts}}}
		if a.final(crm.CodeContactExists) != want || a.final(crm.CodeContactTaken) {
			t.Errorf("after %d attempts: %v", attempts, !want)
		}
		o := a.wait(crm.CodeContactExists, "d")
		if o.Status != crm.Pending || o.Code != crm.CodeContactExists || o.Detail != "d" || o.After != lookAgain*time.Duration(max(1, attempts)) {
			t.Errorf("after %d attempts: %+v", attempts, o)
		}
	}
}

func TestAdapter_HoldsToTheContract(t *testing.T) { crmtest.Run(t, Adapter{}) }
