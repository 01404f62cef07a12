package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretFiles_ThatOthersCanReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	url, env := filepath.Join(dir, "url"), filepath.Join(dir, "dev.env")
	for path, text := range map[string]string{url: "postgres://u:hidden@127.0.0.1:1/d", env: "NEURONX_POSTGRES_URL='postgres://u:hidden@127.0.0.1:1/d'\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		path string
	}{
		"a URL":       {map[string]string{"NEURONX_POSTGRES_URL_FILE": url}, []string{"status", "--kafka-brokers", "127.0.0.1:1"}, url},
		"an env file": {nil, []string{"status", "--env-file", env, "--kafka-brokers", "127.0.0.1:1"}, env},
	} {
		if code, _, errs := try(t, tt.env, tt.args...); code != exitUnsafe || !strings.Contains(errs, "chmod 600 "+tt.path) || strings.Contains(errs, "hidden") {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
		if err := os.Chmod(tt.path, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := try(t, tt.env, append(tt.args, "--timeout", "1s")...); code == exitUnsafe {
			t.Errorf("%s, mode 0600: %s", name, errs)
		}
	}
}
