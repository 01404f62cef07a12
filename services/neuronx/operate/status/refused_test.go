package status

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRefused_NamesTheTenantWhoseRequestsWouldHoldTooMuch(t *testing.T) {
	ingest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# TYPE neuronx_http_refused_total counter\n" +
			`neuronx_http_refused_total{reason="tenant_memory_full",service="ingest",tenant="greedy"} 230` + "\n" +
			`neuronx_http_refused_total{reason="slow_body",service="ingest",tenant="greedy"} 3` + "\n" +
			`neuronx_http_refused_total{reason="slow_body",service="ingest",tenant="calm"} 0` + "\n" +
			`neuronx_http_refused_total{reason="memory_full",service="ingest",tenant="once"} 1` + "\n" +
			"# TYPE neuronx_http_tenant_refused_total counter\n" +
			`neuronx_http_tenant_refused_total{reason="invalid",service="ingest",tenant="flood"} 600` + "\n" +
			`neuronx_http_tenant_refused_total{reason="invalid",service="ingest",tenant="calm"} 499` + "\n" +
			"# TYPE go_goroutines gauge\ngo_goroutines 9\n"))
	}))
	defer ingest.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	got := refused(t.Context(), http.DefaultClient, []string{ingest.URL, ingest.URL + "/", other.URL, "http://127.0.0.1:1"})
	if len(got) != 4 || got[3] != (Refused{"once", "memory_full", 2}) || got[0] != (Refused{"flood", "invalid", 1200}) || got[1] != (Refused{"greedy", "tenant_memory_full", 460}) || got[2] != (Refused{"greedy", "slow_body", 6}) {
		t.Fatalf("%+v", got)
	}
}
