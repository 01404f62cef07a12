package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
)

// account is the user the server runs as; nil stands for ourselves.
type account struct {
	uid, gid uint32
}

// serverAccount: PostgreSQL refuses root, so root lends the server another user.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and this machine has neither a user postgres nor a user nobody to run it as")
}

// ownerOf is the account for a cluster that is there: its owner, since the server refuses a folder of another user. Only root can
// choose.
func ownerOf(cluster string, a *account) *account {
	info, err := os.Stat(cluster)
	if a == nil || err != nil {
		return a
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		return &account{uid: st.Uid, gid: st.Gid}
	}
	return a
}

// command prepares a program to run as the account, in a directory that the account can enter, with messages in English.
func (a *account) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(keepEnv(os.Environ()), "LC_ALL=C", "TZ=UTC")
	if a != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
	}
	return cmd
}

// keepEnv drops PG* (PGDATA, PGPORT … of the user's shell would redirect the tools) and NEURONX_* (secrets).
func keepEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "PG") && !strings.HasPrefix(e, "NEURONX_") && !strings.HasPrefix(e, "LC_") {
			out = append(out, e)
		}
	}
	return out
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("hand over %s: %w", path, err)
	}
	return nil
}

// canReach says whether the account can enter every folder above path.
func (a *account) canReach(path string) bool {
	if a == nil {
		return true
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			if dir == path && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return false
		}
		m := info.Mode().Perm()
		enter := m&0o001 != 0 || (st.Uid == a.uid && m&0o100 != 0) || (st.Gid == a.gid && m&0o010 != 0)
		if !enter {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

const locationFile = "location"

// clusterDir says where the cluster of dataDir lies: inside it, or, where the server's user cannot reach that, in a folder keyed by
// its path. A cluster that is there already stays where it is.
func clusterDir(dataDir string, a *account) (dir string, remote bool, err error) {
	if b, err := os.ReadFile(filepath.Join(dataDir, locationFile)); err == nil {
		return strings.TrimSpace(string(b)), true, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("read location of the cluster: %w", err)
	}
	near := filepath.Join(dataDir, "cluster")
	if v, err := clusterVersion(near); err != nil || v != 0 || a.canReach(dataDir) {
		return near, false, err
	}
	base, err := remoteBase(a)
	if err != nil {
		return "", false, err
	}
	sum := sha256.Sum256([]byte(dataDir))
	return filepath.Join(base, "postgres-"+hex.EncodeToString(sum[:8])), true, nil
}

// remoteBase is the first folder that the server's user can reach.
func remoteBase(a *account) (string, error) {
	var errs []error
	for _, base := range []string{"/var/lib/neuronx", filepath.Join(os.TempDir(), "neuronx")} {
		if err := os.MkdirAll(base, 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		info, err := os.Lstat(base)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || st.Uid != uint32(os.Geteuid()) { //nolint:gosec // a uid
			errs = append(errs, fmt.Errorf("%s belongs to somebody else", base)) // anybody can make a folder in /tmp first
			continue
		}
		if a.canReach(base) {
			return base, nil
		}
		errs = append(errs, fmt.Errorf("user %d cannot reach %s", a.uid, base))
	}
	return "", fmt.Errorf("find a folder for the PostgreSQL cluster: %w", errors.Join(errs...))
}

// cacheDir is where downloaded binaries are kept.
func cacheDir(a *account) (string, error) {
	if a != nil {
		base, err := remoteBase(a)
		return filepath.Join(base, "cache"), err
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("neuronx-cache-%d", os.Getuid())), nil //nolint:nilerr // no home
	}
	return filepath.Join(base, "neuronx"), nil
}

// lockFile waits for an exclusive lock on path; the lock ends with unlock or with the process, however it dies.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if backoff.Wait(ctx, 50*time.Millisecond) != nil {
			_ = f.Close()
			return nil, fmt.Errorf("wait for lock %s: %w", path, ctx.Err())
		}
	}
}

// tryLock takes the lock or says that another process has it.
func tryLock(path string) (unlock func(), ok bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, true, nil
}
