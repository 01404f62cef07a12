package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/kafka"
)

// The Kafka Streams program's names. They are wiped with the engine's topics and groups, its changelogs too, which begin with its group.
const (
	groupStreams = "neuronx.bench.streams"
	topicStreams = "neuronx.bench.streams.log"
)

// streams is the program that does with Kafka Streams what the sequencer keeps state for.
type streams struct {
	b       *bench
	command []string
}

// newStreams fetches what the program needs, once into the user's cache, compiles it, and makes the topic that it writes.
func (b *bench) newStreams(ctx context.Context) (*streams, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	source := filepath.Join(root, "e2e", "bench", "streams")
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	jars, classes := filepath.Join(cache, "neuronx-e2e", "streams-4.3.0"), filepath.Join(b.t.dir, "streams")
	for _, args := range [][]string{
		{"mvn", "-B", "-q", "-f", filepath.Join(source, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory=" + jars},
		{"javac", "-d", classes, "-cp", filepath.Join(jars, "*"), filepath.Join(source, "Admission.java")},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", args[0], err, out)
		}
	}
	max, stamp := "1179648", "LogAppendTime"
	answer, err := b.adm.CreateTopics(ctx, cluster.Partitions, 1, map[string]*string{"max.message.bytes": &max, "message.timestamp.type": &stamp}, topicStreams)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("make topic %s: %w", topicStreams, err)
	}
	return &streams{b: b, command: []string{"java", "-Xms256m", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
		classes + string(os.PathListSeparator) + filepath.Join(jars, "*"), "Admission", b.c.Kafka.Brokers[0], groupStreams, kafka.TopicIngress, topicStreams,
		b.o.store, filepath.Join(b.t.dir, "streams-state")}}, nil
}

// admit has a backlog admitted by the program and measures it as the sequencer is measured.
func (s *streams) admit(ctx context.Context, from, to map[int32]int64) (sample, error) {
	var start kadm.Offsets
	for p, o := range from {
		start.AddOffset(kafka.TopicIngress, p, o, -1)
	}
	// The member of the round before may be in the group still.
	err := cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { return s.b.adm.CommitAllOffsets(ctx, groupStreams, start) })
	if err != nil {
		return sample{}, fmt.Errorf("set the start of Kafka Streams: %w", err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	measured, err := s.b.follow(ctx, groupStreams, from, to, cmd.Process.Pid)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	// A JVM that ends by SIGTERM says so in its exit code; what counts is what it has printed.
	ended := cmd.Wait()
	var admitted int64
	if _, e := fmt.Sscanf(out.String(), "admitted %d", &admitted); e != nil || admitted != sum(to)-sum(from) {
		err = errors.Join(err, fmt.Errorf("Kafka Streams: %w: %q of %d events\n%s", ended, out.String(), sum(to)-sum(from), errs.String()))
	}
	return measured, err
}
