//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// refused is a tenant whose events are refused, straight from Kafka as a foreign producer sends them.
type refused struct {
	t        *testing.T
	c        *cluster.Cluster
	tenant   load.Tenant
	producer *kafka.Producer
}

func (r *refused) send(tenant, id, typ string, data map[string]any, spoil bool) {
	r.t.Helper()
	ctx := context.Background()
	schemaID, schema, err := r.c.Registry.ByType(ctx, typ)
	noError(r.t, err)
	body, err := schema.EncodeMap(data)
	noError(r.t, err)
	if spoil {
		body = append(body, 0)
	}
	e := event.Event{TenantID: tenant, ID: id, Source: "/crm", Type: typ, Subject: fmt.Sprint("lead/", data["lead_id"]), Time: time.Now().UTC().Truncate(time.Microsecond), Value: event.Frame(schemaID, body)}
	noError(r.t, r.producer.Produce(ctx, kafka.ToRecord(kafka.TopicIngress, &e)))
}

type letterOf struct{ Ref, Reason, State, Event_id, Next_ref string } //nolint:revive // as the program names them

// letters asks the operators' program, until want of them are in a state.
func (r *refused) letters(state string, want int) map[string]letterOf {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; rest(context.Background(), 200*time.Millisecond) {
		out, stderr, code := r.c.CLI(context.Background(), "deadletter", "list", "--state", state, "-o", "json")
		var rows []letterOf
		if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 {
			r.t.Fatalf("deadletter list: exit %d, %v\n%s%s", code, err, out, stderr)
		}
		if len(rows) == want || time.Now().After(end) {
			if len(rows) != want {
				r.t.Fatalf("%d dead letters are %s, want %d: %+v", len(rows), state, want, rows)
			}
			by := map[string]letterOf{}
			for _, l := range rows {
				by[l.Event_id] = l
			}
			return by
		}
	}
}

