package provision

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

const adminURL = "postgres://boss:top@db.example:5433/neuronx?sslmode=verify-full&sslkey=boss.key&password=top"

func TestKeepSecrets_MakesWhatIsMissingOnceAndKeepsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	made, first, err := keepSecrets(dir, adminURL, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(postgres.Roles()) + 2; len(made) != want || len(first) != len(postgres.Roles()) {
		t.Fatalf("%d files and %d passwords, want %d and %d", len(made), len(first), want, len(postgres.Roles()))
	}
	for _, c := range made {
		info, err := os.Stat(filepath.Join(dir, c.Name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", c.Name, info.Mode(), err)
		}
	}
	if _, err := event.LoadKeyring(filepath.Join(dir, KeysFile)); err != nil {
		t.Error(err)
	}
	again, second, err := keepSecrets(dir, adminURL, true)
	if err != nil || len(again) != 0 {
		t.Fatalf("the second run writes %v, %v; want nothing", again, err)
	}
	for role, pw := range first {
		if second[role] != pw {
			t.Errorf("the password of %s changed", role)
		}
	}
}

func TestKeepSecrets_WithoutExecuteWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	would, _, err := keepSecrets(dir, adminURL, false)
	if err != nil || len(would) == 0 {
		t.Fatalf("%v, %v; want a plan", would, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

func TestKeepSecrets_RefusesFilesThatOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, PasswordsFile), []byte(`{}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err := keepSecrets(dir, adminURL, true)
	var r *event.Refusal
	if !errors.As(err, &r) || r.Code != event.CodeUnsafe {
		t.Errorf("err = %v, want %s", err, event.CodeUnsafe)
	}
}

func TestPlanSecrets_URLsFollowTheAdminURLAndCarryNothingOfTheAdmin(t *testing.T) {
	have := map[string][]byte{PasswordsFile: []byte(`{"neuronx_ops":"p@ss/word"}`)}
	write, _, err := planSecrets(have, adminURL, []string{"neuronx_ops"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := write[PasswordsFile]; ok {
		t.Error("the passwords file is complete, and yet written")
	}
	const want = "postgres://neuronx_ops:p%40ss%2Fword@db.example:5433/neuronx?sslmode=verify-full\n"
	if got := string(write["neuronx_ops.url"]); got != want {
		t.Errorf("url file = %q, want %q", got, want)
	}
	have["neuronx_ops.url"] = []byte(want)
	write, _, err = planSecrets(have, strings.Replace(adminURL, "db.example", "elsewhere", 1), []string{"neuronx_ops"})
	if err != nil || !strings.Contains(string(write["neuronx_ops.url"]), "@elsewhere:") {
		t.Errorf("url file = %q, %v; want the new host", write["neuronx_ops.url"], err)
	}
}

func TestPlanSecrets_RefusesWhatItCannotUse(t *testing.T) {
	for name, c := range map[string]struct {
		have map[string][]byte
		url  string
	}{
		"keyword settings":          {nil, "host=db user=boss"},
		"no host":                   {nil, "postgres:///neuronx"},
		"passwords that are broken": {map[string][]byte{PasswordsFile: []byte(`[]`)}, adminURL},
		"no passwords at all":       {map[string][]byte{PasswordsFile: []byte(`null`)}, adminURL},
		"keys that are broken":      {map[string][]byte{KeysFile: []byte(`{}`)}, adminURL},
	} {
		if _, _, err := planSecrets(c.have, c.url, []string{"neuronx_ops"}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
