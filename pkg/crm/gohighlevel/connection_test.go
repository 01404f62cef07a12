package gohighlevel

import (
	"strings"
	"testing"
)

func TestCheckLocation_TakesNamesOnly(t *testing.T) {
	for s, want := range map[string]bool{"ve9EPM428h8vShlRW1KT": true, "loc_1-a": true, "": false, "a b": false, "a/b": false, "a\n": false, "../x": false, "é": false, strings.Repeat("a", 65): false} {
		if got := CheckLocation(s) == nil; got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}
