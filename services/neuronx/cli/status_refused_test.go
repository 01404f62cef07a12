package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRefused_NamesTheTenantWhoseRequestsWouldHoldTooMuch(t *testing.T) {
	ingest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# TYPE neuronx_http_refused_total counter\n" +
			`neuronx_http_refused_total{reason="tenant_memory_full",service="ingest",tenant="greedy"} 230` + "\n" +
			`neuronx_http_refused_total{reason="slow_body",service="ingest",tenant="greedy"} 3` + "\n" +
			`neuronx_http_refused_total{reason="slow_body",service="ingest",tenant="calm"} 0` + "\n" +
			"# TYPE go_goroutines gauge\ngo_goroutines 9\n"))
	}))
	defer ingest.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	var out bytes.Buffer
	c := tool(nil, &out, io.Discard)
	got := c.refused(t.Context(), []string{ingest.URL, ingest.URL + "/", other.URL, "http://127.0.0.1:1"})
	if len(got) != 2 || got[0] != (refusedRow{"greedy", "tenant_memory_full", 460}) || got[1] != (refusedRow{"greedy", "slow_body", 6}) {
		t.Fatalf("%+v", got)
	}
	c.sayRefused(got)
	if !strings.Contains(out.String(), "460 requests of greedy at HTTP: tenant_memory_full; neuronx tenant suspend greedy") {
		t.Error(out.String())
	}
}
