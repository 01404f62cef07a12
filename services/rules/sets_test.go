package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// manyRules are n rules with one expression each; no two names give the same.
func manyRules(name string, n int) []ruleset.File {
	files := make([]ruleset.File, n)
	for i := range files {
		files[i] = ruleFile(fmt.Sprint(name, "-", i), "on: [lead.created]\nset: {x: '1'}")
	}
	return files
}

func (b *bench) compiledNow(h *handler, tenants ...string) (names []string) {
	b.Helper()
	err := pgx.BeginFunc(b.Context(), b.pool, func(tx pgx.Tx) error {
		before := map[string]int64{}
		for _, t := range tenants {
			before[t] = 1_000
		}
		bundles, err := h.loadBundles(b.Context(), tx, before)
		for _, t := range tenants {
			if bundle := bundles[t]; bundle == nil || bundle.Set == nil {
				b.Errorf("%s has no bundle", t)
			} else if bundle.compiled {
				names = append(names, t)
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return names
}

func TestSets_WhatEveryBatchNeedsIsCompiledOnce(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	h.sets.most = 40
	tenants := []string{"a", "b", "c", "d", "e"}
	var runs []consumer.Run
	for _, tenant := range append(tenants, "f") {
		runs = append(runs, runOf(b.published(tenant, 1, manyRules(tenant, 10)...)))
	}
	b.apply(h, nil, runs...)
	if got := b.compiledNow(h, tenants...); got != nil {
		t.Errorf("%v were compiled again by the batch after the one that published them", got)
	}
	h = b.handler() // a new process
	h.sets.most = 40
	if got := b.compiledNow(h, tenants...); len(got) != 5 {
		t.Errorf("a new process compiled %v", got)
	}
	for range 3 {
		if got := b.compiledNow(h, tenants...); got != nil {
			t.Errorf("%v were compiled again: the batch makes what it needs go", got)
		}
	}
	if got := b.compiledNow(h, "a", "f"); strings.Join(got, " ") != "f" {
		t.Errorf("%v were compiled", got)
	}
	if h.sets.held > 40 || h.sets.held != 10*len(h.sets.kept) {
		t.Errorf("%d expressions in %d sets are kept, more than 40", h.sets.held, len(h.sets.kept))
	}
	if got := b.compiledNow(h, "a"); got != nil {
		t.Error("the set that was used last has gone")
	}
}

func TestApplyParts_CompilingALargeBundleCountsTowardTheTenantsShare(t *testing.T) {
	b := newBench(t)
	b.apply(b.handler(), nil, runOf(b.published("large", 1, manyRules("large", ordinaryBundle+tenantCost/compileCost)...)), runOf(b.published("small", 1, score)))
	h := b.handler() // a new process
	apply := func() []consumer.Part {
		t.Helper()
		runs := make([]consumer.Run, 2)
		for i, tenant := range []string{"large", "small"} {
			next := b.next[tenant]
			runs[i] = runOf(b.recorded(tenant, "lead.updated", "lead/1", lead("1")), b.recorded(tenant, "lead.updated", "lead/2", lead("2")))
			b.next[tenant] = next // nothing is kept
		}
		tx, err := b.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		parts, err := h.ApplyParts(t.Context(), tx, runs)
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return parts
	}
	if parts := apply(); parts[0].Applied != 1 || parts[1].Applied != 2 {
		t.Errorf("with the bundles compiled: %+v", parts)
	}
	if parts := apply(); parts[0].Applied != 2 || parts[1].Applied != 2 {
		t.Errorf("with the bundles kept: %+v", parts)
	}
}
