package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/vault"
)

// folder is the data folder of one dev engine.
type folder struct {
	dir  string
	lock *os.File
}

// openFolder makes the folder if needed and locks it against a second dev.
func openFolder(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, event.Refuse(event.CodeUnsafe, "another `neuronx dev` runs on %s", dir).Hint("stop it, or choose another --data-dir")
	}
	return &folder{dir: dir, lock: lock}, nil
}

func (f *folder) close() { f.lock.Close() }

func (f *folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

// keyring loads the signing keys and makes them at the first start.
func (f *folder) keyring() (*event.Keyring, error) {
	path := f.path("signing-keys.json")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		b, err := json.Marshal(event.NewKeyring())
		if err != nil {
			return nil, fmt.Errorf("make signing keys: %w", err)
		}
		if err := f.write("signing-keys.json", b); err != nil {
			return nil, err
		}
	}
	return event.LoadKeyring(path)
}

// keyset makes the master keyset at the first start, and returns its path.
func (f *folder) keyset() (string, error) {
	const name = "master-keyset.json"
	_, err := f.secret(name, func() (string, error) {
		b, err := vault.New()
		return string(b), err
	})
	return f.path(name), err
}

// secret returns the content of a file of mode 0600, made by fresh at the first start.
func (f *folder) secret(name string, fresh func() (string, error)) (string, error) {
	b, err := event.ReadSecretFile(f.path(name))
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	v, err := fresh()
	if err != nil {
		return "", err
	}
	return v, f.write(name, []byte(v))
}

// write replaces a file in one step, readable by its owner only.
func (f *folder) write(name string, b []byte) error {
	path := f.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

const envFile = "dev.env"

// writeEnv writes dev.env: shell assignments, one a line.
func (f *folder) writeEnv(vars [][2]string) error {
	var b strings.Builder
	for _, v := range vars {
		fmt.Fprintf(&b, "%s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	return f.write(envFile, []byte(b.String()))
}

func (f *folder) removeEnv() error {
	if err := os.Remove(f.path(envFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", envFile, err)
	}
	return nil
}

// reset removes the engine's data, keys included.
func (f *folder) reset() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "lock" {
			continue
		}
		if err := os.RemoveAll(f.path(e.Name())); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	return nil
}
