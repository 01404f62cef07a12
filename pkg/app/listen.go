package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/neuronx/engine/pkg/event"
)

// Listen binds a TCP address, or says which of the ways to fail it was and what to do. flag is the one that sets the address.
func Listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, ListenError(addr, flag, err)
	}
	return l, nil
}

// ListenError says in plain words why an address could not be bound.
func ListenError(addr, flag string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE), strings.Contains(err.Error(), "Address already in use"), strings.Contains(err.Error(), "address already in use"):
		return event.Refuse(event.CodeInvalidConfig, "%s is in use by another program", addr).Hint("stop that program, or choose another --" + flag + runFlags(addr))
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return event.Refuse(event.CodeInvalidConfig, "this user may not listen on %s", addr).
			Hint("ports below 1024 take root or CAP_NET_BIND_SERVICE: choose another --" + flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return event.Refuse(event.CodeInvalidConfig, "no network interface of this machine has the address %s", addr).Hint("choose another --" + flag)
	}
	return event.Refuse(event.CodeInvalidConfig, "%s can't be listened on: %v", addr, err).Hint("choose another --" + flag)
}

// RunFlags is how `make run` is told to take a free port for everything that `neuronx dev` listens on. When one port is taken the
// others often are, too: by an engine that was started before.
const RunFlags = "make run RUN_FLAGS='--http 127.0.0.1:0 --admin-addr 127.0.0.1:0 --kafka-port 0 --postgres-port 0 --registry-port 0 --crm-port 0'"

// runFlags adds that to the hint about an address of this machine only: dev's are.
func runFlags(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	return "; the flags of all ports, each with a free one: " + RunFlags
}

// FileError says in plain words why a file that a setting names could not be read. what is what it holds, setting the setting's
// environment variable.
func FileError(what, path, setting string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return event.Refuse(event.CodeInvalidConfig, "%s: there is no file %s", what, path).Hint("correct " + setting + ", or mount the file there")
	case errors.Is(err, os.ErrPermission):
		return event.Refuse(event.CodeInvalidConfig, "%s: this user may not read %s", what, path).Hint("give the file to the user that runs this process, with mode 0600")
	case errors.Is(err, syscall.EISDIR):
		return event.Refuse(event.CodeInvalidConfig, "%s: %s is a folder", what, path).Hint("name the file in " + setting)
	}
	return fmt.Errorf("%s: read %s: %w", what, path, err)
}
