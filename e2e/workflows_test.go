//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// chase tags a lead that was not contacted within a minute.
const chase = `apiVersion: neuronx/v1
kind: Workflow
metadata:
  name: chase
spec:
  start: {on: [lead.created], key: data.lead_id}
  until:
    contacted: {on: [lead.contacted], status: completed}
  do:
    - pause: {wait: {for: PT1M}}
    - late: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["late"]', remove: '[]'}}}
`

// herd is timers that are due at about the same time, in number.
type herd struct {
	tenants, leads int
	contacted      int // every so many leads is contacted before its timer is due
}

// Timers that are due within seconds fire once each, while the processes of the rules service are killed: each that was armed has fired, or was
// disarmed, or is armed still. NEURONX_TEST_WORKFLOWS=long plays 10,000 timers, of one tenant and of two hundred.
func TestWorkflows_TimersFireOnceWhileRulesAreKilled(t *testing.T) {
	broker := cluster.Turn(t, cluster.Second)
	herds := []herd{{4, 150, 5}}
	if os.Getenv("NEURONX_TEST_WORKFLOWS") == "long" {
		herds = []herd{{1, 10_000, 5}, {200, 50, 5}}
	}
	ctx := context.Background()
	for _, h := range herds {
		c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})
		more := c.Service(t, "rules-1", "rules", "rules", "--laptop", "--slot", "1")
		noError(t, more.Start())
		noError(t, more.Ready(ctx))
		h.play(t, ctx, c)
	}
}

