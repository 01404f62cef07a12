package event

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxSecretFile bounds what is read of a file of secrets, in bytes.
const maxSecretFile = 1 << 20

// ReadSecretFile reads a file that holds a secret: signing keys, a password, a URL with one. It refuses a file that others can read or
// write (code unsafe, see CheckSecretFile) and one over 1 MiB. An error names the path and never the content; that of a missing file
// is fs.ErrNotExist.
func ReadSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat() // of the file that is read, whatever the name stands for by now
	if err != nil {
		return nil, err
	}
	if err := CheckSecretFile(path, info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecretFile {
		return nil, Refuse(CodeInvalidConfig, "%s is over %d bytes, which no file of secrets is", path, maxSecretFile)
	}
	return b, nil
}

// CheckSecretFile refuses a file of secrets that anybody but its owner can read or write. A file of another owner may be readable by its
// group, because that is the only way in which this process can be given it: Kubernetes mounts secrets as root's, mode 0440, for the
// group that fsGroup names.
func CheckSecretFile(path string, info fs.FileInfo) error {
	own := true
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		own = int(owner.Uid) == os.Geteuid() || os.Geteuid() == 0 // root needs no group to read
	}
	return checkSecretMode(path, info.Mode().Perm(), own)
}

func checkSecretMode(path string, mode fs.FileMode, own bool) error {
	forbidden, repair := fs.FileMode(0o077), "600"
	if !own {
		forbidden, repair = 0o037, "640"
	}
	if mode&forbidden == 0 {
		return nil
	}
	return Refuse(CodeUnsafe, "%s can be read by others (mode %04o)", path, mode).
		Hint(fmt.Sprintf("chmod %s %s; if anybody may have read it, put a fresh secret in its place", repair, path))
}
