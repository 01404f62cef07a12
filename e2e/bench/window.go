package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// keyWindow measures what a remembered key takes, and how fast keys are restored. Both need nothing but one core and memory, so they are
// benchmarks of the sequencer's package, which run in a process of their own.
func (b *bench) keyWindow(ctx context.Context, r *report) error {
	rounds, err := b.goBench(ctx, r.root, "services/ingest/sequencer/keys", "^BenchmarkKeyWindow$", "bytes/key", "bytes/key-growing", "bytes/key-ageing", "µs-longest")
	if err != nil {
		return err
	}
	var all, longest []float64
	for i, m := range rounds {
		b.say("  round %d: %.2f bytes a key, %.2f while growing and %.2f while ageing; the longest put took %.0f µs", i+1, m["bytes/key"], m["bytes/key-growing"], m["bytes/key-ageing"], m["µs-longest"])
		all, longest = append(all, m["bytes/key"]), append(longest, m["µs-longest"])
	}
	r.add("key_window", "bytes/key", fmt.Sprintf("the heap after a collection divided by the keys in it, the mean of samples while the window grows from 0 to %s keys and while "+
		"as many again age out of it; the longest of all puts took %.0f µs, others' use of the cores included", benchKeys(b.o.quick), median(longest)), len(rounds), all, nil, nil, nil)
	return nil
}

func (b *bench) restoreKeys(ctx context.Context, r *report) error {
	rounds, err := b.goBench(ctx, r.root, "services/ingest/sequencer/admission", "^BenchmarkRestore$", "keys/s", "keys/cpu-s")
	if err != nil {
		return err
	}
	var all, cpu []float64
	for i, m := range rounds {
		b.say("  round %d: %.0f keys/s, %.0f a second of CPU", i+1, m["keys/s"], m["keys/cpu-s"])
		all, cpu = append(all, m["keys/s"]), append(cpu, m["keys/cpu-s"])
	}
	r.add("restore", "keys/s", fmt.Sprintf("a snapshot of %s keys, as it stands in the state topic, read from memory into a window by one goroutine; %.0f a second of CPU",
		benchKeys(b.o.quick), median(cpu)), len(rounds), all, nil, nil, nil)
	return nil
}

const envKeys = "NEURONX_BENCH_KEYS"

func benchKeys(quick bool) string {
	if quick {
		return "500000"
	}
	return "5000000"
}

// goBench runs a benchmark of a package as often as there are rounds and returns its metrics.
func (b *bench) goBench(ctx context.Context, root, pkg, name string, metrics ...string) ([]map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", name, "-benchtime", "1x", "-count", strconv.Itoa(b.o.rounds), "./"+pkg)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	cmd.Env = append(os.Environ(), envKeys+"="+benchKeys(b.o.quick), envFacts+"="+benchFacts(b.o.quick))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s: %w\n%s", name, err, out)
	}
	return parseBench(out, b.o.rounds, metrics...)
}

// parseBench reads the lines of go test -bench: a name, a count, then values and units.
func parseBench(out []byte, rounds int, metrics ...string) ([]map[string]float64, error) {
	var all []map[string]float64
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		m := map[string]float64{}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("benchmark's line %q: %w", lines.Text(), err)
			}
			m[f[i+1]] = v
		}
		for _, name := range metrics {
			if m[name] <= 0 {
				return nil, fmt.Errorf("benchmark's line %q has no %s", lines.Text(), name)
			}
		}
		all = append(all, m)
	}
	if len(all) != rounds {
		return nil, fmt.Errorf("%d lines of benchmarks, not %d:\n%s", len(all), rounds, out)
	}
	return all, nil
}
