//go:build unix

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes the folder and takes it for this process: two brokers over the same files would destroy them. The lock goes
// with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, lockError(dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "neuronx.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, lockError(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, lockError(dir, errors.New("is in use by another process"))
	}
	return f, nil
}

func unlockDir(f *os.File) {
	if f != nil {
		_ = f.Close() // gives the lock back
	}
}
