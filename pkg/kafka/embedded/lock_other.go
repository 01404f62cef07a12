//go:build !unix

package embedded

import (
	"os"
	"path/filepath"
)

// lockDir makes the folder and a file in it that is held open, which on Windows keeps others from removing the folder but
// not from using it.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, lockError(dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "neuronx.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, lockError(dir, err)
	}
	return f, nil
}

func unlockDir(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}
