package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/neuronx/engine/e2e/load"
)

// look is the pause between two looks into the read model.
const look = 2 * time.Millisecond

// flight is the events that were accepted and are not visible yet.
type flight struct {
	mu     sync.Mutex
	tenant map[string]string // by lead
	at     map[string]time.Time
	failed error
}

// endToEnd measures from the HTTP answer 202 to the row in read.leads, at a steady rate, with the whole engine running.
func (b *bench) endToEnd(ctx context.Context, r *report) error {
	var pairs []pair
	for i := range b.o.rounds {
		s, err := b.leads(ctx)
		if err != nil {
			return err
		}
		b.say("  round %d: %s", i+1, s)
		pairs = append(pairs, pair{ours: s})
	}
	r.latency("end_to_end", fmt.Sprintf("%d events/s for %s a round, one lead.created a request, from the answer 202 to the row visible in read.leads, looked for every %s; "+
		"ingest, rules (one rule a tenant), projector, archiver and gohighlevel run; no raw limit", b.o.rate, b.o.load, look), pairs)
	return nil
}

func (b *bench) leads(ctx context.Context) (sample, error) {
	n := int((warmUp + b.o.load).Seconds() * float64(b.o.rate))
	fl := &flight{tenant: map[string]string{}, at: map[string]time.Time{}}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	defer client.CloseIdleConnections()
	began := time.Now()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		var posts sync.WaitGroup
		defer posts.Wait()
		for i := range n {
			if wait(ctx, began.Add(time.Duration(i)*time.Second/time.Duration(b.o.rate))) != nil {
				return
			}
			t, id := b.tenants[b.maker.rng.IntN(len(b.tenants))], b.maker.id()
			body := appendEvent(nil, id)
			posts.Go(func() {
				err := post(ctx, client, b.c.HTTPURLs[0], "application/cloudevents+json", t, body)
				fl.mu.Lock()
				defer fl.mu.Unlock()
				if err != nil {
					fl.failed = err
					return
				}
				fl.tenant[id], fl.at[id] = t.ID, time.Now()
			})
		}
	}()
	all, err := b.visible(ctx, fl, n, began)
	<-sent
	return latencies(all), err
}

// visible looks for the rows of accepted events until all are there.
func (b *bench) visible(ctx context.Context, fl *flight, n int, began time.Time) (all []time.Duration, err error) {
	deadline := began.Add(warmUp + b.o.load + 60*time.Second)
	for seen := 0; seen < n; {
		if err := wait(ctx, time.Now().Add(look)); err != nil {
			return nil, err
		}
		var tenants, ids []string
		fl.mu.Lock()
		for id, t := range fl.tenant {
			tenants, ids = append(tenants, t), append(ids, id)
		}
		err := fl.failed
		fl.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%d of %d leads became visible in time", seen, n)
		case len(ids) == 0:
			continue
		}
		rows, err := b.c.Ops.Query(ctx, `SELECT l.lead_id FROM unnest($1::text[], $2::text[]) AS q(tenant_id, lead_id)
			JOIN read.leads AS l ON l.tenant_id = q.tenant_id AND l.lead_id = q.lead_id`, tenants, ids)
		if err != nil {
			return nil, err
		}
		var found []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return nil, err
			}
			found = append(found, id)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
		now := time.Now()
		fl.mu.Lock()
		for _, id := range found {
			seen++
			if at := fl.at[id]; at.Sub(began) >= warmUp {
				all = append(all, now.Sub(at))
			}
			delete(fl.at, id)
			delete(fl.tenant, id)
		}
		fl.mu.Unlock()
	}
	return all, nil
}

// post sends one request and expects it to be accepted as a whole.
func post(ctx context.Context, client *http.Client, base, media string, t load.Tenant, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.Key)
	req.Header.Set("Content-Type", media)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted || bytes.Contains(answer, []byte(`"refused"`)) {
		return errors.New(resp.Status + ": " + string(answer[:min(len(answer), 300)]))
	}
	return nil
}
