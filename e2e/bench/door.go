package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

const (
	mediaOne   = "application/cloudevents+json"
	mediaBatch = "application/cloudevents-batch+json"
	batchSize  = 100
)

// door measures the HTTP role under clients that send one request after the other, against a bare server that writes the same records.
func (b *bench) door(ctx context.Context, r *report) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	ours := b.c.Service(b.t, "bench-door", "ingest", "ingest", "--roles", "http", "--http", address, "--laptop")
	file := filepath.Join(b.c.Dir, "bare.gob")
	from, err := b.ends(ctx, kafka.TopicIngress)
	if err != nil {
		return err
	}
	if err := b.sampleDoor(ctx, ours, address, file); err != nil {
		return err
	}
	for _, job := range b.doorJobs() {
		pairs, err := b.pairs(ctx, nil,
			func(ctx context.Context) (sample, error) { return b.bare(ctx, file, job) },
			func(ctx context.Context) (s sample, err error) {
				if err := ours.Start(); err != nil {
					return s, err
				}
				defer func() { err = errors.Join(err, ours.Term()) }()
				if err := ours.Ready(ctx); err != nil {
					return s, err
				}
				return b.closed(ctx, address, job, ours.PID())
			})
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s, Avro records in neuronx.ingress acknowledged before 202, %d clients on keep-alive connections, each one request after the other, for %s a round; "+
			"raw limit: net/http reads the same request and franz-go (acks=all, linger 0) writes records that the door has made", job.what, clients, b.o.http)
		r.throughput(job.name, "events/s", what, pairs)
		r.latency(job.name, "time of a request; "+what, pairs)
	}
	// What the door took is admitted, so that no job after this one finds it in its way; and every event of it must be.
	to, err := b.ends(ctx, kafka.TopicIngress)
	if err != nil {
		return err
	}
	_, err = b.sequence(ctx, from, to, b.process(b.sequencer))
	return err
}

// doorJob is one way to send events.
type doorJob struct {
	name  string
	batch int // events of a request
	media string
	what  string
	body  func(dst []byte, rng *rand.Rand, n int) []byte
}

func (b *bench) doorJobs() []doorJob {
	return []doorJob{
		{"http_single", 1, mediaOne, "JSON in, one event a request", one},
		{"http_batch_json", batchSize, mediaBatch, fmt.Sprintf("JSON in, %d events a request", batchSize), appendBatch},
		{"http_batch_avro", batchSize, mediaBatch, fmt.Sprintf("Avro in data_base64 in, %d events a request", batchSize), b.maker.appendAvroBatch},
	}
}

func one(dst []byte, rng *rand.Rand, _ int) []byte { return appendEvent(dst, randomID(rng)) }

// stored is a record as the door wrote it.
type stored struct {
	Tenant  string
	Headers []kafka.RecordHeader
	Value   []byte
}

// sampleDoor has every tenant send a batch and keeps the records, for the bare server to write.
func (b *bench) sampleDoor(ctx context.Context, ours processLike, address, file string) (err error) {
	from, err := b.ends(ctx, kafka.TopicIngress)
	if err != nil {
		return err
	}
	if err := ours.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.Term()) }()
	if err := b.c.Processes["bench-door"].Ready(ctx); err != nil {
		return err
	}
	for _, t := range b.tenants {
		if err := post(ctx, http.DefaultClient, "http://"+address, mediaBatch, t, appendBatch(nil, b.maker.rng, batchSize)); err != nil {
			return err
		}
	}
	to, err := b.ends(ctx, kafka.TopicIngress)
	if err != nil {
		return err
	}
	var all []stored
	for p := range to {
		if err := read.Range(ctx, b.c.Kafka, kafka.TopicIngress, p, from[p], to[p], func(r *kafka.Record) error {
			all = append(all, stored{string(r.Key), r.Headers, r.Value})
			return nil
		}); err != nil {
			return err
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(f).Encode(all), f.Close())
}

// bare measures the raw limit, in a process of its own.
func (b *bench) bare(ctx context.Context, file string, job doorJob) (s sample, err error) {
	address, err := freeAddress()
	if err != nil {
		return s, err
	}
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	cmd := exec.Command(self, bareVerb, address, b.c.Kafka.Brokers[0], file, fmt.Sprint(job.batch))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(poll) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			return s, err
		}
	}
	return b.closed(ctx, address, job, cmd.Process.Pid)
}

// closed runs the clients against a server for a while, after a settling time.
func (b *bench) closed(ctx context.Context, address string, job doorJob, pid int) (sample, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	began := time.Now()
	from := began.Add(min(settle, b.o.http))
	end := from.Add(b.o.http)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	for k := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(began.UnixNano()), uint64(k)))
			var mine []time.Duration
			var body []byte
			var err error
			for err == nil && time.Now().Before(end) {
				t := b.tenants[rng.IntN(len(b.tenants))]
				body = job.body(body[:0], rng, job.batch)
				sent := time.Now()
				if err = post(ctx, client, "http://"+address, job.media, t, body); err == nil && sent.After(from) {
					mine = append(mine, time.Since(sent))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, mine...), errors.Join(failed, err)
		})
	}
	if err := wait(ctx, from); err != nil {
		failed = err
	}
	cpu := b.meter.read(pid)
	wg.Wait()
	wall, used := time.Since(from), b.meter.read(pid).since(cpu)
	if failed != nil {
		return sample{}, failed
	}
	s := latencies(all)
	s.n, s.wall, s.cpu = float64(len(all)*job.batch), wall, used
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
