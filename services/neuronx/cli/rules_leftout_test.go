package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRulesValidate_NamesTheFilesOfAFolderThatItDoesNotRead(t *testing.T) {
	dir := t.TempDir()
	const rule = "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: one}\nspec:\n  on: [lead.created]\n  emit:\n    - type: lead.scored\n      data: {lead_id: data.lead_id, score: \"1\"}\n"
	for _, name := range []string{"one.yaml", "two.YAML"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(rule), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := try(t, nil, "rules", "validate", dir, "--offline")
	if code != 0 || !strings.Contains(stderr, "1 file, no errors") || !strings.Contains(stderr, "not read: "+filepath.Join(dir, "two.YAML")) {
		t.Errorf("%d: %s", code, stderr)
	}
	if code, _, stderr := try(t, nil, "rules", "validate", filepath.Join(dir, "one.yaml"), "--offline"); code != 0 || strings.Contains(stderr, "not read") {
		t.Errorf("%d: %s", code, stderr)
	}
}
