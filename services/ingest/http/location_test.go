package httpin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// oracle is a finder that knows every id, and says which it was asked for.
type oracle struct{}

func (oracle) Find(_ context.Context, _, id, _ string) ([]Fate, error) {
	return []Fate{{ID: id, Status: statusAdmitted, Sequence: "1", Position: "1"}}, nil
}

func TestPost_TheLocationLeadsToTheEventWhateverItsID(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Finder = oracle{} })
	addr := serve(t, f.Server)
	for _, id := range []string{
		"1", "..", ".", "...", "../..", "/", "//", "a/b", "a//b", "/a/", "a/../b", "./a", "%2F", "%", "%2e%2e", "a?b=c", "a#b", "a b", " ", "+", ";", "é", "日本語", "a\\b", `"`, strings.Repeat("x", 256),
	} {
		r, err := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/events", strings.NewReader(with("id", id)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		r.Header.Set("Content-Type", mediaStructured)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Errorf("%q is answered %d", id, res.StatusCode)
			continue
		}
		if res.Header.Get("Location") == "" {
			if id != "." && id != ".." && id != "/" {
				t.Errorf("%q has no Location", id)
			}
			continue
		}
		at, err := res.Location() // resolved as any client does it
		if err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		get, err := http.NewRequest(http.MethodGet, at.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		get.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		found, err := http.DefaultClient.Do(get)
		if err != nil {
			t.Fatal(err)
		}
		var fate Fate
		err = json.NewDecoder(found.Body).Decode(&fate)
		_ = found.Body.Close()
		if err != nil || found.StatusCode != http.StatusOK || fate.ID != id {
			t.Errorf("%q: %s leads to %d %q (%v)", id, res.Header.Get("Location"), found.StatusCode, fate.ID, err)
		}
	}
}

func TestGetEvent_RefusesAnIDThatNoEventCanHave(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Finder = oracle{} })
	for _, id := range []string{"%00", "a%00b", "%FF", "%C3", "%01", "%0A", "%7F"} {
		w := f.call("GET", "/v1/events/"+id, f.keys["acme"], nil)
		if p := decode[Problem](t, w); w.Code != http.StatusBadRequest || p.Code != event.CodeInvalidAttribute {
			t.Errorf("%s: %d %s", id, w.Code, w.Body)
		}
	}
	if w := f.call("GET", "/v1/events/%C3%A9", f.keys["acme"], nil); w.Code != http.StatusOK {
		t.Errorf("é: %d", w.Code)
	}
}
