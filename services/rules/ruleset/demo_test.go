package ruleset

import (
	"testing"
)

func TestValidate_AcceptsTheDemoRules(t *testing.T) {
	files, err := Load("../../neuronx/demo/rules")
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Validate(t.Context(), files, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	if len(files) != 3 {
		t.Errorf("read %d demo rules, want 3", len(files))
	}
}
