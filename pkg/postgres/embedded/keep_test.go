package embedded

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestKeep_StartsTheServerAgainWhateverEndedIt(t *testing.T) {
	s := start(t, Options{DataDir: open(t), NoSync: true})
	defer stop(t, s)
	conn, err := pgx.Connect(t.Context(), s.AdminURL())
	if err == nil {
		_, err = conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 'kept' AS v`)
		if err == nil {
			_, err = conn.Exec(t.Context(), `CHECKPOINT`) // without syncs a commit may be lost with the server
		}
		_ = conn.Close(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1000)
	done := make(chan error, 1)
	go func() { done <- s.Keep(ctx, func(err error) { told <- err }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	back := func() {
		t.Helper()
		if err := <-told; err == nil {
			t.Error("its end is not told")
		}
		waitFor(t, "the server again", func() bool { return s.ping(context.Background()) == nil })
		for err := range told { // tries that failed while the old one's children ended
			if err == nil {
				break
			}
		}
		if got := query(t, s.AdminURL(), `SELECT v FROM kept`); got != "kept" {
			t.Error(got)
		}
	}
	kill := func() {
		t.Helper()
		pid, err := readPidFile(s.cluster)
		if err == nil {
			err = syscall.Kill(pid.pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kill()
	back()
	if err := s.halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	back()
	// One that can't start is tried again.
	global := filepath.Join(s.cluster, "global")
	if err := os.Rename(global, global+".away"); err != nil {
		t.Fatal(err)
	}
	kill()
	if err := <-told; err == nil {
		t.Error("its end is not told")
	}
	if err := <-told; err == nil {
		t.Error("a server that does not start is up")
	}
	if err := os.Rename(global+".away", global); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server after a failed start", func() bool { return s.ping(context.Background()) == nil })
}
