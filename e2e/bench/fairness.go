package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
)

// The fairness jobs measure what one tenant at 100 times its quota costs the others: in turns, these send alone and during the flood.
const (
	jobFairHTTP    = "fairness_http"
	jobFairLanding = "fairness_landing"

	floodQuota  = 20 // events a second that the flooding tenant may send
	floodRate   = 100 * floodQuota
	landings    = 20              // other tenants with a landing topic
	newLandings = 7 * time.Second // in which landing finds topics that came or went (it looks every 5 s)
)

// limitOne makes the flooding tenant and sets its quota as an operator does. The engine must run as a whole.
func (b *bench) limitOne(ctx context.Context, _ *report) error {
	if !slices.Contains(b.o.jobs, jobFairHTTP) && !slices.Contains(b.o.jobs, jobFairLanding) {
		return nil
	}
	b.flooder = b.c.Tenants(b.t, "flood", 1, 0)[0]
	if _, errs, code := b.c.CLI(ctx, "tenant", "limits", b.flooder.ID, "--events", fmt.Sprint(floodQuota), "--reason", "bench", "--execute"); code != 0 {
		return fmt.Errorf("tenant limits: exit %d: %s", code, errs)
	}
	return nil
}

// fairHTTP measures the answer 202, and from request to visible in the log.
func (b *bench) fairHTTP(ctx context.Context, r *report) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	ours := b.c.Service(b.t, "bench-fair-http", "ingest", "ingest", "--roles", "http,sequencer", "--http", address, "--laptop")
	var accepted [2][]sample
	witness := func(ctx context.Context, side int) (sample, error) {
		visible, answers, err := b.posted(ctx, address)
		if err == nil {
			b.say("  answered: %s", answers)
		}
		accepted[side] = append(accepted[side], answers)
		return visible, err
	}
	pairs, what, err := b.alongside(ctx, ours, witness, deluge{
		begin: func() (*flood, error) { return startFlood(floodRate, "http", address, b.flooder.Key) },
		full: func(ctx context.Context) error { // the burst that is accepted at once is used up
			return cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
				err := post(ctx, http.DefaultClient, "http://"+address, mediaOne, b.flooder, appendEvent(nil, b.maker.id()))
				if err == nil || !strings.HasPrefix(err.Error(), "429") {
					return fmt.Errorf("the flood is not refused: %w", err)
				}
				return nil
			})
		},
		clear: func(context.Context) error { return nil },
	})
	if err != nil {
		return err
	}
	what = fmt.Sprintf("%d events/s of %d tenants, one a request, %s; ratio to the same tenants alone", b.o.rate, tenants, what)
	answers := make([]pair, len(pairs))
	for i := range answers {
		answers[i] = pair{accepted[0][i], accepted[1][i]}
	}
	r.latency(jobFairHTTP, "time to the answer 202; "+what, answers)
	r.latency(jobFairHTTP+"_visible", "from request to visible to a read_committed consumer of neuronx.events; "+what, pairs)
	return nil
}

// posted posts events at the steady rate, and returns their latencies to visible and to the answer.
func (b *bench) posted(ctx context.Context, address string) (visible, answers sample, err error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var all []time.Duration
	counted := time.Now().Add(warmUp)
	visible, err = b.steady(ctx, kafka.TopicEvents, func(id string, done func(error)) {
		t := b.tenants[b.maker.rng.IntN(len(b.tenants))]
		body := appendEvent(nil, id)
		go func() {
			sent := time.Now()
			err := post(ctx, client, "http://"+address, mediaOne, t, body)
			took := time.Since(sent)
			if sent.After(counted) {
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
			}
			done(err)
		}()
	})
	return visible, latencies(all), err
}

// fairLanding measures from produce to a landing topic to visible in the log. The flooding tenant's topic holds more than landing takes of it.
func (b *bench) fairLanding(ctx context.Context, r *report) error {
	for _, t := range b.tenants[:landings] {
		if err := b.makeLanding(ctx, t); err != nil {
			return err
		}
	}
	file := filepath.Join(b.c.Dir, "flood.gob")
	like := b.maker.record(b.flooder.ID, b.maker.id())
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := errors.Join(gob.NewEncoder(f).Encode([]stored{{b.flooder.ID, like.Headers, like.Value}}), f.Close()); err != nil {
		return err
	}
	producer, err := kgo.NewClient(producing(b.c.Kafka.Brokers, kgo.ProducerLinger(0))...)
	if err != nil {
		return err
	}
	defer producer.Close()
	witness := func(ctx context.Context, _ int) (sample, error) {
		return b.steady(ctx, kafka.TopicEvents, func(id string, done func(error)) {
			r := b.maker.record(b.tenants[b.maker.rng.IntN(landings)].ID, id)
			r.Topic, r.Partition = kafka.LandingTopic(string(r.Key)), 0
			producer.Produce(ctx, r, func(_ *kgo.Record, err error) { done(err) })
		})
	}
	ours := b.c.Service(b.t, "bench-fair-landing", "ingest", "ingest", "--roles", "landing,sequencer", "--laptop")
	pairs, what, err := b.alongside(ctx, ours, witness, deluge{
		begin: func() (*flood, error) {
			if err := b.makeLanding(ctx, b.flooder); err != nil {
				return nil, err
			}
			return startFlood(floodRate, "topic", b.c.Kafka.Brokers[0], file)
		},
		full: func(ctx context.Context) error { return wait(ctx, time.Now().Add(newLandings)) },
		clear: func(ctx context.Context) error { // nothing of it may be left when the others are alone again
			if _, err := b.adm.DeleteTopic(ctx, kafka.LandingTopic(b.flooder.ID)); err != nil {
				return err
			}
			return wait(ctx, time.Now().Add(newLandings))
		},
	})
	if err != nil {
		return err
	}
	r.latency(jobFairLanding, fmt.Sprintf("from produce to a landing topic to visible to a read_committed consumer of neuronx.events; %d events/s of %d tenants, %s; ratio to the same tenants alone",
		b.o.rate, landings, what), pairs)
	return nil
}

