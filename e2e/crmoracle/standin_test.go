package crmoracle

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/standin"
)

// good are requests that the stand-in takes and that the vendor's files describe: one or more of every operation of operations.yaml. {…}
// stands for what an earlier step, or the setup, gave that name.
type step struct {
	operation string // as in operations.yaml
	query     string
	body      string
	gives     string // name for the id that the answer tells
}

var contactSteps = []step{
	{operation: "POST /contacts/upsert 2021-07-28", body: `{"locationId":"l","email":"a@b.co","phone":"+15550001111","firstName":"Ann","companyName":"C","tags":["x"],"dndSettings":{"Email":{"status":"inactive"}}}`, gives: "contactId"},
	{operation: "POST /contacts/ 2021-07-28", body: `{"locationId":"l","email":"c@d.co"}`},
	{operation: "GET /contacts/search/duplicate 2021-07-28", query: "locationId=l&email=a%40b.co"},
	{operation: "POST /contacts/search 2021-07-28", body: `{"locationId":"l","pageLimit":10}`},
	{operation: "GET /contacts/{contactId} 2021-07-28"},
	{operation: "PUT /contacts/{contactId} 2021-07-28", body: `{"lastName":"Lee"}`},
	{operation: "POST /contacts/{contactId}/tags 2021-07-28", body: `{"tags":["a","b"]}`},
	{operation: "DELETE /contacts/{contactId}/tags 2021-07-28", body: `{"tags":["a"]}`},
	{operation: "POST /contacts/{contactId}/notes 2021-07-28", body: `{"body":"x","title":"t"}`},
	{operation: "GET /contacts/{contactId}/notes 2021-07-28"},
}

var lastSteps = []step{{operation: "DELETE /contacts/{contactId} 2021-07-28"}}

// unfit are what the vendor's files say differently from its server, by operations that the stand-in serves and the engine does not call
// yet; what is called has its deviations in deviations.yaml.
var unfit = map[string]string{
	"POST /contacts/search 2021-07-28: body /locationId": "the file has an empty schema here, and the documentation pages name the fields",
	"POST /contacts/search 2021-07-28: body /pageLimit":  "the same",
}

// TestStandin_TakesWhatTheVendorsFilesDescribe sends one good request of every operation: the stand-in serves it, and it passes the files.
func TestStandin_TakesWhatTheVendorsFilesDescribe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.jsonl")
	t.Setenv(standin.RecordVariable, path)
	crm, err := standin.New(standin.Config{Tokens: map[string]string{"tok": "l"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(crm.Handler())
	defer srv.Close()
	defer crm.Close()
	ids := map[string]string{}
	fill := func(s string) string {
		for name, id := range ids {
			s = strings.ReplaceAll(s, "{"+name+"}", id)
		}
		return s
	}
	sent := map[string]bool{}
	for _, s := range append(append([]step{}, contactSteps...), lastSteps...) {
		sent[s.operation] = true
		part := strings.Fields(s.operation)
		req, err := http.NewRequest(part[0], srv.URL+fill(part[1])+"?"+fill(s.query), strings.NewReader(fill(s.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer tok"}, "Version": {part[2]}, "Content-Type": {"application/json"}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("%s: %d %s, %v", s.operation, resp.StatusCode, body, err)
		}
		if s.gives == "" {
			continue
		}
		entries := crm.Requests(0, "l")
		ids[s.gives] = entries[len(entries)-1].RemoteID
	}
	spec := vendored(t)
	for n := range spec.operations {
		if !sent[n] {
			t.Errorf("%s is listed in operations.yaml, and this test does not send it", n)
		}
	}
	spec.deviations = nil
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rep, err := spec.Check(f)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for known := range unfit {
		left[known] = true
	}
	for _, found := range rep.Findings {
		key := fmt.Sprintf("%s: %s", found.Operation, found.Pointer)
		if unfit[key] == "" {
			t.Error(found)
		}
		delete(left, key)
	}
	for known := range left {
		t.Errorf("%s fits by now; take it out", known)
	}
}
