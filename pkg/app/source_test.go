package app

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSource_LooksInTheVariableThenTheFileOfASecretThenTheSettingsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("of the secret's file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := map[string]string{"NEURONX_X": "of the settings file"}
	for _, x := range []struct {
		env    map[string]string
		secret bool
		value  string
		from   string
	}{
		{map[string]string{"NEURONX_X": "of the variable", "NEURONX_X_FILE": path}, true, "of the variable", "NEURONX_X"},
		{map[string]string{"NEURONX_X": "", "NEURONX_X_FILE": path}, true, "", "NEURONX_X"}, // empty is set
		{map[string]string{"NEURONX_X_FILE": path}, true, "of the secret's file", "NEURONX_X_FILE"},
		{map[string]string{"NEURONX_X_FILE": path}, false, "of the settings file", "file"},
		{map[string]string{"NEURONX_X_FILE": ""}, true, "of the settings file", "file"},
	} {
		s := Source{Getenv: func(name string) (string, bool) { v, ok := x.env[name]; return v, ok }, File: file}
		value, from, ok, err := s.Lookup("NEURONX_X", x.secret)
		if err != nil || !ok || value != x.value || from != x.from {
			t.Errorf("%v: %q from %s, %v, %v", x.env, value, from, ok, err)
		}
	}
	missing := Source{Getenv: func(name string) (string, bool) { return path + "-missing", name == "NEURONX_X_FILE" }, File: file}
	if value, from, ok, err := missing.Lookup("NEURONX_X", true); err == nil || ok || value != "" || from != "NEURONX_X_FILE" {
		t.Errorf("a secret's file that is not there: %q from %s, %v, %v", value, from, ok, err)
	}
	if _, _, ok, err := missing.Lookup("NEURONX_Y", false); ok || err != nil {
		t.Errorf("a setting that is nowhere: %v, %v", ok, err)
	}
}
