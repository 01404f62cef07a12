package app

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestMemoryLimit_ReadsWhatTheContainerAllows(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tt := range map[string]struct{ got, want int64 }{
		"a limit":             {readLimit(write("536870912\n")), 512 << 20},
		"no limit":            {readLimit(write("max\n")), 0},
		"no file":             {readLimit("/nowhere"), 0},
		"the machine":         {readMachine(write("MemFree: 1 kB\nMemTotal:       2048 kB\n")), 2 << 20},
		"an unknown machine":  {readMachine(write("nothing")), 0},
		"the least of limits": {leastOf(0, 7, 5), 5},
		"nothing is known":    {leastOf(0, 0), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d, want %d", name, tt.got, tt.want)
		}
	}
	if n := MemoryLimit(); n < 64<<20 {
		t.Errorf("%d bytes", n)
	}
}

func TestHeedContainer_SetsTheCollectorsLimitOnceAndNeverOverAnOperators(t *testing.T) {
	was := debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetMemoryLimit(was) })
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	heedContainer(log, 0)
	heedContainer(log, math.MaxInt64-1) // what version 1 says where there is no limit
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 || said.Len() > 0 {
		t.Fatalf("without a container the limit is %d: %s", n, &said)
	}
	heedContainer(log, 500<<20)
	if n := debug.SetMemoryLimit(-1); n != 450<<20 || !strings.Contains(said.String(), "limit_bytes=471859200") {
		t.Errorf("%d: %s", n, &said)
	}
	heedContainer(log, 400<<20)
	if n := debug.SetMemoryLimit(-1); n != 450<<20 {
		t.Errorf("a limit that was set became %d", n)
	}
}
