package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
)

const (
	keepEvery  = 500 * time.Millisecond // how often it is looked whether the server runs
	keepPause  = 30 * time.Second       // the longest wait before the next try of a row that failed
	firstPause = time.Second
)

// Keep starts the server again, on its port, whenever it has ended, until ctx ends; then it returns nil. A server that does not start,
// such as one whose disk is full, is tried again and again, at most every 30 s. tell gets every end and why a start failed, and nil when the
// server answers again; it may be nil. Stop must not be called while Keep runs.
func (s *Server) Keep(ctx context.Context, tell func(error)) error {
	if tell == nil {
		tell = func(error) {}
	}
	again := *s // the port that everybody has stays as it is
	again.opt.Port = s.port
	k := keeper{
		alive: func() bool { pid, err := readPidFile(s.cluster); return err == nil && pid.alive(s.cluster) },
		start: again.run, tell: tell, log: s.opt.Log, port: s.port,
	}
	k.keep(ctx)
	return nil
}

// keeper is Keep over a server of any kind.
type keeper struct {
	alive func() bool
	start func(context.Context) error
	tell  func(error)
	log   *slog.Logger
	port  int
}

func (k keeper) keep(ctx context.Context) {
	failures := 0
	for down := false; ; {
		wait := keepEvery
		if !k.alive() {
			if !down {
				down = true
				k.log.Error("postgres has ended; it is started again", "port", k.port)
				k.tell(fmt.Errorf("PostgreSQL on port %d has ended; it is started again", k.port))
			}
			err := k.start(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				wait = backoff.Doubling(firstPause, keepPause, failures)
				failures++
				k.log.Error("postgres does not start; it is tried again", "again_in", wait, "err", err)
				k.tell(fmt.Errorf("PostgreSQL does not start, it is tried again every %s: %w", wait, err))
			default:
				down, failures = false, 0
				k.log.Info("postgres is up again", "port", k.port)
				k.tell(nil)
			}
		}
		if backoff.Wait(ctx, wait) != nil {
			return
		}
	}
}