// run runs the operators' program and wants an exit code and a word in what it says.
func (r *refused) run(code int, says string, args ...string) string {
	r.t.Helper()
	out, stderr, got := r.c.CLI(context.Background(), append([]string{"deadletter"}, args...)...)
	if got != code || !strings.Contains(out+stderr, says) {
		r.t.Errorf("neuronx deadletter %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, says, out, stderr)
	}
	return out
}

func TestDeadLetters_AreRetriedEditedAndDroppedOnceEach(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	r := &refused{t: t, c: cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})}
	r.tenant = r.c.Tenants(t, "dead", 1, 0)[0]
	var err error
	r.producer, err = kafka.NewProducer(r.c.Kafka, 0, nil)
	noError(t, err)
	defer r.producer.Close()
	id := r.tenant.ID
	status := func(typ string) {
		_, err := r.c.Control.Publish(ctx, id, typ, "tenant/"+id, "", map[string]any{})
		noError(t, err)
	}

	status("tenant.suspended")
	noError(t, r.c.WaitIdle(ctx, time.Minute))
	for i := range 3 {
		r.send(id, fmt.Sprint("closed-", i), "lead.scored", map[string]any{"lead_id": fmt.Sprint("l", i), "score": 80}, false)
	}
	r.send(id, "spoilt", "lead.created", map[string]any{"lead_id": "9"}, true)
	r.send("ghost", "nobody", "lead.created", map[string]any{"lead_id": "9"}, false)
	open := r.letters("open", 5)
	if counts := r.run(0, "tenant_suspended", "list", "--by", "reason"); !strings.Contains(counts, "unknown_tenant") {
		t.Errorf("counts:\n%s", counts)
	}
	r.run(0, `"lead_id": "l0"`, "show", open["closed-0"].Ref)
	r.run(0, `"value_hex"`, "show", open["spoilt"].Ref)

	// A suspended tenant stays closed, and a letter whose retry was refused goes on as another.
	r.run(1, "refused_again", "retry", open["closed-2"].Ref, "--execute")
	r.run(1, "already_retried", "retry", open["closed-2"].Ref, "--execute")
	again := r.letters("refused_again", 1)["closed-2"].Next_ref
	status("tenant.resumed")
	noError(t, r.c.WaitIdle(ctx, time.Minute))

	// A dry run changes nothing.
	r.run(0, "would_retry", "retry", open["closed-0"].Ref)
	r.letters("open", 5)
	r.run(0, "resolved", "retry", open["closed-0"].Ref, "--by", "ada", "--reason", "resumed", "--execute")
	r.run(0, "resolved", "retry", open["closed-1"].Ref, again, "--as", "live", "--execute")
	r.run(1, "already_retried", "retry", open["closed-0"].Ref, "--execute")
	r.run(1, "does not fit", "edit", open["spoilt"].Ref, "--data", `{"lead_id":9}`, "--execute")
	r.run(0, "resolved", "edit", open["spoilt"].Ref, "--data", `{"lead_id":"9","email":"ada@example.com"}`, "--execute")
	r.run(1, "unknown_tenant", "retry", open["nobody"].Ref, "--execute")
	r.run(2, "--reason is required", "drop", open["nobody"].Ref, "--execute")
	r.run(0, "dropped", "drop", open["nobody"].Ref, "--reason", "a scanner", "--execute")
	r.letters("open", 0)
	r.run(2, "one or the other", "retry", open["nobody"].Ref, "--tenant", id)

	// The producer repeats what was refused: that is a duplicate of what was sent again.
	r.send(id, "closed-0", "lead.scored", map[string]any{"lead_id": "l0", "score": 80}, false)
	noError(t, r.c.WaitIdle(ctx, time.Minute))

	log, err := r.c.Log(ctx)
	noError(t, err)
	var told []string
	origins, qualified := map[string]event.Origin{}, 0
	for i := range log {
		e := &log[i]
		switch {
		case strings.HasPrefix(e.Type, "engine.dead_letter."):
			told = append(told, strings.TrimPrefix(e.Type, "engine.dead_letter."))
			if strings.Contains(string(e.Value), "ada@example.com") {
				t.Error("the stream tells a personal value")
			}
		case e.Deriver == "deadletter":
			origins[e.CausationID] = e.Origin
		case e.Type == "lead.qualified":
			qualified++
		case e.TenantID == id && e.Type == "lead.scored":
			t.Errorf("%s is in the log, as is its redrive", e.ID)
		}
	}
	slices.Sort(told)
	if want := []string{"edited", "retried", "retried", "retried", "retried", "retried"}; !slices.Equal(told, want) {
		t.Errorf("the stream tells %v, want %v", told, want)
	}
	want := map[string]event.Origin{"closed-0": event.OriginRedrive, "closed-1": event.OriginLive, "closed-2": event.OriginLive, "spoilt": event.OriginRedrive}
	for cause, origin := range want {
		if origins[cause] != origin {
			t.Errorf("%s was sent again as %q, want %q", cause, origins[cause], origin)
		}
	}
	if len(origins) != len(want) || qualified != 2 {
		t.Errorf("%d events were sent again, %d were answered: want %d, and the two live ones", len(origins), qualified, len(want))
	}

	// The archiver's reset changes nothing: states are a fold of the log.
	before := r.letters("all", 6)
	reset, err := r.c.ResetGroup(ctx, kafka.GroupArchiver, func(ctx context.Context) error {
		_, stderr, code := r.c.CLI(ctx, "replay", "offsets", "--group", kafka.GroupArchiver, "--all-topics", "--to-earliest", "--execute")
		if code != 0 {
			return fmt.Errorf("replay offsets: %s", stderr)
		}
		return nil
	})
	noError(t, err)
	_, err = reset.Done(ctx, time.Minute)
	noError(t, err)
	noError(t, r.c.WaitIdle(ctx, time.Minute))
	for ref, l := range r.letters("all", 6) {
		if before[ref] != l {
			t.Errorf("after a reset %+v, before %+v", l, before[ref])
		}
	}
	d, err := r.c.Dump(ctx)
	noError(t, err)
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}
