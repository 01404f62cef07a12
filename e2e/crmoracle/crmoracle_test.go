package crmoracle

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/standin"
)

func vendored(t *testing.T) *Spec {
	t.Helper()
	s, err := Vendored()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small is a spec of two called operations and one that is only served, with one known deviation.
func small(t *testing.T, deviations ...Deviation) *Spec {
	t.Helper()
	const doc = `{"openapi":"3.0.0","info":{"title":"t","version":"1"},"components":{"schemas":{
		"Note":{"type":"object","required":["body"],"properties":{"body":{"type":"string"},"kind":{"type":"string","enum":["a","b"]},
			"list":{"type":"array","items":{"type":"object","properties":{"id":{"type":"string"}}}}}}}},
		"paths":{
		"/notes/{id}":{"post":{"parameters":[{"name":"Version","in":"header","required":true,"schema":{"type":"string","enum":["2021-07-28"]}},
			{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],
			"requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Note"}}}},"responses":{"default":{"description":""}}}},
		"/notes/search":{"get":{"parameters":[{"name":"Version","in":"header","required":true,"schema":{"type":"string","enum":["v3"]}},
			{"name":"locationId","in":"query","required":true,"schema":{"type":"string"}},{"name":"limit","in":"query","schema":{"type":"number"}}],"responses":{"default":{"description":""}}}},
		"/notes/":{"get":{"parameters":[{"name":"Version","in":"header","required":true,"schema":{"type":"string","enum":["v3"]}}],"responses":{"default":{"description":""}}}}}}`
	s, err := Load(map[string][]byte{"notes.json": []byte(doc)}, Operations{
		Called: map[string][]string{"notes.json": {"POST /notes/{id} 2021-07-28", "GET /notes/search v3"}},
		Served: map[string][]string{"notes.json": {"GET /notes/ v3"}},
	}, deviations)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func note(body string) standin.Recorded {
	return standin.Recorded{Method: "POST", Path: "/notes/n1", Version: "2021-07-28", ContentType: "application/json", Body: body, Status: 201}
}

func search(query string) standin.Recorded {
	return standin.Recorded{Method: "GET", Path: "/notes/search", Version: "v3", Query: query, Status: 200}
}

func record(t *testing.T, requests ...standin.Recorded) string {
	t.Helper()
	var b strings.Builder
	for _, q := range requests {
		line, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

var good = []standin.Recorded{note(`{"body":"x","kind":"a","list":[{"id":"1"}]}`), search("locationId=l&limit=10")}

func TestCheck_PassesAGoodRecord(t *testing.T) {
	rep, err := small(t).Check(strings.NewReader(record(t, good...)))
	if err != nil || len(rep.Findings) > 0 || rep.Requests != 2 || rep.Operations != 2 {
		t.Fatalf("%+v, %v", rep, err)
	}
}

// TestCheck_SaysWhatIsWrongAndWhere: each bad request stands third, after two good ones.
func TestCheck_SaysWhatIsWrongAndWhere(t *testing.T) {
	change := func(q standin.Recorded, f func(*standin.Recorded)) standin.Recorded { f(&q); return q }
	for name, c := range map[string]struct {
		request standin.Recorded
		want    string // begins the finding
	}{
		"unknown field":        {note(`{"body":"x","colour":"red"}`), "POST /notes/{id} 2021-07-28: body /colour: "},
		"unknown field within": {note(`{"body":"x","list":[{},{"key":"k"}]}`), "POST /notes/{id} 2021-07-28: body /list/*/key: "},
		"missing field":        {note(`{"kind":"a"}`), "POST /notes/{id} 2021-07-28: body /body: "},
		"wrong type":           {note(`{"body":7}`), "POST /notes/{id} 2021-07-28: body /body: "},
		"not of the enum":      {note(`{"body":"x","kind":"c"}`), "POST /notes/{id} 2021-07-28: body /kind: "},
		"no body":              {note(``), "POST /notes/{id} 2021-07-28: body: "},
		"half a body":          {note(`{"body":`), "POST /notes/{id} 2021-07-28: body: "},
		"content type":         {change(note(`{"body":"x"}`), func(q *standin.Recorded) { q.ContentType = "text/plain" }), "POST /notes/{id} 2021-07-28: body: "},
		"body of a GET":        {change(search("locationId=l"), func(q *standin.Recorded) { q.Body = `{}` }), "GET /notes/search v3: body: the vendor takes no body here"},
		"unknown query":        {search("locationId=l&location_id=l"), "GET /notes/search v3: query location_id: the vendor has no query parameter of this name"},
		"missing query":        {search("limit=1"), "GET /notes/search v3: query locationId: "},
		"type of a query":      {search("locationId=l&limit=ten"), "GET /notes/search v3: query limit: "},
		"query in pieces":      {search("locationId=%zz"), "GET /notes/search v3: query: it can't be decoded"},
		"another version":      {change(note(`{"body":"x"}`), func(q *standin.Recorded) { q.Version = "v3" }), "POST /notes/n1 v3: the vendor has this only as POST /notes/{id} 2021-07-28"},
		"no version":           {change(note(`{"body":"x"}`), func(q *standin.Recorded) { q.Version = "" }), "POST /notes/n1: the vendor has this only as POST /notes/{id} 2021-07-28"},
		"no such path":         {change(note(`{"body":"x"}`), func(q *standin.Recorded) { q.Path = "/notes" }), "POST /notes 2021-07-28: no operation that operations.yaml lists has this method and path"},
		"no such method":       {change(note(`{"body":"x"}`), func(q *standin.Recorded) { q.Method = "PATCH" }), "PATCH /notes/n1 2021-07-28: no operation that operations.yaml lists"},
	} {
		t.Run(name, func(t *testing.T) {
			rep, err := small(t).Check(strings.NewReader(record(t, append(append([]standin.Recorded{}, good...), c.request, c.request)...)))
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Findings) != 1 {
				t.Fatalf("%d findings: %v", len(rep.Findings), rep.Findings)
			}
			got := rep.Findings[0].String()
			if line, rest, found := strings.Cut(got, ": "); found && strings.HasPrefix(line, "line ") {
				if line != "line 3 (2 in all)" {
					t.Errorf("%q is not where it is", line)
				}
				got = rest
			}
			if !strings.HasPrefix(got, c.want) || strings.HasSuffix(got, ": ") {
				t.Errorf("got  %q\nwant %q and why", got, c.want)
			}
		})
	}
}

// TestCheck_NamesEveryDifference: one request with four, of which none hides another, nor the value of a field.
func TestCheck_NamesEveryDifference(t *testing.T) {
	rep, err := small(t).Check(strings.NewReader(record(t, append(append([]standin.Recorded{}, good...), note(`{"body":7,"colour":"red","size":"secret","kind":"secret"}`))...)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range rep.Findings {
		got = append(got, f.Pointer)
		if strings.Contains(f.String(), "secret") {
			t.Errorf("%s tells a value", f)
		}
	}
	if want := "body /body, body /colour, body /kind, body /size"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestCheck_WantsEveryCalledOperation(t *testing.T) {
	rep, err := small(t).Check(strings.NewReader(record(t, good[0])))
	if err != nil || len(rep.Findings) != 1 || rep.Findings[0].String() != "GET /notes/search v3: operations.yaml lists it as called, and no test calls it" {
		t.Fatalf("%v, %v", rep.Findings, err)
	}
}

func TestCheck_DeviationsMatchExactly(t *testing.T) {
	known := Deviation{Operation: "POST /notes/{id} 2021-07-28", Pointer: "body /colour", Reason: "the server takes it", Source: "seen"}
	with := append([]standin.Recorded{note(`{"body":"x","colour":"red"}`)}, good...)
	rep, err := small(t, known).Check(strings.NewReader(record(t, with...)))
	if err != nil || len(rep.Findings) > 0 || rep.Excused != 1 {
		t.Fatalf("a known deviation: %+v, %v", rep, err)
	}
	rep, err = small(t, known).Check(strings.NewReader(record(t, good...)))
	if err != nil || len(rep.Findings) != 1 || !strings.Contains(rep.Findings[0].String(), "no request has it; take it out") {
		t.Fatalf("one that did not occur: %+v, %v", rep, err)
	}
	rep, err = small(t, known).Check(strings.NewReader(record(t, append(with, note(`{"body":"x","color":"red"}`))...)))
	if err != nil || len(rep.Findings) != 1 || rep.Findings[0].Pointer != "body /color" {
		t.Fatalf("another: %+v, %v", rep, err)
	}
}

func TestCheck_ARecordThatIsNoneIsAnError(t *testing.T) {
	whole := record(t, good...)
	for name, c := range map[string]struct{ record, want string }{
		"empty":         {"", "the record has no request"},
		"torn":          {whole[:len(whole)-10], "line 2 of the record is no request"},
		"two in a line": {strings.Replace(whole, "}\n{", "}{", 1), "line 1 of the record is no request"},
		"another thing": {`{"op":"contact"}` + "\n", "line 1 of the record is no request"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := small(t).Check(strings.NewReader(c.record)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestLoad_RefusesListsThatDoNotFit(t *testing.T) {
	const doc = `{"openapi":"3.0.0","info":{"title":"t","version":"1"},"paths":{"/a":{"get":{"parameters":[
		{"name":"Version","in":"header","schema":{"type":"string","enum":["v3"]}}],"responses":{"default":{"description":""}}}}}}`
	_, err := Load(map[string][]byte{"a.json": []byte(doc)}, Operations{Called: map[string][]string{"a.json": {"GET /b v3"}}},
		[]Deviation{{Operation: "GET /a v3", Pointer: "query x"}, {Operation: "GET /c v3", Reason: "r", Source: "s"}})
	for _, want := range []string{"GET /b v3 is not in openapi/a.json", "GET /a v3 is not listed", "GET /a v3 query x needs a reason and a source", "there is no operation GET /c v3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
