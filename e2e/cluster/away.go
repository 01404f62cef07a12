package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/neuronx/engine/pkg/postgres/embedded"
)

// Disk is a small file system in memory that can be filled up.
type Disk struct{ Dir string }

// SmallDisk mounts one of so many bytes, which takes root. It goes when the test ends, after what was cleaned up before it.
func SmallDisk(t testing.TB, size int64) *Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "neuronx-disk-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); err != nil {
		t.Fatalf("mount a small disk: %v; this test needs root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return &Disk{Dir: dir}
}

func (d *Disk) filler() string { return filepath.Join(d.Dir, "filler") }

// Fill takes all the room that is left, and Free gives it back.
func (d *Disk) Fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// Free undoes Fill.
func (d *Disk) Free() error { return os.Remove(d.filler()) }

// SignalPostgres sends a signal to the server and all of its processes: SIGSTOP makes it hang, with its connections open, and SIGCONT lets
// it go on.
func (c *Cluster) SignalPostgres(sig syscall.Signal) error {
	dir := filepath.Join(c.postgresDir, "cluster")
	if at, err := os.ReadFile(filepath.Join(c.postgresDir, "location")); err == nil {
		dir = strings.TrimSpace(string(at))
	}
	b, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("signal Postgres: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	postmaster, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || postmaster <= 1 {
		return fmt.Errorf("signal Postgres: %q is no process id (%w)", first, err)
	}
	// The postmaster first: it makes no new process then.
	if err := syscall.Kill(postmaster, sig); err != nil {
		return fmt.Errorf("signal Postgres: %w", err)
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return fmt.Errorf("signal Postgres: %w", err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid …
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(postmaster) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			return fmt.Errorf("signal Postgres: %w", err)
		}
		_ = syscall.Kill(pid, sig) // it may have ended
	}
	return nil
}

// StartPostgres starts the server again, on its port. One that runs is adopted.
func (c *Cluster) StartPostgres(ctx context.Context) error {
	s, err := embedded.Start(ctx, embedded.Options{DataDir: c.postgresDir, Port: c.Postgres.Port()})
	if err == nil {
		c.Postgres = s
	}
	return err
}

// OwnKafka is a broker of one test, whose data are on a disk of its own.
type OwnKafka struct {
	Broker string
	script string
	port   int
	dir    string
}

// NewOwnKafka starts a broker with the script of NEURONX_TEST_KAFKA_RUN, which knows start, kill9 and stop with --port and --dir.
func NewOwnKafka(t testing.TB, ctx context.Context, dir string) *OwnKafka {
	t.Helper()
	k := &OwnKafka{script: os.Getenv("NEURONX_TEST_KAFKA_RUN"), dir: dir}
	if k.script == "" {
		t.Fatal("NEURONX_TEST_KAFKA_RUN is not set: it is the script that starts a broker of a test's own (start, kill9 and stop, with --port and --dir)")
	}
	for { // of two ports: the controller's is the next one
		addr, next := freeAddr(t), freeAddr(t)
		_, port, _ := strings.Cut(addr, ":")
		k.port, _ = strconv.Atoi(port) // an address has a port
		if next == fmt.Sprintf("127.0.0.1:%d", k.port+1) {
			k.Broker = addr
			break
		}
	}
	t.Cleanup(func() { _ = k.run(context.Background(), "stop", "--clean") })
	must(t, k.Start(ctx))
	return k
}

// Start starts the broker, or starts it again with its data. On a busy machine the script may give up before the broker is there, which a
// second call finds.
func (k *OwnKafka) Start(ctx context.Context) error {
	if k.run(ctx, "start") == nil {
		return nil
	}
	return k.run(ctx, "start")
}

// Kill9 kills the broker.
func (k *OwnKafka) Kill9(ctx context.Context) error { return k.run(ctx, "kill9", "1") }

// Up reports whether the broker's process runs.
func (k *OwnKafka) Up(ctx context.Context) bool { return k.run(ctx, "status") == nil }

func (k *OwnKafka) run(ctx context.Context, args ...string) error {
	args = append(args, "--port", strconv.Itoa(k.port), "--dir", k.dir)
	cmd := exec.CommandContext(ctx, k.script, args...)
	out, err := os.CreateTemp("", "kafka-run-") // a pipe would be held open by the broker that it starts
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }()
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s %s: %w\n%s", k.script, strings.Join(args, " "), err, said)
	}
	return nil
}
