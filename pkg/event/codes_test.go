package event

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

func TestCodes_ListsEveryDeclaredCodeOnce(t *testing.T) {
	text, err := os.ReadFile("refusal.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []Code
	for _, m := range regexp.MustCompile(`(?m)^\tCode\w+ +Code = "([a-z_]+)"`).FindAllSubmatch(text, -1) {
		declared = append(declared, Code(m[1]))
	}
	listed := Codes()
	slices.Sort(declared)
	slices.Sort(listed)
	if len(declared) < 40 || !slices.Equal(declared, listed) {
		t.Errorf("declared %v, listed %v", declared, listed)
	}
}

func TestLabel_IsOneOfAFew(t *testing.T) {
	for code, want := range map[Code]string{CodeStorm: "storm", "": "unknown", "of_a_newer_build": "other", "\xff": "other"} {
		if got := code.Label(); got != want {
			t.Errorf("%q has the label %q, want %q", string(code), got, want)
		}
	}
}
