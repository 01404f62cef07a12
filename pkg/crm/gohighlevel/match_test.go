package gohighlevel

import (
	"testing"

	"github.com/neuronx/engine/pkg/crm"
)

func TestSame_TakesWhatTheVendorNormalisesForTheSame(t *testing.T) {
	for _, c := range []struct {
		name, sent, kept string
		want             bool
	}{
		{"phone", "(555) 010-2030", "+15550102030", true}, {"phone", "1-555-010-2030", "+15550102030", true}, {"phone", "030 123456", "+4930123456", true},
		{"phone", "0044 20 7946 0000", "+442079460000", true}, {"phone", "+44 (0)20 7946 0000", "+442079460000", true}, {"phone", "555.010.2030 ext. 12", "+15550102030", true},
		{"phone", "+15550102030", "+445550102030", false}, {"phone", "(555) 010-2030", "+15550102031", false}, {"phone", "12", "+15550102012", false},
		{"phone", "+15550102030", "", false}, {"phone", "", "", true},
		{"email", " Ann@Firm.Example ", "ann@firm.example", true}, {"email", "xn@bücher.example", "xn@xn--bcher-kva.example", true},
		{"email", "xn@BÜCHER.example", "xn@xn--bcher-kva.example", true}, {"email", "ann@firm.example", "anne@firm.example", false}, {"email", "a", "a", true},
		{"firstName", " Ann ", "Ann", true}, {"firstName", "Ann", "ann", false},
	} {
		if got := same(c.name, c.sent, c.kept); got != c.want {
			t.Errorf("%s %q and %q: %v", c.name, c.sent, c.kept, got)
		}
	}
}

func TestMatch_NamesAContactOnlyWithoutDoubt(t *testing.T) {
	k := crm.Keys{Email: "bob@firm.example", Phone: "+15550109999"}
	ann := &crm.Contact{ID: "A", Email: "ann@firm.example", Phone: "+15550109999"}
	bob := &crm.Contact{ID: "B", Email: "bob@firm.example"}
	office := &crm.Contact{ID: "D", Phone: "+15550109999"}
	for name, c := range map[string]struct {
		keys           crm.Keys
		byMail, byCall *crm.Contact
		id, code       string
	}{
		"nobody":                    {k, nil, nil, "", ""},
		"by address":                {k, bob, nil, "B", ""},
		"by both":                   {k, bob, bob, "B", ""},
		"two contacts":              {k, bob, ann, "", crm.CodeContactSplit},
		"the number is another's":   {k, nil, ann, "", crm.CodeContactTaken},
		"the number alone":          {k, nil, office, "D", ""},
		"a lead without an address": {crm.Keys{Phone: k.Phone}, nil, ann, "A", ""},
	} {
		id, code, detail, ok := match(c.keys, c.byMail, c.byCall)
		if id != c.id || code != c.code || ok != (c.code == "") || (detail == "") != ok {
			t.Errorf("%s: %q %q %q %v", name, id, code, detail, ok)
		}
	}
}

func TestFromData_TellsAnEmptyTextFromAnAbsentOne(t *testing.T) {
	c, _ := crm.FromData(map[string]any{"lead_id": "l1", "email": nil, "phone": "", "last_name": " \t"})
	if len(c.Clear) != 2 || c.Clear[0] != "phone" || c.Clear[1] != "last_name" || c.LastName != "" {
		t.Fatalf("%+v", c)
	}
	calls := planOf(crm.Work{Kind: crm.KindUpsert, Link: crm.Link{Contact: "c1"}, Command: c})
	if len(calls) != 1 || string(calls[0].Body) != `{"phone":null,"lastName":null}` {
		t.Fatalf("%+v", calls)
	}
	if calls := planOf(crm.Work{Kind: crm.KindUpsert, Link: crm.Link{Contact: "c1", Fresh: true}, Command: c}); len(calls) != 0 {
		t.Fatalf("a contact that was just found is emptied: %s", calls[0].Body)
	}
}

func TestClassify_ARefusedScopePausesOneEndpointAndARefusedTokenAll(t *testing.T) {
	for body, only := range map[string]bool{
		`{"message":"The token is not authorized for this scope."}`: true, `{"message":"Forbidden resource"}`: true,
		`{"message":"Invalid JWT"}`: false, `{"message":"The token does not have access to this location."}`: false,
	} {
		o := classify(crm.KindNote, crm.Call{Op: opNote, Changes: true}, crm.Answer{Status: 401, Body: []byte(body)})
		if o.Status != crm.Pending || o.Only != only || o.Pause != authPause || (o.Code == crm.CodeScope) != only {
			t.Errorf("%s: %+v", body, o)
		}
	}
}

func TestClassify_ALookUpIsRepeatableWhateverItsEffect(t *testing.T) {
	look := lookup("loc", "phone", "+1 555")
	if look.Path != "/contacts/search/duplicate?locationId=loc&number=%2B1+555" {
		t.Fatal(look.Path)
	}
	for body, want := range map[string]crm.Status{`{"contact":null}`: crm.Done, `{"contact":{"id":"c1","email":null}}`: crm.Done,
		`{}`: crm.Pending, `<html>`: crm.Pending, `{"contact":{}}`: crm.Pending, `{"contact":{"id":"../x"}}`: crm.Pending} {
		if o := classify(crm.KindNote, look, crm.Answer{Status: 200, Body: []byte(body)}); o.Status != want {
			t.Errorf("%s: %+v", body, o)
		}
	}
	if o := classify(crm.KindNote, look, crm.Answer{Status: 503}); o.Status != crm.Pending {
		t.Errorf("%+v", o)
	}
}
