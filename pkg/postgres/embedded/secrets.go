package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

const passwordFile = "passwords.json"

// loadPasswords reads the passwords of the superuser and the login roles, and makes those that are missing; fresh says that there
// were none at all. The file is replaced in one step, readable by its owner only.
func loadPasswords(dataDir string) (pw map[string]string, fresh bool, err error) {
	path := filepath.Join(dataDir, passwordFile)
	pw = map[string]string{}
	b, err := event.ReadSecretFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh = true
	case err != nil:
		return nil, false, fmt.Errorf("read passwords: %w", err)
	default:
		if err := json.Unmarshal(b, &pw); err != nil {
			return nil, false, fmt.Errorf("read %s: %w", path, err)
		}
	}
	changed := false
	for _, role := range append([]string{Superuser}, postgres.Roles()...) {
		if pw[role] == "" {
			pw[role], changed = rand.Text(), true
		}
	}
	if !changed {
		return pw, fresh, nil
	}
	b, err = json.MarshalIndent(pw, "", "  ")
	if err != nil {
		return nil, false, fmt.Errorf("write passwords: %w", err)
	}
	tmp, err := os.CreateTemp(dataDir, "passwords-") // 0600
	if err != nil {
		return nil, false, fmt.Errorf("write passwords: %w", err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return nil, false, fmt.Errorf("write passwords: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return pw, fresh, nil
}
