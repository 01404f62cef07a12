package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/neuronx/engine/pkg/httpguard"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs a registry over cfg. stop ends it and returns what Run returned.
func start(t *testing.T, cfg kafka.Config) (s *Server, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s = NewServer(cfg, quiet())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			result = <-done
		})
		return result
	}
	t.Cleanup(func() { _ = stop() })
	kafkatest.WaitFor(t, "the registry reads its topic", func(context.Context) bool { return s.Ready() == nil })
	return s, stop
}

func record(name string, fields ...string) string {
	var list []string
	for _, f := range fields {
		list = append(list, fmt.Sprintf(`{"name":%q,"type":["null","string"],"default":null}`, f))
	}
	return `{"type":"record","name":"` + name + `","namespace":"test.v1","fields":[` + strings.Join(list, ",") + `]}`
}

// call makes a request and returns status and decoded body.
func call(t *testing.T, h http.Handler, method, path string, body any) (int, map[string]any) {
	t.Helper()
	w := serve(t, h, method, path, body)
	out := map[string]any{}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s %s: %v in %q", method, path, err, w.Body.String())
	}
	return w.Code, out
}

func serve(t *testing.T, h http.Handler, method, path string, body any) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, reader))
	if got := w.Header().Get("Content-Type"); got != contentType {
		t.Errorf("%s %s: content type %q", method, path, got)
	}
	return w
}

func register(t *testing.T, h http.Handler, subject, schema string) int {
	t.Helper()
	status, body := call(t, h, "POST", "/subjects/"+subject+"/versions", map[string]string{"schema": schema})
	if status != http.StatusOK {
		t.Fatalf("register under %s: %d %v", subject, status, body)
	}
	return int(body["id"].(float64))
}

func TestServer_BehindTheGuardTakesNoSchemaFromAPage(t *testing.T) {
	s, _ := start(t, kafkatest.Start(t))
	h := httpguard.New(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 18081}, nil, s)
	post := func(host string, header ...string) (int, map[string]any) {
		body, _ := json.Marshal(map[string]string{"schema": record("A", "x")})
		r := httptest.NewRequest("POST", "/subjects/a/versions", bytes.NewReader(body))
		r.Host = host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		out := map[string]any{}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%v in %q", err, w.Body.String())
		}
		return w.Code, out
	}
	if status, body := post("127.0.0.1:18081", "Origin", "https://evil.example", "Content-Type", "text/plain"); status != 403 || body["error_code"] != 403.0 {
		t.Errorf("a page's schema: %d %v", status, body)
	}
	if status, body := post("evil.example"); status != 421 || body["error_code"] != 421.0 {
		t.Errorf("a rebound name: %d %v", status, body)
	}
	if v, err := s.read(func(st *state) (any, error) { return st.names(""), nil }); err != nil || len(v.([]string)) != 0 {
		t.Errorf("subjects %v, %v", v, err)
	}
	// As Confluent's Java client sends it: no Origin.
	if status, body := post("localhost:18081", "Content-Type", "application/vnd.schemaregistry.v1+json", "User-Agent", "Java/21.0.4"); status != 200 {
		t.Errorf("a client's schema: %d %v", status, body)
	}
}

func TestServer_GivesOneIDToOneSchemaUnderTwoSubjects(t *testing.T) {
	s, _ := start(t, kafkatest.Start(t))
	first := register(t, s, "a", record("A", "x"))
	if again := register(t, s, "a", record("A", "x")); again != first {
		t.Errorf("registered again: id %d, was %d", again, first)
	}
	spaced := strings.ReplaceAll(record("A", "x"), ",", " ,\n")
	if other := register(t, s, "b", spaced); other != first {
		t.Errorf("same schema in another layout under another subject: id %d, was %d", other, first)
	}
	if other := register(t, s, "c", record("C", "x")); other == first {
		t.Errorf("another schema got the same id %d", other)
	}
	_, versions := call(t, s, "GET", "/subjects/a/versions/latest", nil)
	if versions["version"] != 1.0 {
		t.Errorf("registering again made a version: %v", versions)
	}
}

func TestServer_KeepsItsIDsOverARestart(t *testing.T) {
	cfg := kafkatest.Start(t)
	s, stop := start(t, cfg)
	ids := map[string]int{}
	for _, name := range []string{"A", "B", "C"} {
		ids[name] = register(t, s, "s-"+name, record(name, "x"))
	}
	ids["B2"] = register(t, s, "s-B", record("B", "x", "y"))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, cfg)
	for _, name := range []string{"A", "B", "C"} {
		if got := register(t, s, "s-"+name, record(name, "x")); got != ids[name] {
			t.Errorf("%s: id %d after the restart, was %d", name, got, ids[name])
		}
	}
	if got := register(t, s, "s-B", record("B", "x", "y")); got != ids["B2"] {
		t.Errorf("B version 2: id %d after the restart, was %d", got, ids["B2"])
	}
	if got := register(t, s, "s-D", record("D", "x")); got != ids["B2"]+1 {
		t.Errorf("a new schema got id %d after the restart, want %d", got, ids["B2"]+1)
	}
}

