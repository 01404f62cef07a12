package load

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/neuronx/engine/e2e/checker"
)

// Feed says what to send through something that takes events one by one and tells later what became of each.
type Feed struct {
	Name    string // of the client, and the beginning of its events' ids
	Tenants []Tenant
	Rate    int // events a second
	Open    int // events that may wait for an outcome; above it none are made. 0: 5,000
	History *checker.History
	Seed    uint64
	Stats   *Stats
}

// Lead is an event of the type lead.created, in the JSON format of CloudEvents with the tenant as an extension attribute.
type Lead struct {
	SpecVersion string            `json:"specversion"`
	TenantID    string            `json:"tenantid"`
	ID          string            `json:"id"`
	Source      string            `json:"source"`
	Type        string            `json:"type"`
	Subject     string            `json:"subject"`
	Time        string            `json:"time"`
	Data        map[string]string `json:"data"`
}

// Outcome is what became of an event of a feed.
type Outcome struct {
	ID      string          `json:"id"`
	Outcome checker.Outcome `json:"outcome"`
}

// sink takes events. Send must not block for long; what became of them comes through the channel, in any order. Close says that there
// are no more, and the channel is closed after the last outcome that is to be had. A sink that has lost events sends them again itself.
// The channel has room for as many outcomes as there can be open events, so that a sink never waits for a reader that waits for it.
type sink interface {
	Send(context.Context, []Lead) error
	Outcomes() <-chan Outcome
	Close() error
}

const tick = 200 * time.Millisecond

// run feeds the sink at the feed's rate until ctx ends, and then waits for outcomes for at most last. What is made late because too much
// was open is made as soon as it can be, so that the rate holds over an outage.
func (f *Feed) run(ctx context.Context, s sink, last time.Duration) error {
	if f.Open == 0 {
		f.Open = 5000
	}
	rng := rand.New(rand.NewPCG(f.Seed, 11))
	open, made := map[string]checker.Op{}, 0
	began := time.Now()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var done []checker.Op
	note := func(o Outcome) {
		op, ok := open[o.ID]
		if !ok {
			return
		}
		op.Outcome, op.Tries = o.Outcome, 1
		done = append(done, op)
		delete(open, o.ID)
		switch o.Outcome {
		case checker.OK:
			f.Stats.OK.Add(1)
			f.Stats.Slowest.Store(max(f.Stats.Slowest.Load(), int64(time.Since(op.At))))
		case checker.Fail:
			f.Stats.Fail.Add(1)
		default:
			f.Stats.Unknown.Add(1)
		}
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case o, ok := <-s.Outcomes():
			if !ok {
				return fmt.Errorf("%s ended", f.Name)
			}
			note(o)
			continue
		case <-ticker.C:
		}
		due := min(int(float64(f.Rate)*time.Since(began).Seconds())-made, f.Open-len(open), 2000)
		leads, ops := make([]Lead, 0, max(due, 0)), done
		for range due {
			made++
			l := f.lead(rng, made)
			op := checker.Op{At: time.Now(), Client: f.Name, Tenant: l.TenantID, ID: l.ID, Type: l.Type, Subject: l.Subject, Outcome: checker.Unknown}
			leads, ops = append(leads, l), append(ops, op)
			open[l.ID] = op
		}
		done = nil
		if len(ops) == 0 {
			continue
		}
		if err := f.History.Write(ops...); err != nil {
			return err
		}
		if err := s.Send(context.WithoutCancel(ctx), leads); err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	for late := time.After(last); len(open) > 0; {
		select {
		case o, ok := <-s.Outcomes():
			if ok {
				note(o)
				continue
			}
		case <-late:
		}
		break
	}
	f.Stats.Unknown.Add(int64(len(open)))
	return f.History.Write(done...)
}

func (f *Feed) lead(rng *rand.Rand, n int) Lead {
	t := f.Tenants[rng.IntN(len(f.Tenants))]
	id := fmt.Sprintf("%s-%d-%d", f.Name, f.Seed, n)
	return Lead{SpecVersion: "1.0", TenantID: t.ID, ID: id, Source: "/e2e/" + f.Name, Type: "lead.created", Subject: "lead/" + id,
		Time: time.Now().UTC().Format(time.RFC3339Nano),
		Data: map[string]string{"lead_id": id, "email": id + "@example.com", "channel": "web", "source": f.Name}}
}

func line(l Lead) []byte {
	b, _ := json.Marshal(l) // strings only
	return append(b, '\n')
}
