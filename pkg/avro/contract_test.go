package avro

import (
	"strings"
	"testing"
)

func TestImpliedType_IsTheFullNameInLowerCase(t *testing.T) {
	for name, want := range map[string]string{
		"acme.crm.DealClosed": "acme.crm.deal_closed", "com.acme.HTTPServer2": "com.acme.http_server2", "com.acmeCorp.v1.deal": "com.acme_corp.v1.deal",
		"a.DEAL": "a.deal", "a.Deal_Closed": "a.deal_closed", "a._Private": "a.private", "DealClosed": "", "a._": "",
	} {
		namespace, short := namespaceOf(name), name[strings.LastIndexByte(name, '.')+1:]
		text := `{"type":"record","name":"` + short + `","fields":[{"name":"x","type":"int"}]}`
		if namespace != "" {
			text = strings.Replace(text, `"fields"`, `"namespace":"`+namespace+`","fields"`, 1)
		}
		if got := mustParse(t, text).ImpliedType(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestParse_RefusesASubjectThatNamesNoText(t *testing.T) {
	for _, property := range []string{`"lead"`, `"lead/"`, `"lead/{}"`, `"{x}"`, `"lead/{x}y"`, `"lead/{missing}"`, `"lead/{n}"`, `7`, `[]`, `["lead/{x}", 1]`, `"a b/{x}"`} {
		text := `{"type":"record","name":"R","event_subject":` + property + `,"fields":[{"name":"x","type":"string"},{"name":"n","type":"int"}]}`
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "event_subject") {
			t.Errorf("%s: %v", property, err)
		}
	}
}

func TestSubject_TellsAnEmptyIdFromAnAbsentOne(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","event_subject":["lead/{lead_id}","activity/{activity_id}"],"fields":[
		{"name":"activity_id","type":"string"},{"name":"lead_id","type":["null","string"]}]}`)
	for text, want := range map[string]string{
		`{"activity_id":"a","lead_id":"l"}`:  "lead/ l",
		`{"activity_id":"a","lead_id":null}`: "activity/ a",
		`{"activity_id":"a","lead_id":""}`:   "activity/ a", // optional: empty is absent
		`{"activity_id":"","lead_id":"l"}`:   "activity/ ",
		`{"activity_id":"","lead_id":null}`:  "activity/ ",
		`{"activity_id":"","lead_id":""}`:    "activity/ ",
	} {
		body, err := s.EncodeJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if prefix, value := s.Subject("x.y", body); value == nil || prefix+" "+string(value) != want {
			t.Errorf("%s: %q %q, nil: %v", text, prefix, value, value == nil)
		}
	}
	if _, value := s.Subject("x.y", nil); value != nil {
		t.Errorf("a body that can't be read: %q", value)
	}
}

func TestSubject_ReadsTheFirstFieldThatHasAValue(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","event_subject":["lead/{lead}","deal/{deal}"],"fields":[{"name":"n","type":"long"},
		{"name":"in","type":{"type":"record","name":"In","fields":[{"name":"a","type":"string"},{"name":"b","type":["null","int"]}]}},
		{"name":"many","type":{"type":"array","items":"string"}},{"name":"deal","type":"string"},{"name":"lead","type":["string","null"]},{"name":"owner_id","type":"string"}]}`)
	for text, want := range map[string]string{
		`{"n":300,"in":{"a":"x","b":null},"many":["1","2"],"deal":"d","lead":"l","owner_id":"o"}`: "lead/l",
		`{"n":300,"in":{"a":"","b":7},"many":[],"deal":"d","lead":null,"owner_id":"o"}`:           "deal/d",
		`{"n":1,"in":{"a":"","b":7},"many":[],"deal":"","lead":null,"owner_id":"o"}`:              "deal/", // which is empty, not absent
	} {
		body, err := s.EncodeJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if prefix, value := s.Subject("x.y", body); prefix+string(value) != want {
			t.Errorf("%s: %s%s", text, prefix, value)
		}
		if !s.Names("owner/o", body) || s.Names("owner/p", body) || s.Names("owner", body) || s.Names("n/1", body) {
			t.Errorf("%s: it names another owner", text)
		}
		for cut := range len(body) { // whatever is there, it ends
			s.Subject("x.y", body[:cut])
		}
	}
}
