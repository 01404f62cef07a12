package app

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// Where a container's limit stands: control groups v2, and v1.
const (
	groupV2 = "/sys/fs/cgroup/memory.max"
	groupV1 = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
)

// MemoryLimit is how much memory the process may use, in bytes: GOMEMLIMIT, else the container's limit, else what the machine has. 0 is
// unknown.
func MemoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 { // only asks
		return limit
	}
	return leastOf(readLimit(groupV2), readLimit(groupV1), readMachine("/proc/meminfo"))
}

// heedContainer makes the collector work harder near the container's limit, where GOMEMLIMIT does not say when. Without it the heap
// may grow to twice of what is in use, and the process is killed with half of its memory being garbage. A tenth is left for what the
// collector does not know of.
func heedContainer(log *slog.Logger, container int64) {
	if container <= 0 || debug.SetMemoryLimit(-1) != math.MaxInt64 || container >= readMachine("/proc/meminfo") {
		return
	}
	limit := container / 10 * 9
	debug.SetMemoryLimit(limit)
	log.Info("set the memory limit from the container's; GOMEMLIMIT overrides it", "container_bytes", container, "limit_bytes", limit)
}

// leastOf returns the least of those that are known, or 0.
func leastOf(limits ...int64) int64 {
	var least int64
	for _, l := range limits {
		if l > 0 && (least == 0 || l < least) {
			least = l
		}
	}
	return least
}

// readLimit reads a file of the control group (v2: a number or "max"; v1: a number, enormous for none). 0 is none.
func readLimit(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// readMachine reads how much memory the machine has, in bytes. 0 is unknown.
func readMachine(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
