package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// noteRule turns a note on a lead into a contact and a note in the CRM.
const noteRule = `apiVersion: neuronx/v1
kind: Rule
metadata:
  name: notes
spec:
  on: [activity.recorded]
  when: data.kind == "note"
  emit:
    - type: crm.contact.upsert.requested
      subject: '"lead/" + data.lead_id'
      data:
        lead_id: data.lead_id
        email: data.lead_id + "@example.com"
    - type: crm.note.add.requested
      subject: '"lead/" + data.lead_id'
      data:
        lead_id: data.lead_id
        body: data.note
`

// qualifyRule derives a fact from a fact, so that every tenant's stream has derived events.
const qualifyRule = `apiVersion: neuronx/v1
kind: Rule
metadata:
  name: qualify
spec:
  on: [lead.scored]
  when: data.score >= 50
  emit:
    - type: lead.qualified
      data:
        lead_id: data.lead_id
`

// tenant makes one tenant by events, as the CLI does.
func (c *Cluster) tenant(t testing.TB, ctx context.Context, id string, connected bool) load.Tenant {
	t.Helper()
	key, err := tenant.NewKey(id)
	must(t, err)
	publish := func(typ string, data map[string]any) {
		_, err := c.Control.Publish(ctx, id, typ, "tenant/"+id, event.DerivedID(id, "e2e", typ), data)
		must(t, err)
	}
	publish("tenant.created", map[string]any{"name": id})
	publish("tenant.key_issued", map[string]any{"key_id": key.ID, "secret_sha256": key.HashHex(), "scopes": []any{tenant.ScopeWrite, tenant.ScopeRead}})
	if connected {
		must(t, os.WriteFile(filepath.Join(c.Secrets, "crm-"+id+"@1"), []byte("standin-"+id), 0o600))
		publish("tenant.crm_connected", map[string]any{"adapter": "gohighlevel", "location": id, "token": "secret://crm-" + id + "@1", "mode": "send"})
	}
	files := []ruleset.File{{Name: "qualify.yaml", Text: qualifyRule}}
	if connected {
		files = append(files, ruleset.File{Name: "notes.yaml", Text: noteRule})
	}
	_, err = rules.Publish(ctx, c.Control, id, files, 0, "e2e")
	must(t, err)
	return load.Tenant{ID: id, Key: key.Reveal(), Commands: connected}
}