func TestServer_RegistersConcurrentlyWithoutGivingAnIDTwice(t *testing.T) {
	s, _ := start(t, kafkatest.Start(t))
	const schemas, clients = 8, 4
	ids := make([][clients]int, schemas)
	var wg sync.WaitGroup
	for i := range schemas {
		for j := range clients {
			wg.Go(func() {
				w := httptest.NewRecorder()
				body, _ := json.Marshal(map[string]string{"schema": record(fmt.Sprintf("R%d", i), "x")})
				s.ServeHTTP(w, httptest.NewRequest("POST", fmt.Sprintf("/subjects/s%d-%d/versions", i, j%2), bytes.NewReader(body)))
				var out struct{ ID int }
				_ = json.Unmarshal(w.Body.Bytes(), &out)
				ids[i][j] = out.ID
			})
		}
	}
	wg.Wait()
	owner := map[int]int{}
	for i, row := range ids {
		for _, id := range row {
			if id < 1 || id != row[0] {
				t.Errorf("schema %d has ids %v", i, row)
			}
		}
		if other, taken := owner[row[0]]; taken {
			t.Errorf("schemas %d and %d both have id %d", other, i, row[0])
		}
		owner[row[0]] = i
	}
}

func TestServer_IsFencedByAnother(t *testing.T) {
	cfg := kafkatest.Start(t)
	old := NewServer(cfg, quiet())
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { done <- old.Run(ctx) }()
	kafkatest.WaitFor(t, "the first registry", func(context.Context) bool { return old.Ready() == nil })
	first := register(t, old, "a", record("A", "x"))

	young, _ := start(t, cfg)
	if status, body := call(t, old, "POST", "/subjects/b/versions", map[string]string{"schema": record("B", "x")}); status != 500 {
		t.Errorf("the fenced registry registered: %d %v", status, body)
	}
	if err := <-done; !errors.Is(err, ErrFenced) {
		t.Errorf("Run of the fenced registry returned %v", err)
	}
	if got := register(t, young, "b", record("B", "x")); got != first+1 {
		t.Errorf("the new registry gave id %d, want %d", got, first+1)
	}
}

func TestServer_RefusesATopicThatItCanNotUse(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		cfg, _ := kafkatest.StartEmpty(t)
		err := NewServer(cfg, quiet()).Run(t.Context())
		if !errors.Is(err, errTopic) || !strings.Contains(err.Error(), "neuronx provision") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("written by another registry", func(t *testing.T) {
		cfg := kafkatest.Start(t)
		kafkatest.Produce(t, cfg, &kafka.Record{
			Topic: kafka.TopicSchemas, Key: []byte(`{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}`), Value: []byte(`{}`),
		})
		if err := NewServer(cfg, quiet()).Run(t.Context()); !errors.Is(err, errTopic) {
			t.Errorf("got %v", err)
		}
	})
}

