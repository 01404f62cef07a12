package gohighlevel

import (
	"errors"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
)

func TestCheckLocation_TakesNamesOnly(t *testing.T) {
	for s, want := range map[string]bool{"ve9EPM428h8vShlRW1KT": true, "loc_1-a": true, "": false, "a b": false, "a/b": false, "a\n": false, "../x": false, "é": false, strings.Repeat("a", 65): false} {
		if got := CheckLocation(s) == nil; got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestProbed_OnlyTheLocationItselfIsAnAnswer(t *testing.T) {
	const good = `{"location":{"id":"loc1","name":"Acme"}}`
	if name, err := Probed("loc1", crm.Answer{Status: 200, Body: []byte(good)}); name != "Acme" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	for says, a := range map[string]crm.Answer{
		"can't be reached":        {Err: errors.New("refused"), NotSent: true},
		"is not about":            {Status: 200, Body: []byte(strings.Replace(good, "loc1", "loc2", 1))},
		"not about this location": {Status: 200, Body: []byte(good), Cut: true},
		"about this location":     {Status: 200, Body: []byte(good[:20])},
		"this location":           {Status: 200, Body: []byte(good), Err: errors.New("reset")},
		"locations.readonly":      {Status: 401, Body: []byte(`{"message":"The token is not authorized for this scope."}`)},
		"refuses the token":       {Status: 401, Body: []byte(`{"message":"Invalid JWT"}`)},
		"for location loc1: 403":  {Status: 403, Body: []byte(`{"message":"The token does not have access to this location."}`)},
		"answers 500":             {Status: 500},
		"answers 302":             {Status: 302},
	} {
		if name, err := Probed("loc1", a); name != "" || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d %s: %q, %v; want %q", a.Status, a.Body, name, err, says)
		}
	}
	if c := Probe("a/../b"); c.Path != "/locations/a%2F..%2Fb" || c.Changes {
		t.Errorf("%+v", c)
	}
}
