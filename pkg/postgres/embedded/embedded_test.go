package embedded

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

func start(t *testing.T, opt Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open is a data directory that the server's user can reach, also for root; its server and cluster go when the test ends.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "neuronx-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var out string
	if err := conn.QueryRow(context.Background(), sql).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("never saw: %s", what)
}

// The life of one data directory: made, restarted, adopted after its owner died, recovered after the server died.
func TestStart_KeepsTheDataWhateverEndedTheServer(t *testing.T) {
	dir := open(t)
	s := start(t, Options{DataDir: dir})
	if got := query(t, s.AdminURL(), `SELECT current_setting('listen_addresses') || current_setting('fsync') || current_setting('synchronous_commit') || current_database()`); got != "127.0.0.1ononneuronx" {
		t.Fatal(got)
	}
	info, err := os.Stat(filepath.Join(dir, passwordFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("passwords: %v %v", info.Mode(), err)
	}
	if _, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://postgres:wrong@127.0.0.1:%d/postgres?sslmode=disable", s.Port())); err == nil {
		t.Fatal("a wrong password logs in")
	}
	conn, err := pgx.Connect(t.Context(), s.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept (v text); INSERT INTO kept VALUES ('kept')`); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("two owners: %v", err)
	}
	stop(t, s) // with a client that is still connected

	s = start(t, Options{DataDir: dir})
	if got := query(t, s.AdminURL(), `SELECT v FROM kept`); got != "kept" || s.adopted {
		t.Fatal(got, s.adopted)
	}
	first := s.Port()
	s.unlock() // what the kernel does when the owner is killed
	s = start(t, Options{DataDir: dir})
	if !s.adopted || s.Port() != first {
		t.Fatalf("adopted %v on %d, was on %d", s.adopted, s.Port(), first)
	}

	pid, err := readPidFile(s.cluster)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.unlock()
	s = start(t, Options{DataDir: dir})
	if got := query(t, s.AdminURL(), `SELECT v FROM kept`); got != "kept" || s.adopted {
		t.Fatal(got, s.adopted)
	}
	stop(t, s)

	// A pid file of before a reboot, whose number is somebody else's by now: ours.
	stale := fmt.Sprintf("%d\n%s\n0\n%d\n\n127.0.0.1\n\nready\n", os.Getpid(), s.cluster, first)
	if err := os.WriteFile(filepath.Join(s.cluster, "postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.acct.own(filepath.Join(s.cluster, "postmaster.pid")); err != nil {
		t.Fatal(err)
	}
	s = start(t, Options{DataDir: dir})
	other, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	s.unlock()
	s = start(t, Options{DataDir: dir, Port: other}) // alive, on another port than asked for
	if s.Port() != other || query(t, s.AdminURL(), `SELECT v FROM kept`) != "kept" {
		t.Fatal(s.Port(), other)
	}
	if _, err := postgres.Migrate(t.Context(), s.AdminURL()); err != nil {
		t.Fatal(err)
	}
	if err := postgres.SetPasswords(t.Context(), s.AdminURL(), s.Passwords()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s.URL(postgres.RoleOps), `SELECT current_user::text`); got != postgres.RoleOps {
		t.Fatal(got)
	}
	stop(t, s)
}

// Where the server's user cannot go (a clone under root's home), the cluster lies elsewhere and is found again.
func TestStart_AsRootUnderAClosedHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: every directory of ours is reachable")
		return
	}
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "pg")
	s := start(t, Options{DataDir: dir, NoSync: true})
	if strings.HasPrefix(s.cluster, home) {
		t.Fatalf("cluster in %s", s.cluster)
	}
	cluster := s.cluster
	stop(t, s)
	s = start(t, Options{DataDir: dir, NoSync: true})
	if s.cluster != cluster {
		t.Fatalf("cluster in %s, was in %s", s.cluster, cluster)
	}
	s.unlock()
	// The data directory is deleted while its server runs, and recreated: the old cluster has no passwords any more.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s = start(t, Options{DataDir: dir, NoSync: true, Out: &out})
	if s.adopted || !strings.Contains(out.String(), "removing") {
		t.Fatalf("adopted %v, said %q", s.adopted, out.String())
	}
	stop(t, s)
	if err := Remove(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the cluster is gone", func() bool { _, err := os.Stat(cluster); return os.IsNotExist(err) })
}

func TestStart_NeverHandsDataToAnotherVersion(t *testing.T) {
	dir := open(t)
	cluster := filepath.Join(dir, "cluster")
	if err := os.MkdirAll(cluster, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{filepath.Join(cluster, "PG_VERSION"): "9\n", filepath.Join(dir, passwordFile): `{"postgres":"x"}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Start(t.Context(), Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 9") {
		t.Fatalf("%v", err)
	}
	if v, err := clusterVersion(cluster); v != 9 || err != nil {
		t.Fatalf("version %d, %v: the folder was touched", v, err)
	}
}

func TestStart_NamesThePortThatIsTaken(t *testing.T) {
	s := start(t, Options{DataDir: open(t), NoSync: true})
	defer stop(t, s)
	_, err := Start(t.Context(), Options{DataDir: open(t), Port: s.Port(), NoSync: true})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(s.Port())) {
		t.Fatalf("%v", err)
	}
}

