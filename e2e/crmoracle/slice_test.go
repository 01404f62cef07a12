package crmoracle

import (
	"encoding/json"
	"strings"
	"testing"
)

// vendors has the slips that mend puts right, and things that a slice leaves out.
const vendors = `{"openapi":"3.0.0","info":{"title":"t","version":"1","description":"long"},"servers":[{"url":"https://x"}],
	"components":{"securitySchemes":{"bearer":{"type":"http","scheme":"bearer","name":"x","in":"header"}},"schemas":{
		"Body":{"type":"object","description":"d","properties":{"description":{"type":"string","example":"e"},"list":{"type":"array"},
			"value":{"type":"object","example":7},"any":{"type":"any"},"other":{"$ref":"#/components/schemas/Other"}}},
		"Other":{"type":"object","properties":{"a":{"type":"string","enum":["x"]}}},"Unused":{"type":"object"}}},
	"paths":{"/a/{id}":{"post":{"summary":"s","security":[{"bearer":[]}],
		"parameters":[{"name":"Version","in":"header","required":true,"schema":{"type":"string","enum":["v3"]}},{"name":"q","in":"query","anyOf":[{"type":"string"}]}],
		"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Body"}}}},"responses":{"200":{"description":"ok"}}},
		"get":{"responses":{}}},"/b":{"get":{"responses":{}}}}}`

func TestSlice_KeepsWhatDescribesTheRequestsAndMendsTheSlips(t *testing.T) {
	out, err := slice([]byte(vendors), []string{"POST /a/{id} v3"})
	if err != nil {
		t.Fatal(err)
	}
	var got object
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	compact, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"components":{"schemas":{"Body":{"properties":{"any":{},"description":{"type":"string"},"list":{"items":{},"type":"array"},` +
		`"other":{"$ref":"#/components/schemas/Other"},"value":{}},"type":"object"},"Other":{"properties":{"a":{"enum":["x"],"type":"string"}},"type":"object"}}},` +
		`"info":{"title":"t","version":"1"},"openapi":"3.0.0","paths":{"/a/{id}":{"post":{"parameters":[` +
		`{"in":"header","name":"Version","required":true,"schema":{"enum":["v3"],"type":"string"}},{"in":"query","name":"q","schema":{"anyOf":[{"type":"string"}]}},` +
		`{"in":"path","name":"id","required":true,"schema":{"type":"string"}}],"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Body"}}}},` +
		`"responses":{"default":{"description":"not looked at"}}}}}}`
	if string(compact) != want {
		t.Errorf("got  %s\nwant %s", compact, want)
	}
	if _, err := Load(map[string][]byte{"t.json": out}, Operations{Called: map[string][]string{"t.json": {"POST /a/{id} v3"}}}, nil); err != nil {
		t.Errorf("the slice is no spec: %v", err)
	}
}

func TestSlice_SaysWhatTheVendorDoesNotHave(t *testing.T) {
	for name, want := range map[string]string{"POST /c v3": "the vendor has no POST /c v3", "POST /a": `"POST /a" is not METHOD path Version`} {
		if _, err := slice([]byte(vendors), []string{name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := slice([]byte(strings.ReplaceAll(vendors, "#/components/schemas/Other", "../common.json#/x")), []string{"POST /a/{id} v3"}); err == nil ||
		!strings.Contains(err.Error(), "leads out of the file") {
		t.Errorf("a reference to another file: %v", err)
	}
}
