package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/load"
)

// Event is one event in CloudEvents' structured form.
type Event struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Data        map[string]any `json:"data"`
}

// pollEvery bounds how exactly a delay is measured.
const pollEvery = 25 * time.Millisecond

// Neighbour is a tenant that does nothing wrong.
type Neighbour struct {
	Door    string
	Tenant  load.Tenant
	Pool    *pgxpool.Pool // may read read.leads of the tenant
	History *checker.History
	Rate    int // leads a second

	mu    sync.Mutex
	open  map[string]time.Time // leads that are not in the read model yet, by id, and when they were first sent
	seen  []delay
	calls map[string]int // answers to POST that were no 202, by their first line
}

type delay struct {
	sent time.Time
	took time.Duration
}

// Delays sum up the leads that were sent in a span of time.
type Delays struct {
	Leads    int
	P50, P99 time.Duration
	Missing  int // of the leads: not in the read model yet; they count with their age
	Refused  map[string]int
}

func (d Delays) String() string {
	return fmt.Sprintf("%d leads, p50 %s, p99 %s, %d missing, refused %v", d.Leads, d.P50.Truncate(time.Millisecond), d.P99.Truncate(time.Millisecond), d.Missing, d.Refused)
}

// Run sends leads until ctx ends. A lead that is refused or not answered is sent again, as a client does, and its delay counts from the
// first try.
func (n *Neighbour) Run(ctx context.Context) error {
	n.mu.Lock()
	n.open, n.calls = map[string]time.Time{}, map[string]int{}
	n.mu.Unlock()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	errs := make(chan error, 1)
	fail := func(err error) {
		if err != nil {
			select {
			case errs <- err:
			default:
			}
		}
	}
	var running sync.WaitGroup
	running.Go(func() { fail(n.watch(ctx)) })
	tick := time.NewTicker(time.Second / time.Duration(n.Rate))
	defer tick.Stop()
	for i := 1; ctx.Err() == nil; i++ {
		select {
		case <-ctx.Done():
		case <-tick.C:
			running.Go(func() { fail(n.send(ctx, client, fmt.Sprintf("n-%06d", i))) })
		}
	}
	running.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

func (n *Neighbour) send(ctx context.Context, client *http.Client, id string) error {
	e := Event{SpecVersion: "1.0", ID: id, Source: "/e2e/neighbour", Type: "lead.created", Subject: "lead/" + id,
		Data: map[string]any{"lead_id": id, "email": id + "@example.com", "channel": "web"}}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	op := checker.Op{At: time.Now(), Client: "neighbour", Tenant: n.Tenant.ID, ID: id, Type: e.Type, Subject: e.Subject, Outcome: checker.Unknown}
	if err := n.History.Write(op); err != nil {
		return err
	}
	n.mu.Lock()
	n.open[id] = op.At
	n.mu.Unlock()
	for ctx.Err() == nil {
		op.Tries++
		status, answer := post(ctx, client, n.Door, n.Tenant.Key, "application/cloudevents+json", body)
		if status == http.StatusAccepted {
			op.Outcome = checker.OK
			break
		}
		if ctx.Err() == nil {
			n.mu.Lock()
			n.calls[fmt.Sprintf("%d %.60s", status, answer)]++
			n.mu.Unlock()
		}
		pause(ctx, 100*time.Millisecond)
	}
	return n.History.Write(op)
}

// watch looks for the open leads in the read model.
func (n *Neighbour) watch(ctx context.Context) error {
	for ; ; pause(ctx, pollEvery) {
		n.mu.Lock()
		ids := make([]string, 0, len(n.open))
		for id := range n.open {
			ids = append(ids, id)
		}
		n.mu.Unlock()
		if ctx.Err() != nil {
			return nil
		}
		if len(ids) == 0 {
			continue
		}
		rows, err := n.Pool.Query(ctx, `SELECT lead_id FROM read.leads WHERE tenant_id = $1 AND lead_id = ANY ($2)`, n.Tenant.ID, ids)
		if err == nil {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for the neighbour's leads: %w", err)
		}
		now := time.Now()
		n.mu.Lock()
		for _, id := range ids {
			n.seen = append(n.seen, delay{n.open[id], now.Sub(n.open[id])})
			delete(n.open, id)
		}
		n.mu.Unlock()
	}
}

// Delays sums up the leads first sent from from on, until now. Those that are not there yet may take up to patience more.
func (n *Neighbour) Delays(ctx context.Context, from time.Time, patience time.Duration) Delays {
	to := time.Now()
	for end := to.Add(patience); time.Now().Before(end) && ctx.Err() == nil && n.missing(from, to) > 0; {
		pause(ctx, pollEvery)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []time.Duration
	for _, d := range n.seen {
		if !d.sent.Before(from) && !d.sent.After(to) {
			all = append(all, d.took)
		}
	}
	d := Delays{Refused: n.calls}
	n.calls = map[string]int{}
	for _, sent := range n.open {
		if !sent.Before(from) && !sent.After(to) {
			all = append(all, time.Since(sent))
			d.Missing++
		}
	}
	d.Leads = len(all)
	if len(all) > 0 {
		slices.Sort(all)
		d.P50, d.P99 = all[len(all)/2], all[len(all)*99/100]
	}
	return d
}

func (n *Neighbour) missing(from, to time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := 0
	for _, sent := range n.open {
		if !sent.Before(from) && !sent.After(to) {
			m++
		}
	}
	return m
}

// post sends a body and returns the status, 0 for no answer, and the beginning of the answer.
func post(ctx context.Context, client *http.Client, door, key, media string, body []byte) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, door+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", media)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(answer)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
