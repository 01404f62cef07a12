package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/load"
)

// Attacker sends a tenant's events, hostile or not.
type Attacker struct {
	URL     string
	Tenant  load.Tenant
	History *checker.History
	sent    int
}

// Lead is a lead.created with fields besides its id.
func Lead(id string, fields map[string]any) Event {
	data := map[string]any{"lead_id": id}
	for k, v := range fields {
		data[k] = v
	}
	return Event{Type: "lead.created", Data: data}
}

// Send sends events one request each until each is decided: accepted, or refused for good. It returns how many were accepted, and what
// the last refusal said. A 429 or a 503 is tried again until ctx ends, which is an error.
func (a *Attacker) Send(ctx context.Context, events ...Event) (accepted int, refusal string, err error) {
	client := &http.Client{Timeout: 15 * time.Second}
	defer client.CloseIdleConnections()
	for _, e := range events {
		a.sent++
		e.SpecVersion, e.ID, e.Source = "1.0", fmt.Sprintf("a-%s-%05d", a.Tenant.ID, a.sent), "/e2e/attacker"
		status, answer, err := a.one(ctx, client, e)
		if err != nil {
			return accepted, refusal, err
		}
		if status == http.StatusAccepted {
			accepted++
		} else {
			refusal = fmt.Sprintf("%d %.300s", status, answer)
		}
	}
	return accepted, refusal, nil
}

func (a *Attacker) one(ctx context.Context, client *http.Client, e Event) (status int, answer string, err error) {
	body, err := json.Marshal(e)
	if err != nil {
		return 0, "", err
	}
	op := checker.Op{At: time.Now(), Client: "attacker", Tenant: a.Tenant.ID, ID: e.ID, Type: e.Type, Subject: e.Subject, Outcome: checker.Unknown}
	if err := a.History.Write(op); err != nil {
		return 0, "", err
	}
	for {
		op.Tries++
		status, answer = post(ctx, client, a.URL, a.Tenant.Key, "application/cloudevents+json", body)
		switch {
		case status == http.StatusAccepted:
			op.Outcome = checker.OK
		case status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
			op.Code = fmt.Sprint(status) // of several tries an earlier one may have come in
			if op.Tries == 1 {
				op.Outcome = checker.Fail
			}
		default:
			if ctx.Err() != nil {
				return 0, "", fmt.Errorf("the attacker's event is not decided: last %d %.200s: %w", status, answer, ctx.Err())
			}
			pause(ctx, 100*time.Millisecond)
			continue
		}
		return status, answer, a.History.Write(op)
	}
}

// Probe sends one small event and returns the status that it is answered with, 0 for no answer.
func (a *Attacker) Probe(ctx context.Context) (int, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	id := fmt.Sprintf("p-%s-%d", a.Tenant.ID, time.Now().UnixNano())
	body, err := json.Marshal(Event{SpecVersion: "1.0", ID: id, Source: "/e2e/attacker", Type: "activity.recorded", Data: map[string]any{"activity_id": id, "kind": "call"}})
	if err != nil {
		return 0, err
	}
	op := checker.Op{At: time.Now(), Client: "attacker", Tenant: a.Tenant.ID, ID: id, Type: "activity.recorded", Outcome: checker.Unknown, Tries: 1}
	if err := a.History.Write(op); err != nil {
		return 0, err
	}
	status, _ := post(ctx, client, a.URL, a.Tenant.Key, "application/cloudevents+json", body)
	if status == http.StatusAccepted {
		op.Outcome = checker.OK
	}
	return status, a.History.Write(op)
}
