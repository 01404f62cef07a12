package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// sample is one side of one round: n events in wall time at a cost of CPU, or latencies.
type sample struct {
	n         float64
	wall      time.Duration
	cpu       usage
	peak      int64           // bytes of the process's resident memory, where it is measured
	latencies []time.Duration // sorted
	others    float64         // events a second of others that arrived meanwhile
}

func (s sample) String() string {
	out := ""
	if s.wall > 0 {
		per := func(d time.Duration) float64 { return float64(d.Microseconds()) / s.n }
		out = fmt.Sprintf("%.0f/s, CPU %.1f µs (own %.1f, broker %.1f, Postgres %.1f) ", s.rate(), s.cost(), per(s.cpu.own), per(s.cpu.broker), per(s.cpu.postgres))
	}
	if s.latencies != nil {
		out += fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", ms(s.quantile(0.5)), ms(s.quantile(0.99)))
	}
	return out
}

func (s sample) rate() float64 { return s.n / s.wall.Seconds() }

// cost is CPU µs an event.
func (s sample) cost() float64 { return float64(s.cpu.total().Microseconds()) / s.n }

func (s sample) quantile(q float64) time.Duration {
	return s.latencies[min(len(s.latencies)-1, int(math.Ceil(q*float64(len(s.latencies))))-1)]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// latencies makes a sample of unsorted latencies.
func latencies(all []time.Duration) sample {
	slices.Sort(all)
	return sample{n: float64(len(all)), latencies: all}
}

// pair is one round.
type pair struct{ raw, ours sample }

// result is one line of the file and of the table.
type result struct {
	Job        string   `json:"job"`
	Rounds     int      `json:"rounds"`
	RatioWall  *float64 `json:"ratio_wall"` // null: there is no raw limit to compare with
	RatioCPU   *float64 `json:"ratio_cpu"`
	Value      float64  `json:"value"`
	Unit       string   `json:"unit"`
	Conditions string   `json:"conditions"`

	raw    float64 // the raw limit's value, median
	spread string  // of ratio_wall, or of value where there is none
}

type report struct {
	root       string
	conditions string
	results    []result
	tables     []table // printed below that of the results
}

// table has a heading, a line of column names and lines of values.
type table struct {
	heading string
	lines   [][]string
}

// throughput adds a job: rates as a ratio to the raw rate (more is better), CPU an event as a ratio to the raw cost (less is better).
func (r *report) throughput(job, unit, what string, pairs []pair) {
	wall, cpu, value, raw := []float64{}, []float64{}, []float64{}, []float64{}
	for _, p := range pairs {
		wall = append(wall, p.ours.rate()/p.raw.rate())
		value = append(value, p.ours.rate())
		raw = append(raw, p.raw.rate())
		if p.raw.cpu.total() > 0 {
			cpu = append(cpu, p.ours.cost()/p.raw.cost())
		}
	}
	r.add(job, unit, what, len(pairs), value, raw, wall, cpu)
}

// latency adds <job>_p50 and <job>_p99, in ms; the ratio is to the raw latency (less is better).
func (r *report) latency(job, what string, pairs []pair) {
	for _, q := range []struct {
		name string
		at   float64
	}{{"_p50", 0.50}, {"_p99", 0.99}} {
		wall, value, raw := []float64{}, []float64{}, []float64{}
		for _, p := range pairs {
			value = append(value, ms(p.ours.quantile(q.at)))
			if p.raw.latencies != nil {
				raw = append(raw, ms(p.raw.quantile(q.at)))
				wall = append(wall, ms(p.ours.quantile(q.at))/ms(p.raw.quantile(q.at)))
			}
		}
		r.add(job+q.name, "ms", what, len(pairs), value, raw, wall, nil)
	}
}

func (r *report) add(job, unit, what string, rounds int, value, raw, wall, cpu []float64) {
	out := result{Job: job, Rounds: rounds, Value: median(value), Unit: unit, Conditions: what + "; " + r.conditions}
	spread := value
	if len(wall) > 0 {
		m := median(wall)
		out.RatioWall, out.raw, spread = &m, median(raw), wall
	}
	if len(cpu) > 0 {
		m := median(cpu)
		out.RatioCPU = &m
	}
	out.spread = fmt.Sprintf("%.3g to %.3g", slices.Min(spread), slices.Max(spread))
	r.results = append(r.results, out)
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	if n := len(s); n%2 == 0 {
		return math.Round((s[n/2-1]+s[n/2])/2*1000) / 1000
	}
	return math.Round(s[len(s)/2]*1000) / 1000
}

// publish prints the table and writes .bench/latest.json.
func (r *report) publish(w io.Writer) error {
	path := filepath.Join(r.root, ".bench", "latest.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r.results, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n\n", r.conditions)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "job\trounds\tengine\traw limit\tunit\tratio\tits spread\tCPU ratio\t")
	for _, x := range r.results {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", x.Job, x.Rounds, number(x.Value), orDash(x.raw), x.Unit, ratio(x.RatioWall), x.spread, ratio(x.RatioCPU))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, extra := range r.tables {
		fmt.Fprintf(w, "\n%s\n\n", extra.heading)
		for _, line := range extra.lines {
			fmt.Fprintln(t, strings.Join(line, "\t")+"\t")
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func orDash(v float64) string {
	if v == 0 {
		return "-"
	}
	return number(v)
}

func ratio(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