func (h herd) play(t *testing.T, ctx context.Context, c *cluster.Cluster) {
	t.Helper()
	tenants := c.Tenants(t, "herd", h.tenants, 0)
	for _, tenant := range tenants {
		noError(t, c.PublishRules(ctx, tenant.ID, []ruleset.File{{Name: "chase.yaml", Text: chase}}, 1))
	}
	noError(t, c.WaitIdle(ctx, time.Minute))
	began := time.Now()
	for _, tenant := range tenants {
		for at := 0; at < h.leads; at += 100 {
			publishAbout(t, c, tenant, "lead.created", at, min(at+100, h.leads), 1)
		}
	}
	noError(t, c.WaitIdle(ctx, 3*time.Minute))
	for _, tenant := range tenants {
		publishAbout(t, c, tenant, "lead.contacted", 0, h.leads, h.contacted)
	}
	// From a little before the first is due, one of the two processes is killed every two seconds.
	rest(ctx, time.Until(began.Add(55*time.Second)))
	kills := 0
	for until := time.Now().Add(25 * time.Second); time.Now().Before(until); kills++ {
		p := c.Processes[[]string{"rules", "rules-1"}[kills%2]]
		noError(t, p.Kill9())
		noError(t, p.Start())
		rest(ctx, 2*time.Second)
	}
	for _, name := range []string{"rules", "rules-1"} {
		noError(t, c.Processes[name].Ready(ctx))
	}
	err := cluster.Eventually(ctx, 3*time.Minute, func(ctx context.Context) error {
		var armed, firing, waiting int
		err := c.Admin.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'armed'), count(*) FILTER (WHERE state = 'firing'),
			(SELECT count(*) FROM neuronx.workflow_instances WHERE ended IS NULL) FROM neuronx.timers`).Scan(&armed, &firing, &waiting)
		if err == nil && armed+firing+waiting > 0 {
			err = fmt.Errorf("%d timers are armed, %d fire, %d instances wait", armed, firing, waiting)
		}
		return err
	})
	noError(t, err)
	noError(t, c.WaitIdle(ctx, time.Minute))
	h.check(t, ctx, c)

	reset, err := c.ResetGroup(ctx, kafka.GroupRules, func(ctx context.Context) error {
		out, stderr, code := c.CLI(ctx, "replay", "offsets", "--group", kafka.GroupRules, "--all-topics", "--to-earliest", "--execute")
		if code != 0 {
			return fmt.Errorf("replay offsets: exit %d\n%s%s", code, out, stderr)
		}
		return nil
	})
	noError(t, err)
	replays, err := reset.Done(ctx, 3*time.Minute)
	noError(t, err)
	examined := int64(0)
	for _, p := range replays {
		examined += p.Examined
		if p.Outcome != "done" || p.Differences != 0 {
			t.Errorf("the reset of %s: %s, %d differences of %d: %s", p.Tenant, p.Outcome, p.Differences, p.Examined, p.Detail)
		}
	}
	t.Logf("%d timers of %d tenants, %d kills; the reset examined %d events", h.tenants*h.leads, h.tenants, kills, examined)
}

// check counts what the log says of instances, and what is left of their timers.
func (h herd) check(t *testing.T, ctx context.Context, c *cluster.Cluster) {
	t.Helper()
	d, err := c.Dump(ctx)
	noError(t, err)
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
	if len(d.AtRest) < h.tenants {
		t.Errorf("the timers of %d tenants were judged, want those of %d: the others are not at rest", len(d.AtRest), h.tenants)
	}
	type instance struct{ started, late, contacted, fired, tagged int } // late: its timer moved it to its end
	instances, byLead := map[string]*instance{}, map[string]string{}
	of := func(id string) *instance {
		if instances[id] == nil {
			instances[id] = &instance{}
		}
		return instances[id]
	}
	dec, early := consumer.NewDecoder(c.Registry), 0
	for i := range d.Log {
		r := &d.Log[i]
		var into func(*instance)
		switch r.Type {
		case "workflow.started":
			into = func(n *instance) { n.started++ }
		case "workflow.completed":
			into = func(n *instance) { n.late++ }
		case "timer.fired":
			into = func(n *instance) { n.fired++ }
		case "crm.contact.tag.requested":
			into = func(n *instance) { n.tagged++ }
		case "workflow.incident.raised", "workflow.rejected", "workflow.cancelled", "workflow.faulted", "engine.storm.detected":
			t.Errorf("%s %d: %s", r.TenantID, r.Sequence, r.Type)
		}
		if into == nil {
			continue
		}
		data, err := dec.Decode(ctx, r)
		noError(t, err)
		id, _ := data["instance_id"].(string)
		if key, _ := data["key"].(string); r.Type == "workflow.started" {
			byLead[r.TenantID+" lead/"+key] = id
		}
		if r.Type == "crm.contact.tag.requested" {
			id = byLead[r.TenantID+" "+r.Subject]
		}
		n := of(r.TenantID + " " + id)
		into(n)
		if outcome, _ := data["outcome"].(string); outcome == "contacted" {
			n.contacted++
			n.late--
		}
		if due, _ := data["due"].(time.Time); r.Type == "timer.fired" && time.UnixMilli(event.PositionTime(r.Position)).Before(due) {
			early++
		}
	}
	bad, fired, contacted := 0, 0, 0
	for id, n := range instances {
		fired += n.fired
		contacted += n.contacted
		if n.started == 1 && n.late+n.contacted == 1 && n.tagged == n.late && n.fired >= n.late {
			continue
		}
		if bad++; bad < 6 {
			t.Errorf("%s: %+v", id, *n)
		}
	}
	if all := h.tenants * h.leads; len(instances) != all || bad > 0 || contacted != h.tenants*h.leads/h.contacted {
		t.Errorf("%d instances, want %d; %d contacted; %d are not as they must be", len(instances), all, contacted, bad)
	}
	// A firing that comes after its instance was contacted is stale, and changes nothing.
	t.Logf("%d instances, %d contacted, %d firings of which %d before their due", len(instances), contacted, fired, early)
}

// publishAbout publishes an event of a type about each step-th lead of a tenant.
func publishAbout(t *testing.T, c *cluster.Cluster, tenant load.Tenant, typ string, from, to, step int) {
	t.Helper()
	var batch []map[string]any
	for n := from; n < to; n += step {
		id := fmt.Sprint(n + 1) // an id of 0 names no record
		batch = append(batch, map[string]any{"specversion": "1.0", "id": typ + id, "source": "/e2e", "type": typ, "subject": "lead/" + id, "data": map[string]any{"lead_id": id}})
	}
	body, err := json.Marshal(batch)
	noError(t, err)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.HTTPURLs[0]+"/v1/events", bytes.NewReader(body))
		noError(t, err)
		req.Header.Set("Authorization", "Bearer "+tenant.Key)
		req.Header.Set("Content-Type", "application/cloudevents-batch+json")
		res, err := http.DefaultClient.Do(req)
		noError(t, err)
		noError(t, res.Body.Close())
		switch res.StatusCode {
		case http.StatusAccepted, http.StatusOK:
			return
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			rest(t.Context(), 200*time.Millisecond)
		default:
			t.Fatalf("%d leads of %s: status %d", len(batch), tenant.ID, res.StatusCode)
		}
	}
}
