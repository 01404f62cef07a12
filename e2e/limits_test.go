//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// TestLimits_WhatAnOperatorSetsIsWhatHTTPAccepts sets a tenant's quota with the operators' program and lifts it again.
func TestLimits_WhatAnOperatorSetsIsWhatHTTPAccepts(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := cluster.Start(t, cluster.Options{Ingests: 1})
	began := time.Now()
	l := &limited{t: t, c: c, tenants: c.Tenants(t, "limits", 2, 0)}
	id := l.tenants[0].ID

	l.open(ctx)
	l.cli(ctx, "tenant", "limits", id, "--events", "5", "--reason", "floods us", "--by", "ada") // without --execute
	if got := l.cli(ctx, "tenant", "limits", id, "-o", "json"); !strings.Contains(got, `"events_per_second": null`) {
		t.Errorf("a dry run sets a limit: %s", got)
	}
	l.cli(ctx, "tenant", "limits", id, "--events", "5", "--reason", "floods us", "--by", "ada", "--execute")
	if got := l.cli(ctx, "tenant", "limits", id, "-o", "json"); !strings.Contains(got, `"events_per_second": 5`) {
		t.Errorf("tenant limits shows %s", got)
	}
	l.recorded(ctx, id)

	passed := 0
	l.await(ctx, `"events";q=1000;w=200`)
	l.batch(ctx, l.tenants[0], 900, http.StatusAccepted) // of the 1,000 that may come at once
	for used := time.Now(); l.passes(ctx); {
		if time.Since(used) > 30*time.Second {
			t.Fatal("nothing is refused")
		}
	}
	from := time.Now()
	for time.Since(from) < 2*time.Second {
		if l.passes(ctx) {
			passed++
		}
	}
	if may := 5 * time.Since(from).Seconds(); float64(passed) > may+1 || float64(passed) < may-3 {
		t.Errorf("%d events passed in %s at 5 a second", passed, time.Since(from))
	}
	l.batch(ctx, l.tenants[0], 1000, http.StatusTooManyRequests)
	l.batch(ctx, l.tenants[1], 1000, http.StatusAccepted)

	l.cli(ctx, "tenant", "limits", id, "--events", "0", "--reason", "calm again", "--execute")
	l.await(ctx, "")
	l.open(ctx)
	t.Logf("%d events in two seconds of a limit of 5; all of it in %s", passed, time.Since(began))
}

// limited is a cluster with two tenants, the first of which gets a limit.
type limited struct {
	t       *testing.T
	c       *cluster.Cluster
	tenants []load.Tenant
	sent    int
}

// open sends more than any limit lets in at once, and all of it must pass.
func (l *limited) open(ctx context.Context) {
	l.t.Helper()
	for range 2 {
		if h := l.batch(ctx, l.tenants[0], 1000, http.StatusAccepted); h.Get("RateLimit")+h.Get("RateLimit-Policy") != "" {
			l.t.Errorf("the answer names a limit that was never set: %v", h)
		}
	}
}

// await waits until the HTTP endpoint applies a limit, as its answers say. A key that it does not know makes it look at once.
func (l *limited) await(ctx context.Context, policy string) {
	l.t.Helper()
	noError(l.t, cluster.Eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		unknown, err := tenant.NewKey("nobody")
		if err != nil {
			return err
		}
		if a := l.single(ctx, load.Tenant{Key: unknown.Reveal()}); a.status != http.StatusUnauthorized {
			return fmt.Errorf("%+v", a)
		}
		if a := l.single(ctx, l.tenants[0]); a.status != http.StatusAccepted && policy == "" || a.header.Get("RateLimit-Policy") != policy {
			return fmt.Errorf("%+v", a)
		}
		return nil
	}))
}

// recorded looks for who set the limit, and why, in the tenant's log.
func (l *limited) recorded(ctx context.Context, id string) {
	l.t.Helper()
	_, schema, err := l.c.Registry.ByType(ctx, "tenant.limits_set")
	noError(l.t, err)
	log, err := l.c.Log(ctx)
	noError(l.t, err)
	var found []string
	for i := range log {
		e := &log[i]
		if e.TenantID != id || e.Type != "tenant.limits_set" {
			continue
		}
		_, body, err := event.Unframe(e.Value)
		noError(l.t, err)
		text, err := schema.RenderJSON(body)
		noError(l.t, err)
		found = append(found, string(text))
	}
	var got struct {
		Events     int64 `json:"events_per_second"`
		Reason, By string
	}
	if len(found) != 1 {
		l.t.Fatalf("%d events set a limit: %s", len(found), found)
	}
	noError(l.t, json.Unmarshal([]byte(found[0]), &got))
	if got.Events != 5 || got.Reason != "floods us" || got.By != "ada" {
		l.t.Errorf("%s", found[0])
	}
}

func (l *limited) cli(ctx context.Context, args ...string) string {
	l.t.Helper()
	out, errs, code := l.c.CLI(ctx, args...)
	if code != 0 {
		l.t.Fatalf("neuronx %s: exit %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

func (l *limited) lead() string {
	l.sent++
	return fmt.Sprintf(`{"specversion":"1.0","id":"limits-%d","source":"/e2e","type":"lead.created","data":{"lead_id":"limits-%d"}}`, l.sent, l.sent)
}

func (l *limited) single(ctx context.Context, as load.Tenant) answered {
	l.t.Helper()
	return l.post(ctx, as, "application/cloudevents+json", l.lead())
}

// passes sends one event of the limited tenant and reports whether it is let in. If not, the answer must say why and until when.
func (l *limited) passes(ctx context.Context) bool {
	l.t.Helper()
	a := l.single(ctx, l.tenants[0])
	if a.status == http.StatusAccepted {
		return true
	}
	var p struct{ Code event.Code }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusTooManyRequests || p.Code != event.CodeRateLimited {
		l.t.Fatalf("%+v %v", a, err)
	}
	if h := a.header; h.Get("Retry-After") != "1" || h.Get("RateLimit-Policy") != `"events";q=1000;w=200` || !strings.HasPrefix(h.Get("RateLimit"), `"events";r=0;t=`) {
		l.t.Fatalf("%v", h)
	}
	return false
}

func (l *limited) batch(ctx context.Context, as load.Tenant, n, status int) http.Header {
	l.t.Helper()
	leads := make([]string, n)
	for i := range leads {
		leads[i] = l.lead()
	}
	a := l.post(ctx, as, "application/cloudevents-batch+json", "["+strings.Join(leads, ",")+"]")
	if a.status != status || strings.Contains(a.body, `"status":"refused"`) {
		l.t.Fatalf("a batch gets %d, not %d: %.300s", a.status, status, a.body)
	}
	return a.header
}

// answered is what HTTP answered.
type answered struct {
	status int
	header http.Header
	body   string
}

func (l *limited) post(ctx context.Context, as load.Tenant, media, body string) answered {
	l.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.c.HTTPURLs[0]+"/v1/events", strings.NewReader(body))
	noError(l.t, err)
	req.Header.Set("Content-Type", media)
	req.Header.Set("Authorization", "Bearer "+as.Key)
	resp, err := http.DefaultClient.Do(req)
	noError(l.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	noError(l.t, err)
	return answered{resp.StatusCode, resp.Header, string(answer)}
}
