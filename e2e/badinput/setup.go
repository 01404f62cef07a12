package badinput

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/schemas"
)

// The type that hostile bodies are made for, and the subject of its schema.
const (
	Type    = "badinput.tagged"
	Subject = "neuronx.ingress-neuronx.badinput.v1.BadinputTagged"
)

//go:embed tagged.v1.avsc
var tagged []byte

// NewPlayer makes tenants, keys and schemas on a running cluster. The witness is a tenant of the victim's own partition, so that
// whatever holds that up holds the witness up.
func NewPlayer(ctx context.Context, c *cluster.Cluster) (p *Player, witness string, err error) {
	p = &Player{
		HTTPURL: c.HTTPURLs[0], Registry: c.RegistryURL, Keys: map[string]string{}, Kafka: c.Kafka, Signer: c.Keys, Command: c.Command,
		Dir: filepath.Join(c.Dir, "badinput"), Tape: NewTape(cluster.Partitions),
	}
	if _, err := c.Registry.Push(ctx, []schemas.File{{Path: "schemas/badinput/tagged.v1.avsc", Text: tagged}}, true); err != nil {
		return nil, "", fmt.Errorf("register %s: %w", Type, err)
	}
	p.Schemas = func(eventType string) (int32, error) {
		id, _, err := c.Registry.ByType(ctx, eventType)
		return id, err
	}
	home := kafka.PartitionFor([]byte(Victim), cluster.Partitions)
	for n := 0; ; n++ {
		if witness = fmt.Sprintf("witness-%d", n); kafka.PartitionFor([]byte(witness), cluster.Partitions) == home {
			break
		}
	}
	for _, t := range []string{Victim, "suspended", witness} {
		if _, err := c.Control.Publish(ctx, t, "tenant.created", "tenant/"+t, event.DerivedID(t, "created"), map[string]any{"name": t}); err != nil {
			return nil, "", err
		}
	}
	return p, witness, errors.Join(
		p.issue(ctx, c, "writer", Victim, nil, tenant.ScopeWrite, tenant.ScopeRead),
		p.issue(ctx, c, "reader", Victim, nil, tenant.ScopeRead),
		p.issue(ctx, c, "expired", Victim, time.Now().Add(-time.Minute).UTC().Truncate(time.Microsecond), tenant.ScopeWrite),
		p.issue(ctx, c, "revoked", Victim, nil, tenant.ScopeWrite),
		p.issue(ctx, c, "suspended", "suspended", nil, tenant.ScopeWrite),
		p.issue(ctx, c, "witness", witness, nil, tenant.ScopeWrite),
		p.forge(),
		p.end(ctx, c),
		p.openLandings(ctx, c),
	)
}

func (p *Player) issue(ctx context.Context, c *cluster.Cluster, name, id string, expires any, scopes ...any) error {
	key, err := tenant.NewKey(id)
	if err != nil {
		return err
	}
	p.Keys[name] = key.Reveal()
	_, err = c.Control.Publish(ctx, id, "tenant.key_issued", "tenant/"+id, "", map[string]any{"key_id": key.ID, "secret_sha256": key.HashHex(), "scopes": scopes, "expires_at": expires})
	return err
}

// forge makes a key with the writer's id and another secret.
func (p *Player) forge() error {
	other, err := tenant.NewKey(Victim)
	if err != nil {
		return err
	}
	at := strings.LastIndexByte(p.Keys["writer"], '_')
	secret := other.Reveal()
	p.Keys["forged"] = p.Keys["writer"][:at] + secret[strings.LastIndexByte(secret, '_'):]
	return nil
}

// end takes back what is to be refused.
func (p *Player) end(ctx context.Context, c *cluster.Cluster) error {
	key, err := tenant.ParseKey(p.Keys["revoked"])
	if err != nil {
		return err
	}
	_, err = c.Control.Publish(ctx, Victim, "tenant.key_revoked", "tenant/"+Victim, "", map[string]any{"key_id": key.ID, "reason": "test"})
	if err != nil {
		return err
	}
	_, err = c.Control.Publish(ctx, "suspended", "tenant.suspended", "tenant/suspended", "", map[string]any{"reason": "test"})
	return err
}

// Ready says whether neuronx-ingest knows by now which keys and tenants are to be refused, and which not.
func (p *Player) Ready(ctx context.Context) error {
	for key, want := range map[string]int{"suspended": http.StatusForbidden, "revoked": http.StatusUnauthorized, "reader": http.StatusForbidden, "writer": http.StatusUnsupportedMediaType} {
		status, answer, err := p.request(ctx, &HTTP{Key: key}, nil)
		if err != nil || status != want {
			return fmt.Errorf("the key %s gets %d %s, not %d: %w", key, status, answer, want, err)
		}
	}
	return p.landingsReady(ctx)
}
