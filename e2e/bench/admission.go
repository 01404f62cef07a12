package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/kafka"
)

const (
	groupRaw = "neuronx.bench.raw"
	rawBatch = 10_000 // records between two commits of the raw limit
	poll     = 20 * time.Millisecond
)

// admission measures how fast ingress is admitted to the log, on a backlog: the raw limit and the sequencer read the same records.
func (b *bench) admission(ctx context.Context, r *report) error {
	if err := b.warm(ctx); err != nil {
		return err
	}
	var from, to map[int32]int64
	prepare := func(ctx context.Context) (err error) {
		from, to, err = b.fill(ctx, b.o.records)
		return err
	}
	sides := []func(context.Context) (sample, error){
		func(ctx context.Context) (sample, error) { return b.rawCopy(ctx, from, to) },
		func(ctx context.Context) (sample, error) { return b.sequence(ctx, from, to, b.process(b.sequencer)) },
	}
	if slices.Contains(b.o.jobs, jobStreams) {
		peer, err := b.newStreams(ctx)
		if err != nil {
			return err
		}
		sides = append(sides, func(ctx context.Context) (sample, error) { return peer.admit(ctx, from, to) })
	}
	before := b.window
	all, err := b.rounds(ctx, []string{"raw", "engine", "Kafka Streams"}, prepare, sides...)
	if err != nil {
		return err
	}
	pairs, peers := make([]pair, len(all)), make([]pair, 0, len(all))
	for i, round := range all {
		pairs[i] = pair{round[0], round[1]}
		if len(round) > 2 {
			peers = append(peers, pair{round[0], round[2]})
		}
	}
	r.throughput("admission", "events/s", fmt.Sprintf("a backlog of %d events a round, admitted by one neuronx-ingest --roles sequencer (deduplication against a window that grew from %d to %d keys, "+
		"validation, numbering, exactly once), timed from when all partitions move (at the latest from the half) to the last commit; raw limit: franz-go consumes the same records and produces them to another topic with "+
		"acks=all, %d between commits, at least once", b.o.records, before, b.window, rawBatch), pairs)
	if len(peers) > 0 {
		r.throughput(jobStreams, "events/s", fmt.Sprintf("the same records in the same rounds, admitted by a Kafka Streams 4.3 program in one JVM: exactly_once_v2, commits every 100 ms, as many threads "+
			"as cores, stores in %s with changelogs; drops repeats of 24 h, numbers, and checks nothing else", b.o.store), peers)
	}
	return nil
}

// warm runs both sides once and forgets the numbers: the broker's JVM compiles what it runs often.
func (b *bench) warm(ctx context.Context) error {
	from, to, err := b.fill(ctx, min(b.o.records, 100_000))
	if err != nil {
		return err
	}
	if _, err := b.rawCopy(ctx, from, to); err != nil {
		return err
	}
	_, err = b.sequence(ctx, from, to, b.process(b.sequencer))
	return err
}

// rawCopy copies a range of ingress to the raw topic, at least once.
func (b *bench) rawCopy(ctx context.Context, from, to map[int32]int64) (sample, error) {
	var start kadm.Offsets
	for p, o := range from {
		start.AddOffset(kafka.TopicIngress, p, o, -1)
	}
	if err := b.adm.CommitAllOffsets(ctx, groupRaw, start); err != nil {
		return sample{}, fmt.Errorf("set the raw copy's start: %w", err)
	}
	client, err := kgo.NewClient(producing(b.c.Kafka.Brokers, kgo.ConsumerGroup(groupRaw), kgo.ConsumeTopics(kafka.TopicIngress),
		kgo.DisableAutoCommit(), kgo.MaxBufferedRecords(2*rawBatch), kgo.ProducerLinger(time.Millisecond))...)
	if err != nil {
		return sample{}, err
	}
	defer client.Close()
	total, done := int(sum(to)-sum(from)), 0
	var began time.Time
	var cpu usage
	for done < total {
		fetches := client.PollRecords(ctx, rawBatch)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return sample{}, fmt.Errorf("raw copy: %w", err)
		}
		if began.IsZero() {
			began, cpu = time.Now(), b.meter.read(os.Getpid())
		}
		recs := fetches.Records()
		failed := make(chan error, len(recs))
		for _, r := range recs {
			out := &kgo.Record{Topic: topicRaw, Partition: r.Partition, Key: r.Key, Headers: r.Headers, Value: r.Value}
			client.Produce(ctx, out, func(_ *kgo.Record, err error) { failed <- err })
		}
		if err := client.Flush(ctx); err != nil {
			return sample{}, fmt.Errorf("raw copy: %w", err)
		}
		for range recs {
			if err := <-failed; err != nil {
				return sample{}, fmt.Errorf("raw copy: %w", err)
			}
		}
		if err := client.CommitRecords(ctx, recs...); err != nil {
			return sample{}, fmt.Errorf("raw copy: %w", err)
		}
		done += len(recs)
	}
	return sample{n: float64(done), wall: time.Since(began), cpu: b.meter.read(os.Getpid()).since(cpu)}, nil
}

