package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what a run is told.
type options struct {
	rounds   int
	quick    bool
	jobs     []string
	records  int           // events of one round of admission
	archived int           // events of one round of the archive
	load     time.Duration // of one round at a steady rate
	http     time.Duration // of one side of a round over HTTP
	rate     int           // events a second of the latency jobs
	scaling  int           // events of the scaling jobs' base
	store    string        // of Kafka Streams: memory or rocksdb
	profiles string        // folder for CPU profiles; then nothing is measured
}

const (
	tenants = 50
	clients = 16 // of the HTTP jobs
)

var allJobs = []string{"end_to_end", "admission_latency", "admission", jobStreams, "archive", "http", jobFairHTTP, jobFairLanding, "key_window", "restore", jobRules, jobBacktest}

// jobStreams is measured in the rounds of admission.
const jobStreams = "admission_kafka_streams"

// moreJobs are measured only when they are named: their rounds take minutes, and they leave no log behind.
var moreJobs = []string{jobScaling, jobScalingArchive}

func main() {
	if len(os.Args) > 1 && os.Args[1] == bareVerb {
		exit(serveBare(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == floodVerb {
		exit(serveFlood(os.Args[2:]))
	}
	o := options{records: 600_000, archived: 300_000, scaling: 60_000, load: 15 * time.Second, http: 5 * time.Second}
	var jobs string
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of every job; the medians are reported")
	flag.BoolVar(&o.quick, "quick", false, "small rounds, to see that the bench works; the numbers mean little")
	flag.StringVar(&jobs, "jobs", strings.Join(allJobs, ","), "what to measure; "+strings.Join(moreJobs, " and ")+" only when named")
	flag.IntVar(&o.records, "records", o.records, "events of one round of admission")
	flag.IntVar(&o.archived, "archived", o.archived, "events of one round of the archive")
	flag.IntVar(&o.rate, "rate", 200, "events a second of the latency jobs")
	flag.IntVar(&o.scaling, "scaling-events", o.scaling, "events of the scaling jobs' base, of which they measure ten times as many, too")
	flag.StringVar(&o.store, "streams-store", "memory", "where the Kafka Streams program keeps its state: memory or rocksdb")
	flag.StringVar(&o.profiles, "profile", "", "measure nothing: run sequencer, archiver and HTTP server in this process, write their CPU profiles to this folder")
	flag.Parse()
	o.jobs = strings.Split(jobs, ",")
	for _, j := range o.jobs {
		if !slices.Contains(allJobs, j) && !slices.Contains(moreJobs, j) {
			exit(fmt.Errorf("there is no job %q; there are %s", j, strings.Join(slices.Concat(allJobs, moreJobs), ", ")))
		}
	}
	if os.Getenv("NEURONX_TEST_KAFKA_BROKERS") == "" && slices.Contains(o.jobs, jobStreams) {
		if jobs != strings.Join(allJobs, ",") {
			exit(fmt.Errorf("%s needs a real Kafka: set NEURONX_TEST_KAFKA_BROKERS", jobStreams))
		}
		fmt.Fprintf(os.Stderr, "NOT MEASURED: %s, which needs a real Kafka\n", jobStreams)
		o.jobs = slices.DeleteFunc(o.jobs, func(j string) bool { return j == jobStreams })
	}
	if slices.Contains(o.jobs, jobStreams) && !slices.Contains(o.jobs, "admission") {
		o.jobs = append(o.jobs, "admission") // whose rounds it is measured in
	}
	if o.quick {
		o.records, o.archived, o.scaling, o.load, o.http = 120_000, 20_000, 6_000, 3*time.Second, time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run runs the jobs, prints the table and writes the file.
func run(ctx context.Context, o options) (err error) {
	root, err := repository()
	if err != nil {
		return err
	}
	r := &report{root: root}
	err = scoped(func(t *scope) error {
		b, err := open(ctx, t, o)
		if err != nil {
			return err
		}
		r.conditions = b.conditions
		if o.profiles != "" {
			return b.profile(ctx)
		}
		return b.measure(ctx, r)
	})
	if len(r.results) > 0 { // also when a later job has failed: what was measured was measured
		err = errors.Join(err, r.publish(os.Stdout))
	}
	return err
}

// measure runs the jobs in the order in which each finds what the one before has left: the whole engine first, while the log is
// short; then the log is filled by admission, which the archive reads. The archive is last, because Postgres cleans up after it
// for minutes; only the scaling jobs come after it, which begin each measurement with nothing.
func (b *bench) measure(ctx context.Context, r *report) error {
	steps := []struct {
		job string
		do  func(context.Context, *report) error
	}{
		{"end_to_end", b.endToEnd}, {"", b.limitOne}, {"", b.quiesce}, {"admission_latency", b.admissionLatency},
		{jobFairHTTP, b.fairHTTP}, {jobFairLanding, b.fairLanding}, {"http", b.measureHTTP}, {"admission", b.admission}, {"archive", b.archive},
		{"key_window", b.keyWindow}, {"restore", b.restoreKeys}, {jobRules, b.rules}, {jobBacktest, b.backtest},
		{jobScaling, b.scaling}, {jobScalingArchive, b.scalingArchive},
	}
	for _, s := range steps {
		if s.job != "" && !slices.Contains(b.o.jobs, s.job) {
			continue
		}
		if s.job != "" {
			b.say("%s", s.job)
		}
		if err := s.do(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", s.job, err)
		}
	}
	return nil
}

// say prints progress; the table goes to the standard output alone.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// pairs runs a job's rounds: raw and engine in alternating order, after what both need is prepared.
func (b *bench) pairs(ctx context.Context, prepare func(context.Context) error, raw, ours func(context.Context) (sample, error)) ([]pair, error) {
	all, err := b.rounds(ctx, []string{"raw", "engine"}, prepare, raw, ours)
	out := make([]pair, len(all))
	for i, round := range all {
		out[i] = pair{round[0], round[1]}
	}
	return out, err
}

// rounds runs the sides of a job one after the other, in the other order every other round.
func (b *bench) rounds(ctx context.Context, names []string, prepare func(context.Context) error, sides ...func(context.Context) (sample, error)) ([][]sample, error) {
	var out [][]sample
	for i := range b.o.rounds {
		if prepare != nil {
			if err := prepare(ctx); err != nil {
				return nil, err
			}
		}
		round, said := make([]sample, len(sides)), make([]string, len(sides))
		for n := range sides {
			at := n
			if i%2 == 1 {
				at = len(sides) - 1 - n
			}
			runtime.GC() // garbage of the side before is not this one's
			var err error
			if round[at], err = sides[at](ctx); err != nil {
				return nil, err
			}
			if err := ctx.Err(); err != nil {
				return nil, errors.New("interrupted")
			}
			said[at] = names[at] + " " + round[at].String()
		}
		b.say("  round %d: %s", i+1, strings.Join(said, ", "))
		out = append(out, round)
	}
	return out, nil
}
