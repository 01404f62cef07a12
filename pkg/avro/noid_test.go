package avro

import "testing"

func TestNamesNothing_TellsMissingValuesFromIds(t *testing.T) {
	for _, id := range []string{"", " ", "\t\n", "\u00a0", "null", "NULL", "undefined", "NaN", "None", "[object Object]", "<nil>", "#N/A", "{{contact.id}}", "{{ lead.id }}", "${id}",
		"\u200b", " \ufeff", "\u200e\u2060", "00000000-0000-0000-0000-000000000000", "%LEAD_ID%", "%%id%%", "*|LEADID|*", "<%= id %>", "[[id]]", "#{id}",
		"0", "-1", "0.0", "-1.0", "000000000000000", "000000000000000AAA"} {
		if !NamesNothing([]byte(id)) {
			t.Errorf("%q is taken for an id", id)
		}
	}
	for _, id := range []string{"1", "00", "01", "0x0", "10", "-0", "-2", "-11", "0.1", "0-1", "00000000000000", "0000000000000000", "000000000000001AAA", " 1", "1 ", "-", "nullify", "Null", "Nan", "none", "undefined-7", "{7f3c}", "$1", "#12", "é", "\u00a07", "{{a}}/1", "\u200b7",
		"00000000-0000-0000-0000-000000000001", "0000", "%41", "%", "%%", "100%", "*", "[1]", "{}", "${", "🙂"} {
		if NamesNothing([]byte(id)) {
			t.Errorf("%q is taken for none", id)
		}
	}
}

func TestUnnamed_IsAboutTheThingsOwnIdAlone(t *testing.T) {
	s := mustParse(t, `{"type":"record","name":"R","event_subject":["lead/{lead_id}","activity/{activity_id}"],"fields":[{"name":"n","type":"long"},
		{"name":"lead_id","type":["null","string"]},{"name":"activity_id","type":"string"},{"name":"owner_id","type":"string"}]}`)
	for text, want := range map[string]string{
		`{"n":1,"lead_id":null,"activity_id":"","owner_id":"o"}`:          "activity_id",
		`{"n":1,"lead_id":"l","activity_id":"undefined","owner_id":"o"}`:  "activity_id",
		`{"n":1,"lead_id":"","activity_id":"a","owner_id":""}`:            "", // says that there is no lead, and no owner
		`{"n":1,"lead_id":"l","activity_id":"undefined1","owner_id":"o"}`: "",
	} {
		body, err := s.EncodeJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if field, value := s.Unnamed("x.y", body); field != want {
			t.Errorf("%s: %s %q", text, field, value)
		}
		for cut := range len(body) { // what can't be read has no id, which is another fault
			if field, _ := s.Unnamed("x.y", body[:cut]); field != "" && field != want {
				t.Errorf("%s cut at %d: %s", text, cut, field)
			}
		}
	}
}
