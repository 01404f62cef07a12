package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// minVersion is the oldest major version that the migrations run on (security_invoker views need 15).
const minVersion = 15

// Binaries are the programs of one PostgreSQL installation.
type Binaries struct {
	Dir   string // holds initdb, pg_ctl and postgres
	Major int
}

func (b Binaries) path(name string) string { return filepath.Join(b.Dir, name) }

// chooseBinaries picks the installation for a cluster of version major (0: a new one): of the installed ones the one that fits, or
// for a new cluster the newest; ok is false when it must be downloaded.
func chooseBinaries(installed []Binaries, major int) (b Binaries, ok bool) {
	for _, c := range installed {
		fits := c.Major == major || (major == 0 && c.Major >= minVersion)
		if fits && c.Major > b.Major {
			b, ok = c, true
		}
	}
	return b, ok
}

// installed lists what is on this machine: PATH, pg_config, the folders of Debian, Red Hat and Homebrew.
func installed(ctx context.Context) []Binaries {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	var out []Binaries
	seen := map[string]bool{}
	for _, d := range dirs {
		if seen[d] {
			continue
		}
		seen[d] = true
		if b, err := inspect(ctx, d); err == nil {
			out = append(out, b)
		}
	}
	return out
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func inspect(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return Binaries{}, fmt.Errorf("look for PostgreSQL: %w", err)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("run %s --version: %w", filepath.Join(dir, "postgres"), err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("unknown answer of %s --version: %q", filepath.Join(dir, "postgres"), out)
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return Binaries{}, fmt.Errorf("read version: %w", err)
	}
	return Binaries{Dir: dir, Major: major}, nil
}

// downloadable maps a major version to the build that Maven Central has.
var downloadable = map[int]embeddedpostgres.PostgresVersion{
	18: embeddedpostgres.V18, 17: embeddedpostgres.V17, 16: embeddedpostgres.V16, 15: embeddedpostgres.V15,
}

// download fetches binaries once into cacheDir and returns them. The library can only fetch as the first step of a start, and it
// deletes a data folder of another version; so it is given a decoy data folder of its own, in a scratch directory, with which the
// start must fail right after the fetch. Unpacked files count only after a rename, so a killed download is repeated.
func download(ctx context.Context, major int, cacheDir string, out io.Writer) (Binaries, error) {
	version, ok := downloadable[major]
	if !ok {
		versions := make([]int, 0, len(downloadable))
		for v := range downloadable {
			versions = append(versions, v)
		}
		slices.Sort(versions)
		return Binaries{}, fmt.Errorf("the data directory is of PostgreSQL %d, which is not installed and cannot be downloaded (%v can)", major, versions)
	}
	home := filepath.Join(cacheDir, fmt.Sprintf("postgres-%s-%s-%s", version, runtime.GOOS, runtime.GOARCH))
	if b, err := inspect(ctx, filepath.Join(home, "bin")); err == nil {
		return b, nil
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return Binaries{}, fmt.Errorf("make cache: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cacheDir, "download.lock"))
	if err != nil {
		return Binaries{}, err
	}
	defer unlock()
	if b, err := inspect(ctx, filepath.Join(home, "bin")); err == nil {
		return b, nil // another process fetched it meanwhile
	}
	fmt.Fprintf(out, "downloading PostgreSQL %s (once, about 12 MB) into %s\n", version, cacheDir)
	scratch, err := os.MkdirTemp(cacheDir, "fetch-")
	if err != nil {
		return Binaries{}, fmt.Errorf("make scratch directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	decoy := filepath.Join(scratch, "decoy")
	if err := os.Mkdir(decoy, 0o700); err != nil {
		return Binaries{}, fmt.Errorf("make decoy: %w", err)
	}
	if err := os.WriteFile(filepath.Join(decoy, "PG_VERSION"), []byte(strconv.Itoa(major)+"\n"), 0o600); err != nil {
		return Binaries{}, fmt.Errorf("make decoy: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return Binaries{}, err
	}
	unpacked := filepath.Join(scratch, "unpacked")
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().Version(version).Port(uint32(port)). //nolint:gosec // a port
															CachePath(scratch).RuntimePath(filepath.Join(scratch, "runtime")).BinariesPath(unpacked).DataPath(decoy).Logger(io.Discard))
	ended := make(chan error, 1)
	go func() { ended <- library.Start() }() // it takes no context; a caller that gives up waiting ends the process soon
	var fetchErr error
	select {
	case fetchErr = <-ended:
	case <-ctx.Done():
		return Binaries{}, fmt.Errorf("download PostgreSQL %s: %w", version, ctx.Err())
	}
	if _, err := inspect(ctx, filepath.Join(unpacked, "bin")); err != nil {
		return Binaries{}, fmt.Errorf("download PostgreSQL %s (or install PostgreSQL %d or newer): %w", version, minVersion, errors.Join(fetchErr, err))
	}
	if err := os.RemoveAll(home); err != nil {
		return Binaries{}, fmt.Errorf("replace cache: %w", err)
	}
	if err := os.Rename(unpacked, home); err != nil {
		return Binaries{}, fmt.Errorf("keep download: %w", err)
	}
	if err := makeReadable(home); err != nil {
		return Binaries{}, err
	}
	return inspect(ctx, filepath.Join(home, "bin"))
}

// makeReadable lets the unprivileged user run what root unpacked.
func makeReadable(root string) error {
	return filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(p, mode)
	})
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}
