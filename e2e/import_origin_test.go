//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/importer"
)

// Rules that answer imports, and so put two hops between an imported lead and the rules that message people: the demo's qualify answers
// lead.scored, tell answers lead.qualified.
var importRules = []string{`
apiVersion: neuronx/v1
kind: Rule
metadata: {name: score-import}
spec:
  on: [lead.created]
  origins: [import]
  emit:
    - type: lead.scored
      data: {lead_id: data.lead_id, score: "90", reason: '"imported"'}
`, `
apiVersion: neuronx/v1
kind: Rule
metadata: {name: qualify-import}
spec:
  on: [lead.scored]
  origins: [import]
  when: data.lead_id.startsWith("00")
  emit:
    - type: lead.qualified
      data: {lead_id: data.lead_id, reason: '"imported"'}
`, `
apiVersion: neuronx/v1
kind: Rule
metadata: {name: tell}
spec:
  on: [lead.qualified]
  emit:
    - type: crm.note.add.requested
      data: {lead_id: data.lead_id, body: '"Call this lead"', not_after: event.recorded_time + duration("24h")}
`}

func TestImport_ContactsNobodyHopAfterHopAndALiveLeadHasAllItsEffectsOnKfake(t *testing.T) {
	cluster.Turn(t, cluster.Any)
	proveImportContactsNobody(t, cluster.Dev(t, time.Now))
}

func TestImport_ContactsNobodyHopAfterHopAndALiveLeadHasAllItsEffectsOnRealKafka(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	proveImportContactsNobody(t, cluster.Start(t, cluster.Options{Broker: broker}))
}

// proveImportContactsNobody imports leads into a tenant with a CRM and rules of its own that derive from imports. What they derive is of
// the import, too, so that no rule for what happens now answers it.
func proveImportContactsNobody(t *testing.T, c *cluster.Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir := olistDir(t)
	key := olistTenant(t, ctx, c, importRules...)
	expect(t, "the import", runImport(t, ctx, c, dir, key), importedOnce(admittedAll()))
	noError(t, c.WaitIdle(ctx, 2*time.Minute))

	qualified := 0
	for _, r := range readCSV(t, filepath.Join(dir, leadsFile)) {
		if strings.HasPrefix(r["mql_id"], "00") {
			qualified++
		}
	}
	if qualified == 0 {
		t.Fatal("no lead reaches the second hop")
	}
	log, err := c.Log(ctx)
	noError(t, err)
	derived := map[string]int{}
	for i := range log {
		r := &log[i]
		if r.TenantID != "olist" || !r.Derived() {
			continue
		}
		derived[fmt.Sprintf("%s %s %s", r.Deriver, r.Type, r.Origin)]++
		if r.Origin != event.OriginImport {
			t.Errorf("%s derived %s of origin %q from an import", r.Deriver, r.Type, r.Origin)
			break
		}
	}
	scored, second := 0, 0
	for what, n := range derived {
		switch {
		case strings.Contains(what, " lead.scored "):
			scored += n
		case strings.Contains(what, " lead.qualified "):
			second += n
		default:
			t.Errorf("%d of %s are derived from an import", n, what)
		}
	}
	if scored != olistLeads || second != qualified {
		t.Errorf("derived are %v, want %d scores and %d qualifications", derived, olistLeads, qualified)
	}
	if n, err := c.Requests(ctx); err != nil || n != 0 {
		t.Fatalf("the CRM has seen %d requests (%v), an import triggers none", n, err)
	}
	if effects := lines(t, ctx, c, `SELECT r::text FROM neuronx.effects r WHERE tenant_id = $1`, "olist"); len(effects) > 0 {
		t.Fatalf("%d effects are planned, such as %s", len(effects), effects[0])
	}

	sendEvents(t, ctx, c, key, []importer.Event{{SpecVersion: "1.0", ID: "live-1", Source: "/form", Type: "lead.created", Subject: "lead/live-1",
		Data: map[string]any{"lead_id": "live-1", "email": "live-1@example.com", "phone": "+15550100123", "channel": "referral", "source": "form"}}})
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { return hasAllEffects(ctx, c) }))
}

// hasAllEffects is nil once the live lead, and it alone, is a contact with its tag and the notes of both rules.
func hasAllEffects(ctx context.Context, c *cluster.Cluster) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.CRMURL+"/_standin/contacts?location=olist", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Contacts []struct {
			Fields map[string]any `json:"fields"`
			Tags   []string       `json:"tags"`
			Notes  []struct {
				Body string `json:"body"`
			} `json:"notes"`
		} `json:"contacts"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if len(answer.Contacts) != 1 {
		return fmt.Errorf("the CRM has %d contacts, want the live lead alone", len(answer.Contacts))
	}
	contact := answer.Contacts[0]
	var notes []string
	for _, n := range contact.Notes {
		notes = append(notes, n.Body)
	}
	slices.Sort(notes)
	if contact.Fields["email"] != "live-1@example.com" || !slices.Equal(contact.Tags, []string{"qualified"}) || len(notes) != 2 ||
		!strings.HasPrefix(notes[0], "Call this lead") || !strings.HasPrefix(notes[1], "Qualified with a score of") {
		return fmt.Errorf("the live lead's contact is %+v", contact)
	}
	return nil
}