// runner starts what is measured and returns its process id, how to stop it, and how many events it says that it admitted.
type runner func(ctx context.Context) (pid int, admitted func() (float64, error), stop func() error, err error)

// sequence has a backlog admitted. Time and CPU count from the moment at which every partition has moved, or half of it is done.
func (b *bench) sequence(ctx context.Context, from, to map[int32]int64, run runner) (sample, error) {
	pid, admitted, stop, err := run(ctx)
	if err != nil {
		return sample{}, err
	}
	s, err := b.follow(ctx, kafka.GroupSequencer, from, to, pid)
	if err == nil {
		err = admittedAll(ctx, admitted, sum(to)-sum(from))
	}
	b.window += sum(to) - sum(from)
	return s, errors.Join(err, stop())
}

// admittedAll waits until a sequencer says that it has admitted so many events: its metric follows the commit.
func admittedAll(ctx context.Context, admitted func() (float64, error), want int64) error {
	return cluster.Eventually(ctx, 5*time.Second, func(context.Context) error {
		n, err := admitted()
		if err == nil && n != float64(want) {
			err = fmt.Errorf("%.0f events were admitted of %d", n, want)
		}
		return err
	})
}

// follow watches a group's offsets, which are committed in the transactions that write the log.
func (b *bench) follow(ctx context.Context, group string, from, to map[int32]int64, pid int) (sample, error) {
	var began time.Time
	var cpu usage
	var first int64
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(poll) {
		committed, err := b.admin.Committed(ctx, group)
		if err != nil {
			return sample{}, err
		}
		at, moving := int64(0), true // of all partitions, so that restoring them does not count
		for p, o := range from {
			c := committed[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p}]
			moving = moving && (c.Offset > o || to[p] == o)
			at += max(c.Offset, o)
		}
		half := at > sum(from)+(sum(to)-sum(from))/2
		if began.IsZero() && (moving || half) {
			began, cpu, first = time.Now(), b.meter.read(pid), at
		}
		if at >= sum(to) {
			return sample{n: float64(at - first), wall: time.Since(began), cpu: b.meter.read(pid).since(cpu)}, nil
		}
	}
	return sample{}, errors.New("the backlog was not admitted in 5 minutes")
}

// process runs the sequencer as the process that production runs.
func (b *bench) process(p processLike) runner {
	return func(ctx context.Context) (int, func() (float64, error), func() error, error) {
		if err := p.Start(); err != nil {
			return 0, nil, nil, err
		}
		admitted := func() (float64, error) {
			return scrape(ctx, b.sequencer.Admin, `neuronx_admission_records_total{outcome="admitted"`)
		}
		return p.PID(), admitted, p.Term, nil
	}
}

// processLike is a *cluster.Process.
type processLike interface {
	Start() error
	PID() int
	Term() error
}

// scrape adds up the metrics whose lines begin so.
func scrape(ctx context.Context, admin, prefix string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return addUp(resp.Body, prefix)
}

func addUp(metrics io.Reader, prefix string) (total float64, err error) {
	for lines := bufio.NewScanner(metrics); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), prefix) {
			continue
		}
		f := strings.Fields(lines.Text())
		v, err := strconv.ParseFloat(f[len(f)-1], 64)
		if err != nil {
			return 0, err
		}
		total += v
	}
	return total, nil
}
