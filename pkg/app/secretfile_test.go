package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestLoad_RefusesSecretsInFilesThatOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	password, config := filepath.Join(dir, "password"), filepath.Join(dir, "config.yaml")
	for path, text := range map[string]string{password: "postgres://u:hidden@h/d\n", config: "postgres-url: postgres://u:hidden@h/d\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(args ...string) (Settings, error) {
		var s Settings
		fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
		s.Bind(fs, PostgresURL)
		return s, Load(fs, args)
	}
	for name, tt := range map[string]struct {
		file string
		env  string
		args []string
	}{"a file of its own": {password, password, nil}, "the settings": {config, "", []string{"--config", config}}} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NEURONX_POSTGRES_URL_FILE", tt.env)
			if s, err := load(tt.args...); err != nil || s.PostgresURL == "" {
				t.Fatalf("mode 0600: %q, %v", s.PostgresURL, err)
			}
			for _, mode := range []os.FileMode{0o644, 0o640, 0o606} {
				if err := os.Chmod(tt.file, mode); err != nil {
					t.Fatal(err)
				}
				if s, err := load(tt.args...); err == nil || s.PostgresURL != "" || !strings.Contains(err.Error(), "chmod 600 "+tt.file) || strings.Contains(err.Error(), "hidden") {
					t.Errorf("mode %04o: %v", mode, err)
				}
			}
		})
	}
	t.Setenv("NEURONX_POSTGRES_URL_FILE", filepath.Join(dir, "missing"))
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "NEURONX_POSTGRES_URL_FILE") {
		t.Errorf("a file that is not there: %v", err)
	}
}
