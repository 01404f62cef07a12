//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// TestAccess_EveryServiceWorksUnderItsOwnRightsAndNoneWritesTheLog sends leads to the CRM, by HTTP and by a landing topic, through services
// that each have the user and the rights that access.yaml declares, and lets each do what it does less often.
func TestAccess_EveryServiceWorksUnderItsOwnRightsAndNoneWritesTheLog(t *testing.T) {
	cluster.Turn(t, cluster.Secured)
	ctx := context.Background()
	c := cluster.Start(t, cluster.Options{Ingests: 1, Secure: true})
	r := &round{t: t, c: c, patience: 3 * time.Minute, tenants: c.Tenants(t, "t", 1, 1)}
	tenant := r.tenants[0]
	cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		return postEvent(ctx, c.HTTPURLs[0], tenant.Key, `{"specversion":"1.0","id":"note-1","source":"/e2e","type":"activity.recorded","subject":"lead/1",
			"data":{"lead_id":"1","activity_id":"a1","kind":"note","note":"call back"}}`)
	}))
	r.seen(ctx, "the note's outcome", func(e *event.Recorded) bool { return e.Type == "crm.note.add.succeeded" }) // rules, adapter, and back
	calls, err := c.Calls(ctx)
	cluster.Must(t, err)
	if !slices.ContainsFunc(calls, func(call checker.Call) bool { return strings.HasSuffix(call.Path, "/notes") }) {
		t.Errorf("no note at the CRM: %+v", calls)
	}

	give := c.Command(ctx, "tenant", "kafka-access", tenant.ID, "--execute", "-o", "json")
	give.Env = append(give.Env, c.KafkaAdminEnv()...)
	text, err := give.Output()
	cluster.Must(t, err)
	var access struct{ Topic, Username, Password string }
	cluster.Must(t, json.Unmarshal(text, &access))
	as := func(user, password string) kafka.Config {
		return kafka.Config{Brokers: c.Kafka.Brokers, ClientID: "e2e-" + user, Security: app.KafkaSecurity{Username: user, Password: app.Secret(password)}}
	}
	id, schema, err := c.Registry.ByType(ctx, "lead.created")
	cluster.Must(t, err)
	body, err := schema.EncodeMap(map[string]any{"lead_id": "2"})
	cluster.Must(t, err)
	write := func(cfg kafka.Config, rec *kafka.Record) error {
		p, err := kafka.NewProducer(cfg, 0, nil)
		cluster.Must(t, err)
		defer p.Abort()
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return p.Produce(ctx, rec)
	}
	cluster.Must(t, write(as(access.Username, access.Password), &kafka.Record{Topic: access.Topic, Value: event.Frame(id, body)}))
	r.seen(ctx, "the landed lead", func(e *event.Recorded) bool { return e.Source == "/kafka/"+access.Topic })

	// The archiver sends what people decide, the projector reports a replay.
	cluster.Must(t, write(as(access.Username, access.Password), &kafka.Record{Topic: access.Topic, Value: []byte("spoilt")}))
	cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		out, stderr, code := c.CLI(ctx, "deadletter", "drop", "--tenant", tenant.ID, "--reason", "a test", "--execute")
		if code != 0 || !strings.Contains(out, "dropped") {
			return fmt.Errorf("exit %d: %s%s", code, out, stderr)
		}
		return nil
	}))
	r.seen(ctx, "the decision", func(e *event.Recorded) bool { return e.Type == "engine.dead_letter.dropped" })
	cluster.Must(t, c.Processes["projector"].Term())
	cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		if out, stderr, code := c.CLI(ctx, "replay", "offsets", "--group", kafka.GroupProjector, "--all-topics", "--to-earliest", "--execute"); code != 0 {
			return fmt.Errorf("exit %d: %s%s", code, out, stderr)
		}
		return nil
	}))
	cluster.Must(t, c.Processes["projector"].Start())
	cluster.Must(t, c.Processes["projector"].Ready(ctx))
	r.seen(ctx, "the replay's end", func(e *event.Recorded) bool { return e.Type == "engine.replay.completed" })
	r.waitIdle(ctx)

	for _, user := range []string{"neuronx_rules", "neuronx_projector", "neuronx_archiver", "neuronx_gohighlevel", "neuronx_ops"} {
		secret, err := os.ReadFile(filepath.Join(c.Dir, user+".kafka-password"))
		cluster.Must(t, err)
		for _, topic := range []string{kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicState, kafka.TopicReceipts, access.Topic} {
			if err := write(as(user, strings.TrimSpace(string(secret))), &kafka.Record{Topic: topic, Value: []byte("x")}); !errors.Is(err, kerr.TopicAuthorizationFailed) {
				t.Errorf("%s writes %s: %v", user, topic, err)
			}
		}
	}
	for _, name := range c.Services() {
		for line := range strings.Lines(c.Processes[name].Tail(1 << 20)) {
			if strings.Contains(line, "AUTHORIZATION_FAILED") {
				t.Errorf("%s lacks a right: %s", name, line)
				break
			}
		}
	}
}

// seen waits for an event in the log.
func (r *round) seen(ctx context.Context, what string, is func(*event.Recorded) bool) {
	r.t.Helper()
	if err := cluster.Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		log, err := r.c.Log(ctx)
		if err != nil {
			return err
		}
		for i := range log {
			if is(&log[i]) {
				return nil
			}
		}
		return fmt.Errorf("%d events", len(log))
	}); err != nil {
		for _, name := range r.c.Services() {
			for line := range strings.Lines(r.c.Processes[name].Tail(1 << 20)) {
				if strings.Contains(line, "AUTHORIZATION_FAILED") {
					r.t.Logf("%s lacks a right: %s", name, line)
					break
				}
			}
		}
		r.t.Fatalf("%s: %v", what, err)
	}
}
