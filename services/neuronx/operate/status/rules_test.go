package status

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestRules_NamesTheTenantWhoseRulesAreCutOrOff(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	ops := db.Pool(t, postgres.RoleOps)
	if got, err := Rules(t.Context(), ops); err != nil || len(got) != 0 {
		t.Fatalf("nobody's rules are in trouble: %+v %v", got, err)
	}
	if _, err := db.Pool(t, "").Exec(t.Context(), `
		INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at) VALUES
			('dear', 3, 'e', 1, 'h', 1, '[]', 'x', now() - interval '1 hour'), ('mended', 9, 'e', 2, 'h', 1, '[]', 'x', now());
		INSERT INTO neuronx.rule_health (tenant_id, rule, failures, tripped, tripped_at, reset_at, over_budget, last_budget, updated_at) VALUES
			('dear', 'a', 0, '', 0, 0, 2, 'rule_cost', now()), ('dear', 'b', 0, '', 0, 0, 7, 'event_cost', now()), ('dear', 'fine', 1, '', 0, 0, 0, '', now()),
			('mended', 'a', 0, '', 0, 0, 5, 'rule_cost', now() - interval '1 minute'),
			('off', 'c', 0, '', 0, 0, 9, 'rule_cost', now()), ('off', 'd', 5, 'failures', 4, 0, 0, '', now() - interval '1 day')`); err != nil {
		t.Fatal(err)
	}
	got, err := Rules(t.Context(), ops)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	for i, want := range []string{"b of dear: cut on 7 events, last by its event_cost; neuronx rules publish <cheaper rules> --tenant dear; 1 other rule off, cut or failing: neuronx rules health --tenant dear",
		"d of off: off: failures; neuronx rules reset d --tenant off; 1 other rule off, cut or failing: neuronx rules health --tenant off"} {
		if r := got[i]; r.Rule+" of "+r.Tenant+": "+r.What()+"; "+r.Next()+r.Further("; ") != want {
			t.Errorf("%+v does not say %q", r, want)
		}
	}
	if got[0].Others != 1 || got[1].Others != 1 {
		t.Errorf("%+v", got)
	}
}

func TestRules_SaysNothingOfRulesThatAreNoLongerInForceThoughEventsOfBeforeCutThemAfterThePublication(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	if _, err := db.Pool(t, "").Exec(t.Context(), `
		INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at)
			SELECT t, 310, 'e', 5, 'h', 4, '[]', 'x', now() - interval '1 minute' FROM unnest('{removed,cut,values,rerun}'::text[]) t;
		INSERT INTO neuronx.rule_health (tenant_id, rule, over_budget, last_budget, by_data, last_data, last_sequence, updated_at) VALUES
			('removed', 'fat', 150, 'rule_cost', 0, '', 309, now()), ('removed', 'odd', 0, '', 3, 'null', 308, now()),
			('cut', 'a', 2, 'rule_cost', 0, '', 311, now()), ('values', 'a', 0, '', 3, 'null', 312, now()),
			('rerun', 'a', 1, 'rule_cost', 0, '', 20, now()), ('rerun', 'b', 1, 'rule_cost', 0, '', 20, now());
		INSERT INTO neuronx.rule_reruns (tenant_id, sequence, rule, ran, fired, failed, derived) VALUES
			('rerun', 320, 'a', 1, 0, 1, 0), ('rerun', 300, 'b', 1, 0, 1, 0), ('rerun', 321, 'b', 1, 1, 0, 1)`); err != nil {
		t.Fatal(err)
	}
	got, err := Rules(t.Context(), db.Pool(t, postgres.RoleOps))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, r := range got {
		told = append(told, r.Rule+" of "+r.Tenant)
		if r.Others != 0 {
			t.Errorf("%+v: its other rule is told, too", r)
		}
	}
	if want := "a of cut, a of rerun, a of values"; strings.Join(told, ", ") != want {
		t.Errorf("told are %v, want %s", told, want)
	}
}
