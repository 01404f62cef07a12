package standin

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestRecord_HasEveryRequestAsAWholeLine: several stand-ins append to one file at the same time, as the processes of a test run do.
func TestRecord_HasEveryRequestAsAWholeLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.jsonl")
	t.Setenv(RecordVariable, path)
	body := `{"locationId":"locA","email":"a@b.co","firstName":"` + strings.Repeat("é", 20_000) + `"}`
	var done sync.WaitGroup
	for range 4 {
		r := start(t, Config{})
		done.Go(func() {
			for range 10 {
				r.do(http.MethodPost, "/contacts/upsert", body)
				r.do(http.MethodGet, "/contacts/search/duplicate?locationId=locA&email=a%40b.co", "", func(q *http.Request) { q.Header.Del("Authorization") })
			}
		})
	}
	done.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	counts := map[string]int{}
	for _, line := range lines {
		var q Recorded
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			t.Fatalf("%v in %.100s", err, line)
		}
		switch {
		case q.Method == http.MethodPost && q.Body == body && q.Status == 200 && q.Version == "2021-07-28" && q.ContentType == "application/json":
			counts["upsert"]++
		case q.Path == "/contacts/search/duplicate" && q.Query == "locationId=locA&email=a%40b.co" && q.Status == 401:
			counts["refused"]++
		}
	}
	if len(lines) != 80 || counts["upsert"] != 40 || counts["refused"] != 40 {
		t.Fatalf("%d lines: %v", len(lines), counts)
	}
	if strings.Contains(string(b), "tok-a") {
		t.Error("the record has a token")
	}
}

func TestRecord_ThatCanNotBeWrittenIsAnError(t *testing.T) {
	t.Setenv(RecordVariable, filepath.Join(t.TempDir(), "no", "such", "folder"))
	if _, err := New(Config{}, nil); err == nil || !strings.Contains(err.Error(), RecordVariable) {
		t.Fatalf("got %v", err)
	}
	t.Setenv(RecordVariable, "/dev/full")
	r := start(t, Config{})
	if status, out, _ := r.do(http.MethodPost, "/contacts/upsert", `{"locationId":"locA","email":"a@b.co"}`); status != 500 {
		t.Errorf("a request that is missing in the record was answered: %d %v", status, out)
	}
}
