package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/demo"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// prepareDemo makes the demo tenant, its key, its CRM connection and its rules, each by the event that anybody would make it with.
// What is there already stays: every event has an id that a second start repeats, and the log is asked first.
func (e *engine) prepareDemo(ctx context.Context, ops *pgxpool.Pool, client *registry.Client) error {
	key, err := e.demoAPIKey()
	if err != nil {
		return err
	}
	e.demoKey = key.Reveal()
	if err := os.MkdirAll(e.folder.path("secrets"), 0o700); err != nil {
		return err
	}
	producer, err := kafka.NewProducer(e.kafkaConfig("dev"), 0, nil)
	if err != nil {
		return err
	}
	defer producer.Close()
	pub := control.New(producer, e.keys, client)
	steps := []struct {
		typ, subject, asks string
		data               map[string]any
	}{
		{"tenant.created", "tenant/" + demo.Tenant, `SELECT EXISTS (SELECT FROM neuronx.tenants WHERE tenant_id = $1)`, map[string]any{"name": "Demo"}},
		{"tenant.key_issued", "tenant/" + demo.Tenant, `SELECT EXISTS (SELECT FROM neuronx.api_keys WHERE tenant_id = $1 AND key_id = '` + key.ID + `')`,
			map[string]any{"key_id": key.ID, "secret_sha256": key.HashHex(), "scopes": []any{tenant.ScopeWrite}, "label": "made by neuronx dev"}},
	}
	for _, s := range steps {
		id := event.DerivedID(demo.Tenant, "dev", s.typ, key.ID)
		err := ensure(ctx, ops, s.asks, func() error {
			_, err := pub.Publish(ctx, demo.Tenant, s.typ, s.subject, id, s.data)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.typ, err)
		}
	}
	err = ensure(ctx, ops, `SELECT EXISTS (SELECT FROM neuronx.tenants WHERE tenant_id = $1 AND crm_adapter IS NOT NULL)`, func() error { return e.consent(ctx, ops) })
	if err != nil {
		return fmt.Errorf("connect the demo to the stand-in CRM: %w", err)
	}
	files, err := demo.Rules()
	if err != nil {
		return err
	}
	var bundle []ruleset.File
	for name, text := range files {
		if f := (ruleset.File{Name: name, Text: text}); !ruleset.IsTest(f) {
			bundle = append(bundle, f)
		}
	}
	err = ensure(ctx, ops, `SELECT EXISTS (SELECT FROM neuronx.rule_bundles WHERE tenant_id = $1)`, func() error {
		_, err := rules.Publish(ctx, pub, demo.Tenant, bundle, 0, "neuronx dev")
		return err
	})
	if err != nil {
		return fmt.Errorf("rules.published: %w", err)
	}
	return wait(ctx, "the HTTP endpoint", 30*time.Second, func() error { return answers(ctx, e.http+"/openapi.json") })
}

// consent connects the demo tenant to its location as a person does: it opens the address that `neuronx crm connect demo --oauth` shows, chooses
// the location on the stand-in's page, and is sent back.
func (e *engine) consent(ctx context.Context, ops *pgxpool.Pool) error {
	ticket, err := grants.NewTicket(ctx, ops, grants.Ticket{Adapter: gohighlevel.Name, Tenant: demo.Tenant, Mode: "send", By: "neuronx dev"})
	if err != nil {
		return err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if q := r.URL.Query(); strings.HasPrefix(r.URL.String(), e.crmURL+"/") {
			q.Set("location", demo.Tenant)
			r.URL.RawQuery = q.Encode()
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.publicURL+grants.Path(gohighlevel.Name)+"/start?ticket="+ticket.Reveal(), nil)
	if err != nil {
		return err
	}
	resp, err := browser.Do(req)
	if err != nil {
		return errors.New("the pages of consent can't be reached") // the error has the ticket in it
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("consent: %d %s", resp.StatusCode, text)
	}
	return nil
}

// demoAPIKey returns the demo tenant's key, made at the first start.
func (e *engine) demoAPIKey() (tenant.Key, error) {
	text, err := e.folder.secret("demo.key", func() (string, error) {
		k, err := tenant.NewKey(demo.Tenant)
		if err != nil {
			return "", err
		}
		return k.Reveal(), nil
	})
	if err != nil {
		return tenant.Key{}, err
	}
	return tenant.ParseKey(text)
}

// ensure does something whose effect is asked for, unless it is there already, and waits for it.
func ensure(ctx context.Context, ops *pgxpool.Pool, asks string, do func() error) error {
	there := func() error {
		var ok bool
		if err := ops.QueryRow(ctx, asks, demo.Tenant).Scan(&ok); err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("not there yet")
		}
		return nil
	}
	if there() == nil {
		return nil
	}
	if err := do(); err != nil {
		return err
	}
	return wait(ctx, "its effect", 30*time.Second, there)
}
