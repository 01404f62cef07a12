package dev

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/neuronx/engine/pkg/event"
)

func TestStoreError_TellsAFullDiskFromAPortThatIsTaken(t *testing.T) {
	e := &engine{folder: &folder{dir: t.TempDir()}}
	for _, c := range []struct {
		err          error
		detail, next string
	}{
		{fmt.Errorf("write: %w", unix.ENOSPC), "the disk of " + e.folder.dir + " is full", "start again"},
		{errors.New("the server does not start: FATAL:  could not extend file \"base/1/2\": wrote only 4096 of 8192 bytes\nHINT:  Check free disk space."), "is full", "start again"},
		{&net.OpError{Op: "listen", Err: unix.EADDRINUSE}, "127.0.0.1:1 is in use by another program", "--kafka-port"},
		{errors.New("the server does not start: could not bind IPv4 address: Address already in use"), "is in use by another program", "--kafka-port"},
	} {
		var r *event.Refusal
		if !errors.As(e.storeError(c.err, "127.0.0.1:1", "kafka-port"), &r) || !strings.Contains(r.Detail, c.detail) || !strings.Contains(r.Next, c.next) {
			t.Errorf("%v: %+v", c.err, r)
		}
	}
	if other := errors.New("the data is of another version"); !errors.Is(e.storeError(other, "", ""), other) {
		t.Error("another error is not passed on")
	}
}

func TestWayOut_NamesTheCommandForALogThatIsTorn(t *testing.T) {
	if got := wayOut("ingest: sequencer partition 1: stopped: log_torn: 0 records"); !strings.Contains(got, "--reset") {
		t.Error(got)
	}
	if got := wayOut("rules: postgres: the disk of Postgres is full"); strings.Contains(got, "--reset") {
		t.Error(got)
	}
}