func TestServer_AnswersWithConfluentsCodes(t *testing.T) {
	s, _ := start(t, kafkatest.Start(t))
	id := register(t, s, "a", record("A", "x"))
	incompatible := strings.Replace(record("A", "x"), `["null","string"],"default":null`, `"long"`, 1)
	schema := func(text string) any { return map[string]string{"schema": text} }
	for _, c := range []struct {
		method, path string
		body         any
		status, code int
	}{
		{"GET", "/subjects/none/versions", nil, 404, 40401},
		{"GET", "/subjects/none/versions/1", nil, 404, 40401},
		{"GET", "/subjects/a/versions/2", nil, 404, 40402},
		{"GET", "/subjects/a/versions/0", nil, 422, 42202},
		{"GET", "/subjects/a/versions/x", nil, 422, 42202},
		{"GET", "/schemas/ids/99", nil, 404, 40403},
		{"GET", "/schemas/ids/99999999999", nil, 404, 40403},
		{"GET", "/schemas/ids/-1/schema", nil, 404, 40403},
		{"GET", "/nothing", nil, 404, 404},
		{"GET", "/config/a", nil, 404, 40408},
		{"GET", "/mode/a", nil, 404, 40409},
		{"POST", "/subjects/none", schema(record("A", "x")), 404, 40401},
		{"POST", "/subjects/a", schema(record("A", "y")), 404, 40403},
		{"POST", "/subjects/a/versions", schema(incompatible), 409, 40901},
		{"POST", "/subjects/a/versions", schema(record("B", "x")), 409, 40901},
		{"POST", "/subjects/a/versions", schema(`{"type":"map","values":"int"}`), 422, 42201},
		{"POST", "/subjects/a/versions", schema(`not json`), 422, 42201},
		{"POST", "/subjects/a/versions", `not json`, 422, 42201},
		{"POST", "/subjects/a/versions", map[string]string{"schema": "syntax", "schemaType": "PROTOBUF"}, 422, 42201},
		{"POST", "/subjects/a/versions", map[string]any{"schema": record("A"), "references": []any{map[string]any{}}}, 422, 42201},
		{"POST", "/subjects/a/versions", schema(strings.Repeat(" ", 2<<20)), 422, 42209},
		{"POST", "/subjects/" + strings.Repeat("a", 600) + "/versions", schema(record("A", "x")), 422, 42208},
		{"POST", "/subjects/:.ctx:a/versions", schema(record("A", "x")), 422, 42208},
		{"POST", "/subjects/a%00b/versions", schema(record("A", "x")), 422, 42208},
		{"PUT", "/config", map[string]string{"compatibility": "NONE"}, 422, 42203},
		{"PUT", "/mode", map[string]string{"mode": "IMPORT"}, 422, 42205},
		{"DELETE", "/subjects/a", nil, 422, 42205},
		{"DELETE", "/subjects/a/versions/1", nil, 422, 42205},
	} {
		status, body := call(t, s, c.method, c.path, c.body)
		if status != c.status || body["error_code"] != float64(c.code) {
			t.Errorf("%s %.60s: %d %.200v, want %d %d", c.method, c.path, status, body, c.status, c.code)
		}
	}
	_, latest := call(t, s, "GET", "/subjects/a/versions/latest", nil)
	if latest["version"] != 1.0 || latest["id"] != float64(id) {
		t.Errorf("something was registered: %v", latest)
	}
}

func TestServer_ServesWhatClientsAsk(t *testing.T) {
	s, _ := start(t, kafkatest.Start(t))
	register(t, s, "a", record("A", "x"))
	register(t, s, "a", record("A", "x", "y"))
	register(t, s, "b", record("A", "x"))
	ask := map[string]any{"schema": record("A", "x")}
	canonical := `{"fields":[{"default":null,"name":"x","type":["null","string"]}],"name":"A","namespace":"test.v1","type":"record"}`
	for _, c := range []struct {
		method, path string
		body         any
		want         string
	}{
		{"GET", "/", nil, `{}`},
		{"GET", "/subjects", nil, `["a","b"]`},
		{"GET", "/subjects?subjectPrefix=b", nil, `["b"]`},
		{"GET", "/subjects/a/versions", nil, `[1,2]`},
		{"GET", "/subjects/a/versions/1/schema", nil, canonical},
		{"GET", "/schemas/ids/1/schema", nil, canonical},
		{"GET", "/schemas/ids/1/subjects", nil, `["a","b"]`},
		{"GET", "/schemas/ids/1/versions", nil, `[{"subject":"a","version":1},{"subject":"b","version":1}]`},
		{"GET", "/schemas/types", nil, `["AVRO"]`},
		{"GET", "/contexts", nil, `["."]`},
		{"GET", "/config", nil, `{"compatibilityLevel":"FULL_TRANSITIVE"}`},
		{"GET", "/config/a?defaultToGlobal=true", nil, `{"compatibilityLevel":"FULL_TRANSITIVE"}`},
		{"PUT", "/config/a", map[string]string{"compatibility": "FULL_TRANSITIVE"}, `{"compatibility":"FULL_TRANSITIVE"}`},
		{"GET", "/mode", nil, `{"mode":"READWRITE"}`},
		{"POST", "/compatibility/subjects/a/versions/latest", ask, `{"is_compatible":true}`},
		{"POST", "/compatibility/subjects/a/versions", map[string]string{"schema": record("B")}, `{"is_compatible":false}`},
	} {
		w := serve(t, s, c.method, c.path, c.body)
		if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != c.want {
			t.Errorf("%s %s: %d %s, want %s", c.method, c.path, w.Code, got, c.want)
		}
	}
	if _, found := call(t, s, "POST", "/subjects/a", ask); found["version"] != 1.0 || found["id"] != 1.0 || found["schema"] != canonical {
		t.Errorf("lookup: %v", found)
	}
	if _, found := call(t, s, "GET", "/schemas/ids/1", nil); found["schema"] != canonical {
		t.Errorf("by id: %v", found)
	}
}
