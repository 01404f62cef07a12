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

// Neighbour is a tenant that does nothing wrong. A rule of its own scores every lead.
type Neighbour struct {
	URL     string
	Tenant  load.Tenant
	Pool    *pgxpool.Pool // may read read.leads of the tenant
	History *checker.History
	Rate    int // leads a second

	mu    sync.Mutex
	leads map[string]*lead
	open  map[string]*lead // those that are not in the read model yet, or not scored
	calls map[string]int   // answers to POST that were no 202, by their beginning
}

// lead is one lead: when it was first sent, and how long it then took to be a row of the read model, and to have a score there; 0 is not
// yet.
type lead struct {
	sent        time.Time
	row, scored time.Duration
}

// Delays sum up the leads that were sent in a span of time. What is not there yet counts with its age.
type Delays struct {
	Leads             int
	P50, P99          time.Duration // from the first POST to the row in read.leads
	ScoredP50         time.Duration // likewise, to the score that the tenant's rule gives it
	ScoredP99         time.Duration
	Missing, Unscored int            // of the leads
	Refused           map[string]int // answers that were no 202
}

func (d Delays) String() string {
	ms := func(d time.Duration) time.Duration { return d.Truncate(time.Millisecond) }
	return fmt.Sprintf("%d leads: row p50 %s, p99 %s; score p50 %s, p99 %s; %d missing, %d unscored, refused %v",
		d.Leads, ms(d.P50), ms(d.P99), ms(d.ScoredP50), ms(d.ScoredP99), d.Missing, d.Unscored, d.Refused)
}

// Row is the p99 from the first POST to the row.
func Row(d Delays) time.Duration { return d.P99 }

// RowMedian is the median from the first POST to the row.
func RowMedian(d Delays) time.Duration { return d.P50 }

// ScoreMedian is the median from the first POST to the score.
func ScoreMedian(d Delays) time.Duration { return d.ScoredP50 }

// Score is the p99 from the first POST to the score.
func Score(d Delays) time.Duration { return d.ScoredP99 }

// Run sends leads until ctx ends. A lead that is refused or not answered is sent again, as a client does, and its delay counts from the
// first try.
func (n *Neighbour) Run(ctx context.Context) error {
	n.mu.Lock()
	n.leads, n.open, n.calls = map[string]*lead{}, map[string]*lead{}, map[string]int{}
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
	l := &lead{sent: op.At}
	n.leads[id], n.open[id] = l, l
	n.mu.Unlock()
	for ctx.Err() == nil {
		op.Tries++
		status, answer := post(ctx, client, n.URL, n.Tenant.Key, "application/cloudevents+json", body)
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
		type row struct {
			ID     string
			Scored bool
		}
		var found []row
		rows, err := n.Pool.Query(ctx, `SELECT lead_id, score IS NOT NULL FROM read.leads WHERE tenant_id = $1 AND lead_id = ANY ($2)`, n.Tenant.ID, ids)
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for the neighbour's leads: %w", err)
		}
		now := time.Now()
		n.mu.Lock()
		for _, r := range found {
			l := n.open[r.ID]
			if l.row == 0 {
				l.row = now.Sub(l.sent)
			}
			if r.Scored {
				l.scored = now.Sub(l.sent)
				delete(n.open, r.ID)
			}
		}
		n.mu.Unlock()
	}
}

// Delays sums up the leads first sent between two times. Those that are not there yet may take up to patience more from now.
func (n *Neighbour) Delays(ctx context.Context, from, to time.Time, patience time.Duration) Delays {
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil && n.missing(from, to) > 0; {
		pause(ctx, pollEvery)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var row, scored []time.Duration
	d := Delays{Refused: n.calls}
	n.calls = map[string]int{}
	for _, l := range n.leads {
		if l.sent.Before(from) || l.sent.After(to) {
			continue
		}
		took := func(d time.Duration, missing *int) time.Duration {
			if d == 0 {
				*missing++
				d = time.Since(l.sent)
			}
			return d
		}
		row, scored = append(row, took(l.row, &d.Missing)), append(scored, took(l.scored, &d.Unscored))
	}
	if d.Leads = len(row); d.Leads > 0 {
		slices.Sort(row)
		slices.Sort(scored)
		half, last := d.Leads/2, d.Leads*99/100
		d.P50, d.P99, d.ScoredP50, d.ScoredP99 = row[half], row[last], scored[half], scored[last]
	}
	return d
}

// missing is how many leads first sent in a span of time are not in the read model with their score.
func (n *Neighbour) missing(from, to time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := 0
	for _, l := range n.open {
		if !l.sent.Before(from) && !l.sent.After(to) {
			m++
		}
	}
	return m
}

// post sends a body and returns the status, 0 for no answer, and the beginning of the answer.
func post(ctx context.Context, client *http.Client, base, key, media string, body []byte, encoding ...string) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", media)
	for _, e := range encoding {
		req.Header.Set("Content-Encoding", e)
	}
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
