package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/embedded"
)

// topicRaw is what the raw limits write to. It is wiped with the engine's topics.
const topicRaw = "neuronx.bench.raw"

// bench is a running engine and what is needed to measure it.
type bench struct {
	o          options
	t          *scope
	began      time.Time
	c          *cluster.Cluster
	tenants    []load.Tenant
	adm        *kadm.Client
	admin      *admin.Client
	maker      *maker
	meter      meter
	conditions string
	sequencer  *cluster.Process
	archiver   *cluster.Process
	flooder    load.Tenant // has a quota; only where a fairness job is measured
	window     int64       // idempotency keys that admission has made so far
}

// open starts Kafka if none is named, and the whole engine with its tenants.
func open(ctx context.Context, t *scope, o options) (*bench, error) {
	b := &bench{o: o, t: t, began: time.Now()}
	busy := loadAverage()
	if os.Getenv("NEURONX_TEST_KAFKA_BROKERS") == "" {
		fake, err := embedded.Start(embedded.Options{})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = fake.Close() })
		if err := os.Setenv("NEURONX_TEST_KAFKA_BROKERS", strings.Join(fake.Brokers(), ",")); err != nil {
			return nil, err
		}
		b.meter.kfake = true
	}
	b.say("building and starting the engine")
	b.c = cluster.Start(t, cluster.Options{Bin: "e2e-bench", Doors: 1})
	b.say("making %d tenants", tenants)
	b.tenants = b.c.Tenants(t, "bench", tenants, 0)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.c.Kafka.Brokers...))
	if err != nil {
		return nil, err
	}
	t.Cleanup(client.Close)
	b.adm = kadm.NewClient(client)
	if b.admin, err = admin.New(b.c.Kafka); err != nil {
		return nil, err
	}
	t.Cleanup(b.admin.Close)
	if err := b.makeRawTopic(ctx); err != nil {
		return nil, err
	}
	if b.maker, err = newMaker(ctx, b.c.Registry, b.tenants); err != nil {
		return nil, err
	}
	b.sequencer = b.c.Service(t, "bench-sequencer", "ingest", "ingest", "--roles", "sequencer", "--laptop")
	b.archiver = b.c.Service(t, "bench-archiver", "archiver", "archiver", "--laptop")
	b.findProcesses()
	return b, b.describe(ctx, busy)
}

func (b *bench) makeRawTopic(ctx context.Context) error {
	max := "1048576"
	stamp := "LogAppendTime"
	answer, err := b.adm.CreateTopics(ctx, cluster.Partitions, 1, map[string]*string{"max.message.bytes": &max, "message.timestamp.type": &stamp}, topicRaw)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return fmt.Errorf("make topic %s: %w", topicRaw, err)
	}
	return nil
}

// quiesce stops everything but the registry: from here on, every job starts what it measures and nothing else.
func (b *bench) quiesce(ctx context.Context, _ *report) error {
	for _, name := range b.c.Services() {
		if err := b.c.Processes[name].Term(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *bench) findProcesses() {
	b.meter.postgres, _ = listener(b.c.Postgres.Port())
	if b.meter.kfake {
		return
	}
	if _, port, err := net.SplitHostPort(b.c.Kafka.Brokers[0]); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			b.meter.broker, _ = listener(n)
		}
	}
}

// describe writes down under what conditions the numbers come about.
func (b *bench) describe(ctx context.Context, busy string) error {
	var version, fsync string
	if err := b.c.Admin.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync')`).Scan(&version, &fsync); err != nil {
		return err
	}
	broker := "kfake in the bench's process instead of Kafka: NOT COMPARABLE with a real broker"
	if !b.meter.kfake {
		versions, err := b.adm.ApiVersions(ctx)
		if err != nil {
			return err
		}
		guess := "of unknown version"
		for _, v := range versions {
			guess = v.VersionGuess()
		}
		broker = fmt.Sprintf("Kafka %s, %d broker(s)", guess, len(versions))
	}
	quick := ""
	if b.o.quick {
		quick = "QUICK MODE, the rounds are too short to mean anything; "
	}
	b.conditions = fmt.Sprintf("%s%s, %d cores shared by all processes and the load, load average before the start %s, %s, %s %s/%s, Postgres %s fsync %s, "+
		"%d tenants, %d partitions, events of %d bytes (key, headers and value); CPU is %s, from /proc", quick, time.Now().Format(time.DateOnly), runtime.NumCPU(), busy,
		broker, goVersion(), runtime.GOOS, runtime.GOARCH, version, fsync, tenants, cluster.Partitions, b.maker.size, b.meter.includes())
	return nil
}

func goVersion() string {
	if bi, ok := debug.ReadBuildInfo(); ok {
		return bi.GoVersion
	}
	return runtime.Version()
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// counted returns offsets of a topic's partitions by number.
func counted(offsets map[kafka.TopicPartition]int64, topic string) map[int32]int64 {
	out := map[int32]int64{}
	for tp, o := range offsets {
		if tp.Topic == topic {
			out[tp.Partition] = o
		}
	}
	return out
}

func sum(offsets map[int32]int64) (n int64) {
	for _, o := range offsets {
		n += o
	}
	return n
}
