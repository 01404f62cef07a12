package effect

import "testing"

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
	k := Keys{Email: "bob@firm.example", Phone: "+15550109999"}
	ann := &Contact{ID: "A", Email: "ann@firm.example", Phone: "+15550109999"}
	bob := &Contact{ID: "B", Email: "bob@firm.example"}
	office := &Contact{ID: "D", Phone: "+15550109999"}
	for name, c := range map[string]struct {
		keys           Keys
		byMail, byCall *Contact
		id, code       string
	}{
		"nobody":                    {k, nil, nil, "", ""},
		"by address":                {k, bob, nil, "B", ""},
		"by both":                   {k, bob, bob, "B", ""},
		"two contacts":              {k, bob, ann, "", CodeContactSplit},
		"the number is another's":   {k, nil, ann, "", CodeContactTaken},
		"the number alone":          {k, nil, office, "D", ""},
		"a lead without an address": {Keys{Phone: k.Phone}, nil, ann, "A", ""},
	} {
		id, code, detail, ok := Match(c.keys, c.byMail, c.byCall)
		if id != c.id || code != c.code || ok != (c.code == "") || (detail == "") != ok {
			t.Errorf("%s: %q %q %q %v", name, id, code, detail, ok)
		}
	}
}

func TestFromData_TellsAnEmptyTextFromAnAbsentOne(t *testing.T) {
	c, _ := FromData(map[string]any{"lead_id": "l1", "email": nil, "phone": "", "last_name": " \t"})
	if len(c.Clear) != 2 || c.Clear[0] != "phone" || c.Clear[1] != "last_name" || c.LastName != "" {
		t.Fatalf("%+v", c)
	}
	calls := Calls(State{Kind: KindUpsert, ContactID: "c1", Command: c})
	if len(calls) != 1 || string(calls[0].Body) != `{"phone":null,"lastName":null}` {
		t.Fatalf("%+v", calls)
	}
	if calls := Calls(State{Kind: KindUpsert, ContactID: "c1", Command: c, Adopt: true}); len(calls) != 0 {
		t.Fatalf("a contact that was just found is emptied: %s", calls[0].Body)
	}
}

func TestClassify_ARefusedScopePausesOneEndpointAndARefusedTokenAll(t *testing.T) {
	for body, only := range map[string]bool{
		`{"message":"The token is not authorized for this scope."}`: true, `{"message":"Forbidden resource"}`: true,
		`{"message":"Invalid JWT"}`: false, `{"message":"The token does not have access to this location."}`: false,
	} {
		o := ClassifyCall(KindNote, Call{Endpoint: endpointNote}, Answer{Status: 401, Body: []byte(body)})
		if o.Verdict != VerdictRetry || o.Only != only || o.Pause != authPause || (o.Code == CodeScope) != only {
			t.Errorf("%s: %+v", body, o)
		}
	}
}

func TestClassify_ALookUpIsRepeatableWhateverItsEffect(t *testing.T) {
	look := Lookup("loc", "phone", "+1 555")
	if look.Path != "/contacts/search/duplicate?locationId=loc&number=%2B1+555" {
		t.Fatal(look.Path)
	}
	for body, want := range map[string]Verdict{`{"contact":null}`: VerdictDone, `{"contact":{"id":"c1","email":null}}`: VerdictDone,
		`{}`: VerdictRetry, `<html>`: VerdictRetry, `{"contact":{}}`: VerdictRetry, `{"contact":{"id":"../x"}}`: VerdictRetry} {
		if o := ClassifyCall(KindNote, look, Answer{Status: 200, Body: []byte(body)}); o.Verdict != want {
			t.Errorf("%s: %+v", body, o)
		}
	}
	if o := ClassifyCall(KindNote, look, Answer{Status: 503}); o.Verdict != VerdictRetry {
		t.Errorf("%+v", o)
	}
}
