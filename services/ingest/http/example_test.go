package httpin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/tenant"
	httpin "github.com/neuronx/engine/services/ingest/http"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// kept is a producer that keeps one record and acknowledges it.
type kept struct{ rec *kafka.Record }

func (k *kept) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) {
	k.rec = rec
	go done(rec, nil)
}

// directory is one tenant with one API key.
type directory struct{ snapshot tenant.Snapshot }

func (d directory) Load(context.Context) (tenant.Snapshot, error) { return d.snapshot, nil }

// Publish an event over HTTP. 202 means that Kafka has acknowledged it.
func ExampleServer() {
	key, err := tenant.NewKey("acme")
	if err != nil {
		fmt.Println(err)
		return
	}
	stored := tenant.StoredKey{Tenant: "acme", ID: key.ID, Hash: key.Hash(), Scopes: []string{tenant.ScopeWrite}}
	log := slog.New(slog.DiscardHandler)
	tenants := tenant.NewDirectory(directory{tenant.Snapshot{"acme": {Tenant: "acme", Status: tenant.StatusActive,
		Keys: map[string]tenant.StoredKey{key.ID: stored}}}}, log, nil)
	if err := tenants.Refresh(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	schemas, err := ruleset.Embedded() // in a process it is pkg/kafka/registry's client
	if err != nil {
		fmt.Println(err)
		return
	}
	var kafka kept
	server := httpin.New(httpin.Config{Producer: &kafka, Auth: tenants, Schemas: schemas.(httpin.Catalogue), Keys: event.NewKeyring(), Log: log, Reg: prometheus.NewRegistry()})

	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(`{"lead_id": "42", "email": "ada@example.com"}`))
	for name, value := range map[string]string{"Authorization": "Bearer " + key.Reveal(), "Content-Type": "application/json", "ce-specversion": "1.0",
		"ce-type": "lead.created", "ce-source": "/my/form", "ce-id": "lead-42", "ce-subject": "lead/42"} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	fmt.Println(kafka.rec.Topic, string(kafka.rec.Key))
	// Output:
	// 202 {"id":"lead-42","status":"accepted"}
	//
	// neuronx.ingress acme
}
