package registry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
)

func TestStrays_AreLatestVersionsThatNoEventOfTheirTypeFitsInto(t *testing.T) {
	lead := func(fields string) string {
		return `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","fields":[` + fields + `]}`
	}
	const id, email, number = `{"name":"lead_id","type":"string"}`, `,{"name":"email","type":["null","string"],"default":null}`, `,{"name":"email","type":["null","int"],"default":null}`
	const subject = "neuronx.ingress-neuronx.lead.v1.LeadCreated"
	for name, x := range map[string]struct {
		subject  string
		versions []string
		stray    int // version; 0: none
	}{
		"lost properties":           {subject, []string{lead(id + email)}, 0},
		"a field more":              {subject, []string{lead(id + `,{"name":"utm","type":["null","string"],"default":null}`)}, 0},
		"another kind":              {subject, []string{lead(id + email), lead(id + number)}, 2},
		"another kind, then mended": {subject, []string{lead(id + number), lead(id + email)}, 0},
		"without what is required":  {subject, []string{lead(`{"name":"name","type":"string"}`)}, 1},
		"another record":            {subject, []string{`{"type":"record","name":"Deal","namespace":"acme","fields":[` + id + `]}`}, 1},
		"no schema that is read":    {subject, []string{`{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1"}`}, 1},
		"a subject of its own":      {"neuronx.ingress-acme.Deal", []string{lead(id + number)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var all []sr.SubjectSchema
			for i, text := range x.versions {
				all = append(all, sr.SubjectSchema{Subject: x.subject, Version: i + 1, ID: i + 1, Schema: sr.Schema{Schema: text}})
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(all) }))
			t.Cleanup(server.Close)
			c, err := NewClient(server.URL, quiet())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			got, err := c.Strays(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case x.stray == 0 && len(got) > 0:
				t.Errorf("%+v", got)
			case x.stray > 0 && (len(got) != 1 || got[0].Version != x.stray || got[0].Subject != x.subject || got[0].EventType != "lead.created" || got[0].Detail == ""):
				t.Errorf("%+v, want version %d", got, x.stray)
			}
		})
	}
}
