package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/<pid>/stat: USER_HZ, 100 a second on every Linux that Go runs on (proc(5)).
const tick = 10 * time.Millisecond

// meter reads how much CPU the processes of a measurement have used.
type meter struct {
	broker   int // 0: it is this process (kfake), or it can't be read
	postgres int // the postmaster; 0: it can't be read
	kfake    bool
}

// usage is CPU time used so far.
type usage struct{ own, broker, postgres time.Duration }

func (u usage) since(v usage) usage {
	return usage{u.own - v.own, u.broker - v.broker, u.postgres - v.postgres}
}

func (u usage) total() time.Duration { return u.own + u.broker + u.postgres }

// read reads the usage of one process, with broker and Postgres.
func (m *meter) read(pid int) usage {
	u := usage{own: processCPU(pid)}
	if m.broker != 0 {
		u.broker = processCPU(m.broker)
	} else if m.kfake && pid != os.Getpid() {
		u.broker = processCPU(os.Getpid())
	}
	if m.postgres != 0 {
		u.postgres = treeCPU(m.postgres)
	}
	return u
}

// includes says what read counts.
func (m *meter) includes() string {
	parts := []string{"the measured process"}
	switch {
	case m.kfake:
		parts = append(parts, "the bench's own process with kfake in it")
	case m.broker != 0:
		parts = append(parts, "the broker's JVM")
	}
	if m.postgres != 0 {
		parts = append(parts, "all processes of Postgres")
	}
	return strings.Join(parts, " + ")
}

// stat returns the fields of /proc/<pid>/stat from the third on; nil when the process is gone.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, after, _ := strings.Cut(string(b), ") ") // the name before it may hold anything
	return strings.Fields(after)
}

// Positions in what stat returns, by proc(5).
const (
	fieldParent = 1
	fieldUser   = 11
	fieldSystem = 12
)

func ticks(fields []string, from, to int) time.Duration {
	var sum time.Duration
	for i := from; i <= to && i < len(fields); i++ {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

func processCPU(pid int) time.Duration { return ticks(stat(pid), fieldUser, fieldSystem) }

// treeCPU is the time of a process and of its children, those that have ended included: a postmaster waits for its backends.
func treeCPU(pid int) time.Duration {
	sum := ticks(stat(pid), fieldUser, fieldSystem+2)
	for _, p := range processes() {
		if f := stat(p); len(f) > fieldParent && f[fieldParent] == strconv.Itoa(pid) {
			sum += ticks(f, fieldUser, fieldSystem)
		}
	}
	return sum
}

// peakMemory is the most resident memory that a process has had, in bytes; 0 when it is gone.
func peakMemory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "\nVmHWM:")
	line, _, _ := strings.Cut(after, " kB")
	kb, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return kb << 10
}

func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// listener finds the process that listens on a TCP port of this machine. Children that have inherited the socket are not it.
func listener(port int) (int, error) {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	holders := map[int]bool{}
	for _, pid := range processes() {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && sockets[to] {
				holders[pid] = true
			}
		}
	}
	for pid := range holders {
		f := stat(pid)
		if len(f) <= fieldParent {
			continue
		}
		if parent, err := strconv.Atoi(f[fieldParent]); err == nil && !holders[parent] {
			return pid, nil
		}
	}
	return 0, errors.New("no process of this machine that can be looked into listens on port " + strconv.Itoa(port))
}
