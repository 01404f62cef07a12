//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/hostile"
	"github.com/neuronx/engine/e2e/load"
)

// appliedWithin is how long a key's revocation or a tenant's suspension may take to be obeyed: the HTTP role forgets a key within 10 s.
const appliedWithin = 15 * time.Second

// longID sends identifiers that are larger than a row of an index may be. Refused or not, nothing of the tenant stops.
func (s *struck) longID() {
	long := hostile.Noise(2700)
	s.send(
		hostile.Lead(long, nil),
		hostile.Event{Type: "opportunity.created", Data: map[string]any{"opportunity_id": long, "lead_id": long}},
		hostile.Event{Type: "activity.recorded", Data: map[string]any{"activity_id": long, "lead_id": long, "kind": "note", "note": "n"}},
	)
	s.obeyed()
	s.ended()
}

// brokenModel makes the tenant's rows of one read model fail. What the engine itself goes by must not wait for it.
func (s *struck) brokenModel() {
	const broken = `CREATE OR REPLACE FUNCTION projection.refuse_hostile() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'value too large for a test' USING ERRCODE = 'program_limit_exceeded'; END $$;
		CREATE TRIGGER refuse_hostile BEFORE INSERT OR UPDATE ON projection.leads FOR EACH ROW WHEN (NEW.tenant_id = '%s') EXECUTE FUNCTION projection.refuse_hostile()`
	_, err := s.c.Admin.Exec(s.ctx, fmt.Sprintf(broken, s.Tenant.ID))
	noError(s.t, err)
	heal := func() {
		_, err := s.c.Admin.Exec(s.ctx, `DROP TRIGGER IF EXISTS refuse_hostile ON projection.leads`)
		noError(s.t, err)
	}
	defer heal()
	if s.send(hostile.Lead("refused-by-the-table", nil)) != 1 {
		s.t.Error("an ordinary lead is refused")
	}
	s.named()
	s.obeyed()
	heal()
	s.ended()
}

// obeyed sees that a key's revocation, a tenant's suspension and its resumption take effect.
func (s *struck) obeyed() {
	s.t.Helper()
	out, errs, code := s.cli("key", "issue", "--tenant", s.Tenant.ID, "-q", "--execute", "--timeout", "15s")
	if code != 0 {
		s.t.Errorf("key issue: exit %d\n%s", code, errs)
		return
	}
	leaked := load.Tenant{ID: s.Tenant.ID, Key: strings.TrimSpace(out)}
	if err := s.answers(leaked, http.StatusAccepted, appliedWithin); err != nil {
		s.t.Errorf("a new key does not work: %v", err)
	}
	list, errs, code := s.cli("key", "list", "--tenant", s.Tenant.ID, "-o", "json")
	var keys []struct {
		ID string `json:"key_id"`
	}
	if err := json.Unmarshal([]byte(list), &keys); err != nil || code != 0 {
		s.t.Errorf("key list: exit %d, %v\n%s%s", code, err, list, errs)
	}
	revoked := 0
	for _, k := range keys {
		if !strings.Contains(leaked.Key, k.ID) {
			continue
		}
		revoked++
		if _, errs, code := s.cli("key", "revoke", k.ID, "--tenant", s.Tenant.ID, "--reason", "leaked", "--execute", "--timeout", "15s"); code != 0 {
			s.t.Errorf("key revoke: exit %d\n%s", code, errs)
		}
	}
	if revoked != 1 {
		s.t.Errorf("%d keys of the list are the one that was issued: %s", revoked, list)
	}
	if err := s.answers(leaked, http.StatusUnauthorized, appliedWithin); err != nil {
		s.t.Errorf("a revoked key still works: %v", err)
	}
	for _, act := range []struct {
		verb   string
		status int
	}{{"suspend", http.StatusForbidden}, {"resume", http.StatusAccepted}} {
		out, errs, code := s.cli("tenant", act.verb, s.Tenant.ID, "--reason", "hostile", "--execute", "--timeout", "15s")
		if code != 0 || strings.Contains(out+errs, "already") {
			s.t.Errorf("tenant %s: exit %d\n%s%s", act.verb, code, out, errs)
		}
		if err := s.answers(s.Tenant, act.status, appliedWithin); err != nil {
			s.t.Errorf("after tenant %s the tenant's key is not answered with %d: %v", act.verb, act.status, err)
		}
	}
}

// answers asks the HTTP role as a key's owner until it answers with a status.
func (s *struck) answers(as load.Tenant, status int, limit time.Duration) error {
	probe := &hostile.Attacker{URL: s.URL, Tenant: as, History: s.record}
	began := time.Now()
	err := cluster.Eventually(s.ctx, limit, func(ctx context.Context) error {
		got, err := probe.Probe(ctx)
		if err == nil && got != status {
			err = fmt.Errorf("it answers %d", got)
		}
		return err
	})
	if err == nil {
		s.t.Logf("%d after %s", status, time.Since(began).Truncate(time.Millisecond))
	}
	return err
}
