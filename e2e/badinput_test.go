//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/badinput"
	"github.com/neuronx/engine/e2e/cluster"
)

// What bad input may cost.
const (
	mayGrow     = 256 << 20       // bytes of resident memory of a process, more than idle
	mayDelay    = 3 * time.Second // of another tenant's event, from sending to the log; the machine may be busy with other tests
	sampleEvery = 50 * time.Millisecond
)

func TestBadInputs(t *testing.T) {
	inputs, err := badinput.Load()
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Start(t, cluster.Options{Ingests: 1})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	p, witness, err := badinput.NewPlayer(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var running sync.WaitGroup
	following, stop := context.WithCancel(ctx)
	defer running.Wait()
	defer stop()
	running.Go(func() {
		if err := p.Tape.Run(following, c.Kafka); err != nil {
			t.Errorf("the log and the dead letters can't be followed: %v", err)
		}
	})
	w := &watched{p: p, tenant: witness}
	for _, ready := range []func(context.Context) error{
		p.Ready,
		func(ctx context.Context) error { return w.event(ctx, time.Minute) },
	} {
		if err := cluster.Eventually(ctx, time.Minute, ready); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitIdle(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.slowest = 0
	outside := p.Tape.Outside(badinput.Victim)
	idleCLI, err := p.Idle(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m := newFootprints(c)
	running.Go(func() { m.sample(following) })

	began, slowestAt := time.Now(), ""
	for _, in := range inputs {
		t.Run(in.Family+"/"+in.File, func(t *testing.T) {
			if err := p.Prepare(in); err != nil {
				t.Fatal(err)
			}
			was := w.slowest
			if err := w.during(ctx, mayDelay+in.Delays, func() error { return p.Play(ctx, in) }); err != nil {
				t.Errorf("%s: %v", in.Name, err)
			}
			if w.slowest > was {
				slowestAt = in.File
			}
			for name, proc := range c.Processes {
				if !proc.Running() {
					t.Fatalf("%s ended:\n%s", name, proc.Tail(20))
				}
			}
		})
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	t.Logf("%d bad inputs in %s; %d events of the witness meanwhile, the slowest, during %s, in the log after %s", len(inputs), time.Since(began).Truncate(time.Second), w.n,
		slowestAt, w.slowest.Truncate(time.Millisecond))
	if got := p.Tape.Outside(badinput.Victim) - outside; got != p.Admitted {
		t.Errorf("%d events of the victim are in the log, of which %d are good", got, p.Admitted)
	}
	if err := c.WaitIdle(ctx, 30*time.Second); err != nil {
		t.Errorf("the engine did not come to rest: %v", err)
	}
	for _, line := range m.report(t) {
		t.Log(line)
	}
	if p.ProgramKB-idleCLI > mayGrow>>10 {
		t.Errorf("a call of the operators' program took %d MiB", p.ProgramKB>>10)
	}
	t.Logf("neuronx: idle %d MiB, most %d MiB", idleCLI>>10, p.ProgramKB>>10)
}

// watched sends a second tenant's events and times them.
type watched struct {
	p       *badinput.Player
	tenant  string
	n       int
	slowest time.Duration
}

// event sends one event and waits until it is in the log.
func (w *watched) event(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w.n++
	id := fmt.Sprintf("w-%d", w.n)
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/witness","type":"lead.created","data":{"lead_id":"1"}}`, id)
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.p.HTTPURL+"/v1/events", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer "+w.p.Keys["witness"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the witness's event: %w", err)
	}
	answer, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the witness's event: %s %s", resp.Status, answer)
	}
	if err := w.p.Tape.Admitted(ctx, w.tenant, id); err != nil {
		return fmt.Errorf("the witness's event, sent %s ago: %w", time.Since(began).Truncate(time.Millisecond), err)
	}
	w.slowest = max(w.slowest, time.Since(began))
	return nil
}

// during sends one event after the other while play runs, at least one.
func (w *watched) during(ctx context.Context, limit time.Duration, play func() error) error {
	played := make(chan error, 1)
	go func() { played <- play() }()
	for {
		late := w.event(ctx, limit)
		select {
		case err := <-played:
			if err == nil {
				err = late
			}
			return err
		default:
		}
		if late != nil {
			if err := <-played; err != nil {
				return fmt.Errorf("%w; and %w", err, late)
			}
			return late
		}
	}
}

// footprints know how much memory every process had when idle, and at most.
type footprints struct {
	c *cluster.Cluster

	mu         sync.Mutex
	idle, most map[string]int64
}

func newFootprints(c *cluster.Cluster) *footprints {
	m := &footprints{c: c, idle: map[string]int64{}, most: map[string]int64{}}
	for name, p := range c.Processes {
		m.idle[name] = p.RSS()
	}
	return m
}

func (m *footprints) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		m.mu.Lock()
		for name, p := range m.c.Processes {
			m.most[name] = max(m.most[name], p.RSS())
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report fails the test for every process that grew too much.
func (m *footprints) report(t *testing.T) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for name, idle := range m.idle {
		lines = append(lines, fmt.Sprintf("%s: idle %d MiB, most %d MiB", name, idle>>20, m.most[name]>>20))
		if m.most[name]-idle > mayGrow {
			t.Errorf("%s grew by %d MiB", name, (m.most[name]-idle)>>20)
		}
	}
	return lines
}
