//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// TestReseed_SomeTenantsThenAll builds the log for two of three tenants, with a landing topic that survived, and then, after another
// loss, for all of them.
func TestReseed_SomeTenantsThenAll(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	r := begin(t, cluster.Options{Ingests: 1, Broker: broker}, seedOf(t), 3, 1)
	r.under(load.Plan{Rate: 60, Batch: 3, Clients: 2}, func(ctx context.Context) { rest(ctx, 3*time.Second) })
	history, err := checker.ReadHistory(r.history())
	cluster.Must(t, err)
	r.landed20(ctx, "early")
	r.waitIdle(ctx)
	cluster.Must(t, r.c.Processes["archiver"].Kill9())
	r.landed20(ctx, "late") // in the log and in no archive
	cluster.Must(t, r.c.KillAll())
	cluster.Must(t, r.c.LoseLog(ctx))

	// The forwarder's group survived, and its killed member is in it until its session ends.
	some := []string{"--tenant", "t-0", "--tenant", "t-1", "--execute"}
	cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		if out, code := runReseed(ctx, r.c, some[:4]...); code != 0 {
			return fmt.Errorf("exit %d: %s", code, out)
		}
		return nil
	}))
	if report := mustReseed(ctx, t, r.c, some...); !slices.Equal(report.LeftOut, []string{"t-2"}) {
		t.Errorf("left out: %v", report.LeftOut)
	}
	if out, code := runReseed(ctx, r.c, "--tenant", "nobody"); code == 0 {
		t.Errorf("a tenant that nobody knows: %s", out)
	}
	startAll(ctx, t, r.c)
	r.waitApplied(ctx)
	r.inLog(ctx, "early", 20)
	r.inLog(ctx, "late", 20) // forwarded again by itself
	for i, want := range []string{`"status":"admitted"`, `"status":"admitted"`, string(event.CodeUnknownTenant)} {
		if got := r.ask(ctx, i, fmt.Sprintf("after-%d", i)); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", r.tenants[i].ID, got, want)
		}
	}
	log, err := r.c.Log(ctx)
	cluster.Must(t, err)
	if slices.ContainsFunc(log, func(e event.Recorded) bool { return e.TenantID == "t-2" }) {
		t.Error("the log has events of the tenant that was left out")
	}
	r.waitApplied(ctx)

	cluster.Must(t, r.c.StopAll())
	cluster.Must(t, r.c.LoseKafka(ctx))
	began := time.Now()
	report := mustReseed(ctx, t, r.c, "--execute")
	took := time.Since(began)
	if len(report.Lost)+len(report.LeftOut) > 0 {
		t.Errorf("everything was archived: lost %v, left out %v", report.Lost, report.LeftOut)
	}
	startAll(ctx, t, r.c)
	r.waitIdle(ctx)
	for i := range r.tenants {
		if got := r.ask(ctx, i, fmt.Sprintf("again-%d", i)); !strings.Contains(got, `"status":"admitted"`) {
			t.Errorf("%s: %s", r.tenants[i].ID, got)
		}
	}
	if got := r.ask(ctx, 0, "after-0"); !strings.Contains(got, `"status":"duplicate"`) {
		t.Errorf("a key of before the second loss is forgotten: %s", got)
	}
	r.inLog(ctx, "late", 20)
	r.waitIdle(ctx)
	t.Logf("%d events of 3 tenants written again in %s", written(report), took.Truncate(time.Millisecond))
	sent := func(tenant, id string) {
		history = append(history, checker.Op{At: began, Client: "reseed", Tenant: tenant, ID: id, Type: "lead.created", Subject: "lead/" + id, Outcome: checker.OK})
	}
	for i := range 20 {
		sent("t-0", fmt.Sprintf("early-%d", i))
		sent("t-0", fmt.Sprintf("late-%d", i))
	}
	for i, tenant := range r.tenants {
		sent(tenant.ID, fmt.Sprintf("again-%d", i))
		if i < 2 {
			sent(tenant.ID, fmt.Sprintf("after-%d", i))
		}
	}
	r.proves(ctx, history)
}

// landed20 puts twenty leads into the first tenant's own topic and waits until they are in the log.
func (r *round) landed20(ctx context.Context, prefix string) {
	r.t.Helper()
	topic := kafka.LandingTopic(r.tenants[0].ID)
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.c.Kafka.Brokers...))
	cluster.Must(r.t, err)
	defer cl.Close()
	stamped := "LogAppendTime"
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, map[string]*string{"message.timestamp.type": &stamped}, topic); err != nil && !strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
		r.t.Fatal(err)
	}
	id, schema, err := r.c.Registry.ByType(ctx, "lead.created")
	cluster.Must(r.t, err)
	for i := range 20 {
		body, err := schema.EncodeMap(map[string]any{"lead_id": fmt.Sprintf("%s-%d", prefix, i)})
		cluster.Must(r.t, err)
		cluster.Must(r.t, cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: event.Frame(id, body),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "%s-%d", prefix, i)}}}).FirstErr())
	}
	r.inLog(ctx, prefix, 20)
}

// inLog waits until the log has n events whose id begins so, each once.
func (r *round) inLog(ctx context.Context, prefix string, n int) {
	r.t.Helper()
	cluster.Must(r.t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		log, err := r.c.Log(ctx)
		if err != nil {
			return err
		}
		seen, all := map[string]bool{}, 0
		for i := range log {
			if strings.HasPrefix(log[i].ID, prefix+"-") {
				seen[log[i].ID] = true
				all++
			}
		}
		if all > n {
			r.t.Fatalf("%d events of %s, %d different: want %d", all, prefix, len(seen), n)
		}
		if len(seen) < n {
			return fmt.Errorf("%d of %d events of %s are in the log", len(seen), n, prefix)
		}
		return nil
	}))
}

// waitApplied waits until every consumer has applied, of each tenant in the log, what the log has.
func (r *round) waitApplied(ctx context.Context) {
	r.t.Helper()
	cluster.Must(r.t, cluster.Eventually(ctx, r.patience, func(ctx context.Context) error {
		log, err := r.c.Log(ctx)
		if err != nil {
			return err
		}
		heads := map[string]int64{}
		for i := range log {
			heads[log[i].TenantID] = max(heads[log[i].TenantID], log[i].Sequence)
		}
		for tenant, n := range heads {
			var behind int
			if err := r.c.Admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.progress WHERE tenant_id = $1 AND state <> 'retired' AND (sequence < $2 OR state <> 'live')`,
				tenant, n).Scan(&behind); err != nil || behind > 0 {
				return fmt.Errorf("%d rows of %s are behind %d, %w", behind, tenant, n, err)
			}
		}
		return nil
	}))
}

// ask posts a lead of a tenant and returns the verdict.
func (r *round) ask(ctx context.Context, tenant int, id string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/e2e/reseed","type":"lead.created","subject":"lead/%s","data":{"lead_id":%q}}`, id, id, id)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.c.HTTPURLs[0]+"/v1/events", strings.NewReader(body))
	cluster.Must(r.t, err)
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer "+r.tenants[tenant].Key)
	req.Header.Set("Prefer", "wait=30")
	resp, err := http.DefaultClient.Do(req)
	cluster.Must(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	cluster.Must(r.t, err)
	return resp.Status + " " + string(answer)
}