// makeLanding makes a landing topic as `neuronx tenant kafka-access` does, without user and rights: this broker has no authorizer.
func (b *bench) makeLanding(ctx context.Context, t load.Tenant) error {
	as, err := cluster.LandingConfigs(ctx, b.admin)
	if err != nil {
		return err
	}
	if _, err := b.adm.CreateTopic(ctx, 1, 1, as, kafka.LandingTopic(t.ID)); err != nil {
		return fmt.Errorf("make %s: %w", kafka.LandingTopic(t.ID), err)
	}
	return nil
}

// deluge is a way to flood.
type deluge struct {
	begin func() (*flood, error)
	full  func(context.Context) error // waits until the tenant gets no more than its quota
	clear func(context.Context) error // leaves nothing behind
}

// alongside runs the rounds: the witnesses alone, and while the flood goes on. It also says what the flood came to.
func (b *bench) alongside(ctx context.Context, ours *cluster.Process, witness func(context.Context, int) (sample, error), d deluge) (pairs []pair, what string, err error) {
	from, err := b.ends(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, "", err
	}
	if err := ours.Start(); err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, ours.Term()) }()
	if err := ours.Ready(ctx); err != nil {
		return nil, "", err
	}
	var sent, refused, admitted, dials []float64
	var busy [2][]float64 // ms of CPU a second
	measured := func(ctx context.Context, side int) (sample, error) {
		cpu, began := b.meter.read(ours.PID()), time.Now()
		s, err := witness(ctx, side)
		used := b.meter.read(ours.PID()).since(cpu)
		busy[side] = append(busy[side], ms(used.own)/time.Since(began).Seconds())
		return s, err
	}
	all, err := b.rounds(ctx, []string{"alone", "during the flood"}, nil,
		func(ctx context.Context) (sample, error) {
			s, err := measured(ctx, 0)
			if err == nil && s.others > floodQuota/10. {
				err = fmt.Errorf("%.1f events/s of somebody else arrived while the tenants should be alone", s.others)
			}
			return s, err
		},
		func(ctx context.Context) (sample, error) {
			t, s, err := b.flooded(ctx, d, func(ctx context.Context) (sample, error) { return measured(ctx, 1) })
			if err != nil {
				return s, err
			}
			sent, refused = append(sent, t.Sent/t.Seconds), append(refused, t.Refused/t.Seconds)
			admitted, dials = append(admitted, s.others), append(dials, t.Dials)
			b.say("  the flood: %.0f/s sent of %d, %.0f/s refused, %.1f/s admitted of %d, %.0f connections closed", t.Sent/t.Seconds, floodRate, t.Refused/t.Seconds, s.others, floodQuota, t.Dials)
			return s, shown(t, s.others)
		})
	if err != nil {
		return nil, "", err
	}
	for _, round := range all {
		pairs = append(pairs, pair{round[0], round[1]})
	}
	to, err := b.ends(ctx, kafka.TopicIngress)
	b.window += sum(to) - sum(from)
	return pairs, fmt.Sprintf("for %s a round, while another one with a quota of %d events/s is sent for at %d by a process of its own at nice 19: "+
		"%.0f/s were sent and %.0f/s refused with 429, %.1f/s admitted, %.0f connections closed; neuronx-ingest took %.0f ms of CPU a second alone and %.0f during the flood (medians)",
		b.o.load, floodQuota, floodRate, median(sent), median(refused), median(admitted), median(dials), median(busy[0]), median(busy[1])), err
}

// flooded measures while a flood goes on.
func (b *bench) flooded(ctx context.Context, d deluge, witness func(context.Context) (sample, error)) (t toll, s sample, err error) {
	f, err := d.begin()
	if err != nil {
		return t, s, err
	}
	if err = d.full(ctx); err == nil {
		err = f.count()
	}
	if err == nil {
		s, err = witness(ctx)
	}
	t, ended := f.end()
	return t, s, errors.Join(err, ended, d.clear(ctx))
}

// shown is an error where a round says nothing: the flood was none, or the tenant's quota did not hold.
func shown(t toll, admitted float64) error {
	switch reached := t.Sent / t.Seconds; {
	case reached < floodRate/2:
		return fmt.Errorf("the flood reached %.0f/s of %d: nothing is shown", reached, floodRate)
	case admitted > 1.2*floodQuota:
		return fmt.Errorf("%.1f events/s of the flood were admitted, the quota is %d", admitted, floodQuota)
	case admitted < 0.5*floodQuota:
		return fmt.Errorf("%.1f events/s of the flood were admitted, within a quota of %d", admitted, floodQuota)
	}
	return nil
}
