//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// echoRule answers each update of a lead with a change that the CRM answers with an update, as its webhooks do.
const echoRule = `apiVersion: neuronx/v1
kind: Rule
metadata:
  name: echo
spec:
  on: [lead.updated]
  emit:
    - type: lead.contacted
      data: {lead_id: data.lead_id}
`

// loudest is how many facts about one subject are heard in this test.
const loudest = 40

// A loop through a CRM: each fact from outside triggers a rule, and what it derives makes the CRM send another fact. No hop is
// counted, because each fact is new. It ends by the rate of its subject; every fact stays.
func TestStorm_ALoopThroughTheCRMEndsAndItsFactsStay(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	l := &loop{t: t, c: cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})}
	ingest := l.c.Processes["ingest-0"]
	noError(t, ingest.Term())
	ingest.With("--storm-facts", fmt.Sprint(loudest))
	noError(t, ingest.Start())
	noError(t, ingest.Ready(ctx))
	l.tenant = l.c.Tenants(t, "storm", 1, 0)[0]
	dir := filepath.Join(l.c.Dir, "rules")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "echo.yaml"), []byte(echoRule), 0o600); err != nil {
		t.Fatal(err)
	}
	l.cli("rules", "publish", dir, "--tenant", l.tenant.ID, "--execute")

	watching, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan int, 1)
	go func() { sent <- l.webhooks(watching) }()
	l.publish("lead.updated", "lead/loud", `{"lead_id":"loud"}`)
	l.wait(ctx, "the loop to be cut", func(w tally) bool { return w.derived["lead.contacted"] >= loudest })
	for i := range 5 { // the subject is still loud
		l.publish("lead.updated", "lead/loud", fmt.Sprintf(`{"lead_id":"loud","campaign":"%d"}`, i))
	}
	l.publish("lead.updated", "lead/other", `{"lead_id":"other"}`)
	l.wait(ctx, "another subject to be answered", func(w tally) bool { return w.derived["lead.contacted"] >= loudest+1 })
	if err := l.c.WaitIdle(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	stop()
	answered := <-sent

	log, err := l.c.Log(ctx)
	if err != nil {
		t.Fatal(err)
	}
	facts, quiet := 0, 0
	for i := range log {
		if e := &log[i]; e.Type == "lead.updated" && e.Subject == "lead/loud" {
			facts++
			if e.Quiet == event.QuietStorm {
				quiet++
			}
		}
	}
	w := l.look(ctx)
	t.Logf("%d facts about the loud lead, %d of them quiet, %d answered by the CRM; derived %v", facts, quiet, answered, w.derived)
	if want := answered + 1 + 5; facts < want || facts-quiet != loudest {
		t.Errorf("%d facts are in the log, %d of them quiet: want %d or more facts, and all but %d quiet", facts, quiet, want, loudest)
	}
	if n := w.derived["lead.contacted"]; n != loudest+1 {
		t.Errorf("%d answers of the rule, want %d", n, loudest+1)
	}
	if len(w.storms) != 0 {
		t.Errorf("%d dead letters: facts are never thrown away", len(w.storms))
	}
	d, err := l.c.Dump(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}

// webhooks plays the CRM: for each change of the loud lead that it is told, it sends a fact of its own. It returns how many.
func (l *loop) webhooks(ctx context.Context) int {
	n := 0
	_ = read.Follow(ctx, l.c.Kafka, kafka.TopicEvents, true, func(rec *kafka.Record) error {
		e, err := kafka.ParseRecorded(rec)
		if err != nil || e.Type != "lead.contacted" || e.Subject != "lead/loud" {
			return err
		}
		body := fmt.Sprintf(`{"specversion":"1.0","id":"hook-%s","source":"/crm","type":"lead.updated","subject":"lead/loud","data":{"lead_id":"loud"}}`, e.ID)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.c.HTTPURLs[0]+"/v1/events", bytes.NewReader([]byte(body)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/cloudevents+json")
		req.Header.Set("Authorization", "Bearer "+l.tenant.Key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			return fmt.Errorf("the HTTP endpoint answers %s", res.Status)
		}
		n++
		return nil
	})
	return n
}