func TestChooseBinaries(t *testing.T) {
	have := []Binaries{{"a", 14}, {"b", 15}, {"c", 17}, {"d", 16}}
	for _, c := range []struct {
		have  []Binaries
		major int
		want  string
	}{{have, 0, "c"}, {have, 15, "b"}, {have, 14, "a"}, {have, 18, ""}, {have[:1], 0, ""}, {nil, 0, ""}} {
		if b, _ := chooseBinaries(c.have, c.major); b.Dir != c.want {
			t.Errorf("version %d: %q, want %q", c.major, b.Dir, c.want)
		}
	}
}

func TestParsePidFile(t *testing.T) {
	for text, want := range map[string]pidFile{
		"12\n/d\n1\n5432\n\n127.0.0.1\n\nready\n": {12, 5432}, "12\n/d\n1\n": {12, 0}, "-12\n": {12, 0}, "": {}, "x\n": {},
	} {
		if got, _ := parsePidFile([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A managed server gives no superuser: an admin who may make roles and owns the database is enough.
func migrateWithoutSuperuser(t *testing.T, s *Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.MaintenanceURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{`CREATE ROLE "the admin" LOGIN CREATEROLE PASSWORD 'pw'`, `CREATE DATABASE managed OWNER "the admin"`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	url := fmt.Sprintf("postgres://the%%20admin:pw@127.0.0.1:%d/managed?sslmode=disable", s.Port())
	tables := postgres.Migrations{Name: "x", FS: fstest.MapFS{"00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABLE neuronx.x (id int);")}}}
	for range 2 {
		if _, err := postgres.Migrate(t.Context(), url, tables); err != nil {
			t.Fatal(err)
		}
		if err := postgres.SetPasswords(t.Context(), url, s.Passwords()); err != nil {
			t.Fatal(err)
		}
	}
	if got := query(t, strings.Replace(s.URL(postgres.RoleOps), "/neuronx?", "/managed?", 1), `SELECT current_user::text`); got != postgres.RoleOps {
		t.Fatal(got)
	}
}

func TestMigrate_NeedsNoSuperuser(t *testing.T) {
	s := start(t, Options{DataDir: open(t), NoSync: true})
	defer stop(t, s)
	migrateWithoutSuperuser(t, s)
}

// Downloading is tried where it is allowed: the CI sets the variable.
func TestStart_WithDownloadedBinaries(t *testing.T) {
	if os.Getenv("NEURONX_TEST_DOWNLOAD") == "" {
		t.Log("NEURONX_TEST_DOWNLOAD is not set: the download of PostgreSQL 18 is not tried")
		return
	}
	dir := open(t)
	s := start(t, Options{DataDir: dir, MinMajor: 18, Out: os.Stderr})
	if got := query(t, s.AdminURL(), `SHOW server_version_num`); s.bin.Major < 18 || !strings.HasPrefix(got, "18") {
		t.Fatal(got)
	}
	migrateWithoutSuperuser(t, s)
	stop(t, s)
	s = start(t, Options{DataDir: dir}) // an older installed one must not be tried on it
	if s.bin.Major != 18 {
		t.Fatal(s.bin.Major)
	}
	stop(t, s)
}
