package doctor

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func TestDoctor_FailsWhereTheLatestVersionOfASubjectCanNotHoldItsEvents(t *testing.T) {
	strange := `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","fields":[{"name":"lead_id","type":"string"},{"name":"email","type":"int"}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/schemas" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error_code":40401,"message":"unknown"}`)
			return
		}
		_, _ = io.WriteString(w, `[{"subject":"neuronx.ingress-neuronx.lead.v1.LeadCreated","version":4,"id":4,"schema":`+strconv.Quote(strange)+`},
			{"subject":"neuronx.ingress-neuronx.lead.v1.LeadScored","version":2,"id":5,"schema":`+strconv.Quote(`{"type":"string"}`)+`}]`)
	}))
	t.Cleanup(server.Close)
	x := session(map[string]string{operate.EnvRegistry: server.URL})
	got := x.checkRegistry(t.Context())
	if got.Result != Failed || got.Next == "" {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"LeadCreated: events under the latest version, 4, are refused, as it can't be data of lead.created: ", "email", "1 subject more"} {
		if !strings.Contains(got.Detail, want) {
			t.Errorf("%q is not said: %s", want, got.Detail)
		}
	}
}

// TestDoctor_WarnsOfASubjectWhoseCompatibilityWasLoosened asks a registry that has the whole catalogue.
func TestDoctor_WarnsOfASubjectWhoseCompatibilityWasLoosened(t *testing.T) {
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	texts := map[string]string{}
	for i, f := range files {
		var s struct{ Name, Namespace string }
		if err := json.Unmarshal(f.Text, &s); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"neuronx.ingress-", "neuronx.events-"} {
			subject := topic + s.Namespace + "." + s.Name
			texts[subject] = string(f.Text)
			all = append(all, map[string]any{"subject": subject, "version": 1, "id": i + 1, "schema": string(f.Text)})
		}
	}
	levels := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := strings.Split(strings.TrimPrefix(r.URL.Path, "/subjects/"), "/")[0]
		configured, config := strings.CutPrefix(r.URL.Path, "/config/")
		level, loosened := levels[configured]
		var answer any
		switch {
		case r.URL.Path == "/schemas":
			answer = all
		case config && r.URL.Query().Get("defaultToGlobal") == "true" && !loosened:
			answer = map[string]string{"compatibilityLevel": "FULL_TRANSITIVE"}
		case config && level != "":
			answer = map[string]string{"compatibilityLevel": level}
		case strings.HasSuffix(r.URL.Path, "/versions"):
			answer = []int{1}
		case texts[subject] != "":
			answer = map[string]any{"subject": subject, "version": 1, "id": 1, "schema": texts[subject]}
		default:
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"error_code": 40408, "message": "no level"}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	const subject, another = "neuronx.events-neuronx.lead.v1.LeadCreated", "neuronx.ingress-neuronx.lead.v1.LeadScored"
	for _, x := range []struct {
		levels map[string]string
		result string
		said   []string
	}{
		{nil, OK, []string{"types"}},
		{map[string]string{subject: "BACKWARD"}, Warn, []string{subject, "is BACKWARD"}},
		{map[string]string{subject: "NONE", another: "FULL"}, Warn, []string{subject, "is NONE", "1 subject more"}},
		{map[string]string{subject: ""}, Warn, []string{subject, "does not say"}},
	} {
		levels = x.levels
		got := session(map[string]string{operate.EnvRegistry: server.URL}).checkRegistry(t.Context())
		if got.Result != x.result {
			t.Errorf("%v: %+v", x.levels, got)
		}
		for _, want := range x.said {
			if !strings.Contains(got.Detail, want) {
				t.Errorf("%v: %q is not said: %s", x.levels, want, got.Detail)
			}
		}
	}
}

// doctor only looks: what it finds missing is missing when it looks again.
func TestDoctor_TellsThatSchemasAreNotPushedAndPushesNone(t *testing.T) {
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	url, _ := registrytest.Start(t, kafkatest.Start(t), files[1:]...)
	for range 2 {
		got := session(map[string]string{operate.EnvRegistry: url}).checkRegistry(t.Context())
		if got.Result != Warn || !strings.Contains(got.Detail, "of this version not pushed") || got.Next != "neuronx provision --execute" {
			t.Fatalf("%+v", got)
		}
	}
}
