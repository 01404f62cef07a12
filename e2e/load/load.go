package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neuronx/engine/e2e/checker"
)

// Tenant is one that events are sent for.
type Tenant struct {
	ID, Key  string
	Commands bool // one event in a hundred asks for a note in its CRM
}

// Plan says what to send.
type Plan struct {
	URLs    []string // of HTTP endpoints; a client changes to the next when one does not answer
	Tenants []Tenant
	Rate    int // events a second, over all clients
	Batch   int // events a request
	Clients int
	History *checker.History
	Seed    uint64
}

// Stats are what a run came to.
type Stats struct {
	OK, Fail, Unknown atomic.Int64
	Retries           atomic.Int64
	Slowest           atomic.Int64 // ns, of an acknowledged request
}

// Run sends until ctx ends and then finishes what is under way for at most 20 s.
func Run(ctx context.Context, p Plan, stats *Stats) error {
	var wg sync.WaitGroup
	errs := make(chan error, p.Clients)
	for c := range p.Clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cl := &client{plan: p, stats: stats, name: fmt.Sprintf("c%d", c), rng: rand.New(rand.NewPCG(p.Seed, uint64(c))),
				http: &http.Client{Timeout: 5 * time.Second}}
			defer cl.http.CloseIdleConnections()
			if err := cl.run(ctx); err != nil {
				errs <- err
			}
		}()
	}
	wg.Wait()
	close(errs)
	return <-errs
}

type client struct {
	plan  Plan
	stats *Stats
	name  string
	rng   *rand.Rand
	http  *http.Client
	n     int
	url   int
	leads []string
}

// run sends batches on a schedule. One that comes late because the last took long is sent at once, so that the rate holds over an
// outage.
func (c *client) run(ctx context.Context) error {
	every := time.Duration(float64(time.Second) * float64(c.plan.Batch*c.plan.Clients) / float64(c.plan.Rate))
	next := time.Now().Add(time.Duration(c.rng.Int64N(int64(every))))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
		next = next.Add(every)
		if err := c.batch(ctx); err != nil {
			return err
		}
	}
}

// cloudEvent is one item of a batch in the structured form.
type cloudEvent struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject"`
	Time        string         `json:"time"`
	Data        map[string]any `json:"data"`
}

// batch sends one batch of one tenant's events until it is decided or time is up.
func (c *client) batch(ctx context.Context) error {
	t := c.plan.Tenants[c.rng.IntN(len(c.plan.Tenants))]
	events := make([]cloudEvent, c.plan.Batch)
	ops := make([]checker.Op, c.plan.Batch)
	for i := range events {
		events[i] = c.event(t)
		ops[i] = checker.Op{At: time.Now(), Client: c.name, Tenant: t.ID, ID: events[i].ID, Type: events[i].Type, Subject: events[i].Subject, Outcome: checker.Unknown}
	}
	if err := c.plan.History.Write(ops...); err != nil {
		return err
	}
	body, err := json.Marshal(events)
	if err != nil {
		return err
	}
	last := context.WithoutCancel(ctx)
	end := time.Time{}
	for {
		if ctx.Err() != nil && end.IsZero() {
			end = time.Now().Add(20 * time.Second)
		}
		if !end.IsZero() && time.Now().After(end) {
			break
		}
		decided := c.try(last, t, body, ops)
		if decided {
			break
		}
		c.stats.Retries.Add(1)
		c.url++
		time.Sleep(50*time.Millisecond + time.Duration(c.rng.IntN(150))*time.Millisecond)
	}
	for _, op := range ops {
		switch op.Outcome {
		case checker.OK:
			c.stats.OK.Add(1)
		case checker.Fail:
			c.stats.Fail.Add(1)
		default:
			c.stats.Unknown.Add(1)
		}
	}
	return c.plan.History.Write(ops...)
}

// try posts the batch once and reports whether every event of it is decided.
func (c *client) try(ctx context.Context, t Tenant, body []byte, ops []checker.Op) bool {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.plan.URLs[c.url%len(c.plan.URLs)]+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+t.Key)
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	for i := range ops {
		ops[i].Tries++
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.note(ops, err.Error())
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return c.note(ops, err.Error())
	}
	if resp.StatusCode != http.StatusAccepted {
		return c.note(ops, resp.Status+" "+string(answer[:min(len(answer), 200)]))
	}
	var items []struct {
		Index  int             `json:"index"`
		ID     string          `json:"id"`
		Status json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(answer, &items); err != nil || len(items) != len(ops) {
		return c.note(ops, "unreadable answer")
	}
	decided := true
	for _, it := range items {
		if string(it.Status) == `"accepted"` {
			ops[it.Index].Outcome = checker.OK
			continue
		}
		ops[it.Index].Code = string(it.Status)
		decided = false
	}
	if decided {
		if d := int64(time.Since(began)); d > c.stats.Slowest.Load() {
			c.stats.Slowest.Store(d)
		}
	}
	return decided
}

func (c *client) note(ops []checker.Op, code string) bool {
	for i := range ops {
		ops[i].Code = code
	}
	return false
}

// event makes the tenant's next event: mostly leads, then what happens to leads that this client made before.
func (c *client) event(t Tenant) cloudEvent {
	c.n++
	id := fmt.Sprintf("%s-%d-%d", c.name, c.plan.Seed, c.n)
	e := cloudEvent{SpecVersion: "1.0", ID: id, Source: "/e2e/" + c.name, Time: time.Now().UTC().Format(time.RFC3339Nano)}
	lead := t.ID + "-" + id
	if len(c.leads) > 0 && c.rng.IntN(3) > 0 {
		lead = c.leads[c.rng.IntN(len(c.leads))]
	}
	e.Subject = "lead/" + lead
	switch k := c.rng.IntN(100); {
	case k == 0 && t.Commands:
		e.Type, e.Data = "activity.recorded", map[string]any{"activity_id": id, "lead_id": lead, "kind": "note", "note": "note of " + id}
	case k < 50:
		lead = t.ID + "-" + id
		c.leads = append(c.leads, lead)
		if len(c.leads) > 500 {
			c.leads = c.leads[250:]
		}
		e.Subject = "lead/" + lead
		e.Type, e.Data = "lead.created", map[string]any{"lead_id": lead, "email": lead + "@example.com", "channel": "social", "source": "e2e"}
	case k < 65:
		e.Type, e.Data = "lead.scored", map[string]any{"lead_id": lead, "score": c.rng.IntN(100)}
	case k < 75:
		e.Type, e.Data = "lead.assigned", map[string]any{"lead_id": lead, "owner_id": fmt.Sprintf("owner-%d", c.rng.IntN(9))}
	case k < 85:
		e.Type, e.Subject = "opportunity.created", "opportunity/"+lead
		e.Data = map[string]any{"opportunity_id": lead, "lead_id": lead, "value": fmt.Sprintf("%d.50", c.rng.IntN(10000)), "currency": "USD"}
	case k < 92:
		e.Type, e.Subject = "opportunity.won", "opportunity/"+lead
		e.Data = map[string]any{"opportunity_id": lead, "lead_id": lead, "value": "99.0000", "currency": "USD"}
	default:
		e.Type, e.Data = "activity.recorded", map[string]any{"activity_id": id, "lead_id": lead, "kind": "call"}
	}
	return e
}
