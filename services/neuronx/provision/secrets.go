package provision

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/vault"
)

// Files of the secrets folder; next to them lies <role>.url for every role that a process of the engine runs under. neuronx_reader has no
// such file, because it would invite handing it out: who has that role reads every tenant.
const (
	KeysFile      = "signing-keys.json"
	KeysetFile    = "master-keyset.json"
	PasswordsFile = "roles.json"
)

// keepSecrets makes what the folder lacks and returns the roles' passwords. Files are written before the passwords are set: after
// a crash in between, the next run sets the same ones. Two runs at once on an empty folder may leave a file that Postgres does not
// agree with; the next run repairs it.
func keepSecrets(dir, adminURL string, execute bool) ([]Change, map[string]string, error) {
	names := []string{KeysFile, KeysetFile, PasswordsFile}
	for _, role := range postgres.Roles() {
		if role != postgres.RoleReader {
			names = append(names, role+".url")
		}
	}
	have, err := readSecrets(dir, names)
	if err != nil {
		return nil, nil, err
	}
	want, passwords, err := planSecrets(have, adminURL, postgres.Roles())
	if err != nil {
		return nil, nil, err
	}
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(want)) {
		out = append(out, Change{Part: "secrets", Name: name, Action: "write", Detail: dir})
	}
	if execute && len(want) > 0 {
		out, err = writeSecrets(dir, out, want)
	}
	return out, passwords, err
}

// planSecrets decides which files have to be written, given those that are there. Keys and passwords that are there stay; the URL
// files follow the admin URL.
func planSecrets(have map[string][]byte, adminURL string, roles []string) (write map[string][]byte, passwords map[string]string, err error) {
	write = map[string][]byte{}
	if b, ok := have[KeysFile]; !ok {
		if write[KeysFile], err = json.MarshalIndent(event.NewKeyring(), "", "  "); err != nil {
			return nil, nil, fmt.Errorf("write the signing keys: %w", err)
		}
	} else if _, err := event.ParseKeyring(b); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", KeysFile, err)
	}
	if _, ok := have[KeysetFile]; !ok {
		if write[KeysetFile], err = vault.New(); err != nil {
			return nil, nil, err
		}
	}
	passwords = map[string]string{}
	if b, ok := have[PasswordsFile]; ok {
		if err := json.Unmarshal(b, &passwords); err != nil || passwords == nil {
			return nil, nil, event.Refuse(event.CodeInvalidConfig, "%s is not JSON of the form {role: password}", PasswordsFile)
		}
	}
	fresh := false
	for _, role := range roles {
		if passwords[role] == "" {
			passwords[role], fresh = rand.Text(), true // 130 bits
		}
	}
	if fresh {
		if write[PasswordsFile], err = json.MarshalIndent(passwords, "", "  "); err != nil {
			return nil, nil, fmt.Errorf("write the passwords: %w", err)
		}
	}
	for _, role := range roles {
		if role == postgres.RoleReader {
			continue
		}
		text, err := roleURL(adminURL, role, passwords[role])
		if err != nil {
			return nil, nil, err
		}
		if name := role + ".url"; string(have[name]) != text {
			write[name] = []byte(text)
		}
	}
	return write, passwords, nil
}

// roleURL is the admin's URL for another role: the same server and database, and nothing of the admin's own credentials.
func roleURL(adminURL, role, password string) (string, error) {
	u, err := url.Parse(adminURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return "", event.Refuse(event.CodeInvalidConfig, "the Postgres admin URL is not of the form postgres://user@host/database").
			Hint("secrets are written for a URL only, not for keyword=value settings")
	}
	u.User = url.UserPassword(role, password)
	q := u.Query()
	for _, own := range []string{"user", "password", "passfile", "sslcert", "sslkey", "sslpassword", "service", "servicefile"} {
		q.Del(own)
	}
	u.RawQuery = q.Encode()
	return u.String() + "\n", nil
}

// readSecrets reads the folder's own files. One that others can read is refused: it is no secret any more.
func readSecrets(dir string, names []string) (map[string][]byte, error) {
	have := map[string][]byte{}
	for _, name := range names {
		path := filepath.Join(dir, name)
		b, err := event.ReadSecretFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		have[name] = b
	}
	return have, nil
}

// writeSecrets writes the files of changes in their order, and returns those that were written.
func writeSecrets(dir string, changes []Change, texts map[string][]byte) ([]Change, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	for i, c := range changes {
		if err := writeSecret(filepath.Join(dir, c.Name), texts[c.Name]); err != nil {
			return changes[:i], err
		}
	}
	return changes, nil
}

// writeSecret replaces a file in one step, so that a reader sees the old text or the new one, with mode 0600.
func writeSecret(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
