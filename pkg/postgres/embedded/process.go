package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
)

// ErrNotStarted means that nothing runs on the cluster and that the server does not start on it.
var ErrNotStarted = errors.New("the server does not start")

// run leaves a server of our own answering: the living one, or a new one.
func (s *Server) run(ctx context.Context) error {
	adopted, err := s.adopt(ctx)
	if err != nil || adopted {
		return err
	}
	major, err := clusterVersion(s.cluster)
	if err != nil {
		return err
	}
	if major == 0 {
		if err := s.initdb(ctx); err != nil {
			return err
		}
	}
	// After a kill -9 of the postmaster its children may hold the shared memory for a moment, and a chosen free port may be taken
	// by somebody else before the server binds it: both pass.
	const tries = 5
	for i := 1; ; i++ {
		err := s.launch(ctx)
		if err == nil {
			return nil
		}
		if i == tries || ctx.Err() != nil || !passing(err, s.opt.Port) {
			return err
		}
		if err := backoff.Wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

func passing(err error, port int) bool {
	msg := err.Error()
	return strings.Contains(msg, "shared memory block") || (port == 0 && strings.Contains(msg, "Address already in use"))
}

// adopt uses a server that is alive on the cluster. Not alive, or alive under a number that now names another program: the stale
// file is removed. A server on another port than the one asked for is restarted there, since we hold the data directory's lock.
func (s *Server) adopt(ctx context.Context) (bool, error) {
	pid, err := readPidFile(s.cluster)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && pid.alive(s.cluster) {
		answered, err := s.awaitAnswer(ctx, pid)
		if err != nil {
			return false, err
		}
		if answered && (s.opt.Port == 0 || s.opt.Port == s.port || s.opt.Shared) {
			s.adopted = true
			return true, nil
		}
		if answered {
			return false, s.halt(ctx)
		}
	}
	if err := os.Remove(filepath.Join(s.cluster, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove stale pid file: %w", err)
	}
	return false, nil
}

// awaitAnswer waits for a living server to finish starting, recovering or stopping; false means that it ended by itself.
func (s *Server) awaitAnswer(ctx context.Context, pid pidFile) (bool, error) {
	deadline := time.Now().Add(time.Minute)
	for {
		if pid.port > 0 {
			s.port = pid.port
			err := s.ping(ctx)
			if err == nil {
				return true, nil
			}
			if time.Now().After(deadline) {
				return false, fmt.Errorf("process %d runs PostgreSQL on %s and does not answer: %w", pid.pid, s.cluster, err)
			}
		} else if time.Now().After(deadline) {
			return false, fmt.Errorf("process %d holds %s and names no port", pid.pid, s.cluster)
		}
		if backoff.Wait(ctx, 100*time.Millisecond) != nil {
			return false, ctx.Err()
		}
		again, err := readPidFile(s.cluster)
		if err != nil || !again.alive(s.cluster) {
			return false, nil //nolint:nilerr // the file went away with its server
		}
		pid = again
	}
}

// ping logs in with our password and checks that the server serves our cluster.
func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.MaintenanceURL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var dir string
	if err := conn.QueryRow(ctx, `SHOW data_directory`).Scan(&dir); err != nil {
		return err
	}
	want, err := filepath.EvalSymlinks(s.cluster)
	if err != nil {
		return err
	}
	if got, err := filepath.EvalSymlinks(dir); err != nil || got != want {
		return fmt.Errorf("port %d serves %s", s.port, dir)
	}
	return nil
}

// initdb makes the cluster in a temporary folder next to its own and renames it, so that a killed initdb leaves no half cluster.
func (s *Server) initdb(ctx context.Context) error {
	fmt.Fprintf(s.opt.Out, "making a PostgreSQL %d cluster in %s\n", s.bin.Major, s.cluster)
	parent := filepath.Join(filepath.Dir(s.cluster), filepath.Base(s.cluster)+".new")
	if err := os.RemoveAll(parent); err != nil {
		return fmt.Errorf("clear half-made cluster: %w", err)
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := s.acct.own(parent); err != nil {
		return err
	}
	pwfile := filepath.Join(parent, "pw")
	if err := os.WriteFile(pwfile, []byte(s.passwords[Superuser]+"\n"), 0o600); err != nil {
		return fmt.Errorf("make password file: %w", err)
	}
	if err := s.acct.own(pwfile); err != nil {
		return err
	}
	made := filepath.Join(parent, "cluster")
	args := []string{"-D", made, "-U", Superuser, "--pwfile=" + pwfile, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"}
	if s.opt.NoSync {
		args = append(args, "--no-sync")
	}
	out, err := s.acct.command(ctx, parent, s.bin.path("initdb"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb of PostgreSQL %d: %w: %s", s.bin.Major, err, lastLines(out))
	}
	if err := os.Remove(s.cluster); err != nil && !errors.Is(err, fs.ErrNotExist) { // only an empty folder goes
		return fmt.Errorf("%s is neither empty nor a PostgreSQL cluster: %w", s.cluster, err)
	}
	if err := os.Rename(made, s.cluster); err != nil {
		return fmt.Errorf("keep cluster: %w", err)
	}
	if err := os.RemoveAll(parent); err != nil {
		return fmt.Errorf("clear half-made cluster: %w", err)
	}
	return nil
}

// launch starts the server detached (it survives us), and waits until it accepts connections.
func (s *Server) launch(ctx context.Context) error {
	s.port = s.opt.Port
	if s.port == 0 {
		p, err := freePort()
		if err != nil {
			return err
		}
		s.port = p
	} else if err := portIsFree(s.port); err != nil {
		return err
	}
	logFile := filepath.Join(s.cluster, "server.log")
	_ = os.Remove(logFile) // one run's log is enough to explain a failed start
	out, err := s.acct.command(ctx, s.cluster, s.bin.path("pg_ctl"), "start", "-w", "-t", "60", "-D", s.cluster, "-l", logFile,
		"-o", strings.Join(s.settings(), " ")).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(logFile)
		return fmt.Errorf("%w (PostgreSQL %d): %w: %s %s", ErrNotStarted, s.bin.Major, err, lastLines(out), lastLines(log))
	}
	if err := s.ping(ctx); err != nil {
		return errors.Join(fmt.Errorf("log in to the started server: %w", err), s.halt(context.WithoutCancel(ctx)))
	}
	return nil
}

// settings are given on the command line, so that they hold for a cluster of any age. No Unix socket: its path has a length limit.
func (s *Server) settings() []string {
	set := [][2]string{
		{"listen_addresses", "127.0.0.1"}, {"port", strconv.Itoa(s.port)}, {"unix_socket_directories", ""},
		{"password_encryption", "scram-sha-256"}, {"max_connections", "200"}, {"max_locks_per_transaction", "1024"},
		{"timezone", "UTC"}, {"log_timezone", "UTC"},
	}
	if s.opt.NoSync {
		set = append(set, [][2]string{{"fsync", "off"}, {"synchronous_commit", "off"}, {"full_page_writes", "off"},
			{"max_connections", "1000"}, {"max_locks_per_transaction", "256"}}...)
	} else {
		set = append(set, [2]string{"fsync", "on"}, [2]string{"synchronous_commit", "on"})
	}
	var args []string
	for _, kv := range set {
		args = append(args, "-c", kv[0]+"='"+kv[1]+"'")
	}
	return args
}

func portIsFree(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("port %d of PostgreSQL: %w", port, err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("port %d of PostgreSQL: %w", port, err)
	}
	return nil
}

// halt stops the server in mode fast and waits for it.
func (s *Server) halt(ctx context.Context) error {
	out, err := s.acct.command(ctx, s.cluster, s.bin.path("pg_ctl"), "stop", "-w", "-t", "50", "-m", "fast", "-D", s.cluster).CombinedOutput()
	if err == nil {
		return nil
	}
	if pid, perr := readPidFile(s.cluster); perr != nil || !pid.alive(s.cluster) {
		return nil //nolint:nilerr // it was gone already
	}
	return fmt.Errorf("stop PostgreSQL: %w: %s", err, lastLines(out))
}

// pidFile is what postmaster.pid says: line 1 the process, line 4 the port (missing until it is bound).
type pidFile struct {
	pid, port int
}

func readPidFile(cluster string) (pidFile, error) {
	b, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return pidFile{}, err
	}
	return parsePidFile(b)
}

func parsePidFile(b []byte) (pidFile, error) {
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid == 0 {
		return pidFile{}, fmt.Errorf("read postmaster.pid: %q", lines[0])
	}
	p := pidFile{pid: max(pid, -pid)} // a standalone backend writes its number negated
	if len(lines) > 3 {
		if port, err := strconv.Atoi(strings.TrimSpace(lines[3])); err == nil {
			p.port = port
		}
	}
	return p, nil
}

// alive says whether the process runs and, where /proc tells, that it is the postmaster of this cluster (its working directory)
// and not a later process with the same number.
func (p pidFile) alive(cluster string) bool {
	if err := syscall.Kill(p.pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid))
	if errors.Is(err, fs.ErrNotExist) {
		_, noProc := os.Stat("/proc/self/cwd")
		return noProc != nil // with /proc: ended, but not waited for (a zombie); without it the login decides
	}
	if err != nil {
		return true // not ours to see: the login decides
	}
	real, err := filepath.EvalSymlinks(cluster)
	return err == nil && cwd == real
}

func lastLines(b []byte) string {
	b = bytes.TrimSpace(b)
	if len(b) > 800 {
		b = append([]byte("… "), b[len(b)-800:]...)
	}
	return string(b)
}
