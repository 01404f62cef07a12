package dev

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
)

// storeError says why Kafka or Postgres did not start, and what to do: a disk without room, a port that is taken, or else what it said.
func (e *engine) storeError(err error, addr, flag string) error {
	text := err.Error()
	switch {
	case diskFull(err):
		return event.Refuse(event.CodeInvalidConfig, "the disk of %s is full (%d MiB free)", e.folder.dir, freeMiB(e.folder.dir)).
			Hint("make room and start again; nothing of the data was thrown away")
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EACCES) && strings.Contains(text, "listen"),
		strings.Contains(strings.ToLower(text), "address already in use"):
		return app.ListenError(addr, flag, err)
	}
	return err
}

// wayOut says what to do about trouble that does not end by itself.
func wayOut(trouble string) string {
	if strings.Contains(trouble, "log_torn") {
		return trouble + " — the embedded Kafka was cut off while it wrote, by a full disk or a kill: its partition can't go on; " +
			"stop, and start again with --reset, which throws the data away"
	}
	return trouble
}

// diskFull reports whether an error is of a disk without room. PostgreSQL tells it in its log, with one of two texts.
func diskFull(err error) bool {
	text := err.Error()
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || strings.Contains(text, "No space left on device") ||
		strings.Contains(text, "Check free disk space")
}

// freeMiB is what a user may still write where a folder lies; -1: not known.
func freeMiB(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize >> 20 //nolint:gosec // far below 2^63
}
