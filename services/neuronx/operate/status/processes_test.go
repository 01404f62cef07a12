package status

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/app"
)

func TestWaits_TellsThreeAndCountsTheRest(t *testing.T) {
	for n, want := range map[int]string{0: "", 1: "why 0", 3: "why 0; why 1; why 2", 4: "why 0; why 1; why 2; 1 more (-o json tells all)", 6: "why 0; why 1; why 2; 3 more (-o json tells all)"} {
		p := Process{Components: []app.Component{{Name: "fine", Ready: true}}}
		for i := range n {
			p.Components = append(p.Components, app.Component{Name: "part", Reason: fmt.Sprint("why ", i)})
		}
		var got []string
		for _, w := range p.Waits() {
			got = append(got, strings.TrimPrefix(w, "part: "))
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// Whatever stands at an address, the row of it says so.
func TestProcesses_TellWhatStandsAtEachAddress(t *testing.T) {
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" || r.Header.Get("Accept") != "application/json" {
				status = http.StatusTeapot
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	urls := []string{answer(http.StatusOK, `{"ready":true}`), answer(http.StatusServiceUnavailable, `{"ready":false}`), "http://%zz", "http://127.0.0.1:1"}
	rows := Processes(t.Context(), http.DefaultClient, urls)
	for i, want := range []struct{ answers, ready, detail bool }{{true, true, false}, {true, false, false}, {false, false, true}, {false, false, true}} {
		if r := rows[i]; r.URL != urls[i] || r.Answers != want.answers || r.Ready != want.ready || want.detail && r.Detail == "" {
			t.Errorf("%s: %+v", urls[i], r)
		}
	}
	if rows[2].Detail != "this is no URL" {
		t.Errorf("%+v", rows[2])
	}
}
