package doctor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

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
