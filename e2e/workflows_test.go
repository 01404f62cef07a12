//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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

// chase tags a lead that was not contacted within so long after it came.
const chase = `apiVersion: neuronx/v1
kind: Workflow
metadata:
  name: chase
spec:
  start: {on: [lead.created], key: data.lead_id}
  until:
    contacted: {on: [lead.contacted], status: completed}
  do:
    - pause: {wait: {for: PT%dM}}
    - late: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["late"]', remove: '[]'}}}
`

// herd is timers that are due at about the same time, in number.
type herd struct {
	tenants, leads int
	contacted      int // every so many leads is contacted before its timer is due
	minutes        int // from a lead to its timer's due
}

// timers is how many timers wait to be due: one a lead.
func (h herd) timers() int { return h.tenants * h.leads }

// flock is a herd in a cluster with two processes of the rules service, rules and rules-1.
type flock struct {
	herd
	t      *testing.T
	c      *cluster.Cluster
	owners []load.Tenant
	due    time.Time                            // a little before the first timer is due
	stored func(event.Recorded) ([]byte, error) // how the archive stores an event; nil: as it stands in the log
}

// play arms the timers of a herd, and lets things go wrong. The two steps may be nil: armed is taken once all timers are armed, due from a little
// before the first is due.
func (f *flock) play(ctx context.Context, armed, due func(context.Context, *flock)) {
	f.t.Helper()
	f.arm(ctx)
	if armed != nil {
		armed(ctx, f)
	}
	rest(ctx, time.Until(f.due))
	if due != nil {
		due(ctx, f)
	}
	f.supervise(ctx)
	f.ended(ctx)
	noError(f.t, f.c.WaitIdle(ctx, 3*time.Minute))
	f.check(ctx)
	f.reset(ctx)
}

// arm publishes the leads, and contacts some.
func (f *flock) arm(ctx context.Context) {
	f.t.Helper()
	f.owners = f.c.Tenants(f.t, "herd", f.herd.tenants, 0)
	for _, tenant := range f.owners {
		noError(f.t, f.c.PublishRules(ctx, tenant.ID, []ruleset.File{{Name: "chase.yaml", Text: fmt.Sprintf(chase, f.minutes)}}, 1))
	}
	noError(f.t, f.c.WaitIdle(ctx, time.Minute))
	f.due = time.Now().Add(time.Duration(f.minutes)*time.Minute - 5*time.Second)
	f.publish(ctx, "lead.created", 1)
	f.publish(ctx, "lead.contacted", f.contacted)
}

// publish publishes an event of a type about each step-th lead, a hundred a request, and waits until all is at rest.
func (f *flock) publish(ctx context.Context, typ string, step int) {
	f.t.Helper()
	for _, tenant := range f.owners {
		for at := 0; at < f.leads; at += 100 * step {
			publishAbout(f.t, f.c, tenant, typ, at, min(at+100*step, f.leads), step)
		}
	}
	noError(f.t, f.c.WaitIdle(ctx, 3*time.Minute))
}

// ended waits until no instance lives and no timer is left behind.
func (f *flock) ended(ctx context.Context) {
	f.t.Helper()
	noError(f.t, cluster.Eventually(ctx, 3*time.Minute, func(ctx context.Context) error {
		n, err := f.waiting(ctx)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d timers and instances wait", n)
		}
		return err
	}))
}

// waiting counts instances that live, and timers that they have left behind.
func (f *flock) waiting(ctx context.Context) (n int, err error) {
	err = f.c.Admin.QueryRow(ctx, `SELECT (SELECT count(*) FROM neuronx.workflow_instances WHERE ended IS NULL) +
		(SELECT count(*) FROM neuronx.timers t WHERE NOT EXISTS (SELECT FROM neuronx.workflow_instances i
			WHERE i.tenant_id = t.tenant_id AND i.id = t.instance AND i.ended IS NULL))`).Scan(&n)
	return n, err
}

// supervise starts again what has ended, and waits until all is ready.
func (f *flock) supervise(ctx context.Context) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, name := range f.c.Services() {
		p := f.c.Processes[name]
		if !p.Running() {
			noError(f.t, p.Start())
		}
		noError(f.t, p.Ready(ctx))
	}
}

// reset lets the rules derive everything again.
func (f *flock) reset(ctx context.Context) {
	f.t.Helper()
	reset, err := f.c.ResetGroup(ctx, kafka.GroupRules, func(ctx context.Context) error {
		out, stderr, code := f.c.CLI(ctx, "replay", "offsets", "--group", kafka.GroupRules, "--all-topics", "--to-earliest", "--execute")
		if code != 0 {
			return fmt.Errorf("replay offsets: exit %d\n%s%s", code, out, stderr)
		}
		return nil
	})
	noError(f.t, err)
	replays, err := reset.Done(ctx, 3*time.Minute)
	noError(f.t, err)
	examined := int64(0)
	for _, p := range replays {
		examined += p.Examined
		if p.Outcome != "done" || p.Differences != 0 {
			f.t.Errorf("the reset of %s: %s, %d differences of %d: %s", p.Tenant, p.Outcome, p.Differences, p.Examined, p.Detail)
		}
	}
	if f.t.Logf("the reset examined %d events", examined); examined == 0 {
		f.t.Error("the reset compared nothing")
	}
}

// check counts what the log says of instances, and what is left of their timers.
func (f *flock) check(ctx context.Context) {
	t, c, h := f.t, f.c, f.herd
	t.Helper()
	d, err := c.Dump(ctx)
	noError(t, err)
	if f.stored != nil {
		d.Stored = f.stored
	}
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
		if n.started == 1 && n.late+n.contacted == 1 && n.tagged == n.late && n.fired >= n.late && n.fired <= 1 {
			continue
		}
		if bad++; bad < 6 {
			t.Errorf("%s: %+v", id, *n)
		}
	}
	if all := h.timers(); len(instances) != all || bad > 0 || early > 0 || contacted != h.timers()/h.contacted {
		t.Errorf("%d instances, want %d; %d contacted; %d are not as they must be; %d firings before their due", len(instances), all, contacted, bad, early)
	}
	// A firing that comes after its instance was contacted is stale, and changes nothing.
	t.Logf("%d instances of %d tenants, %d contacted, %d firings", len(instances), h.tenants, contacted, fired)
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
