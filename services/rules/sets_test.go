package rules

import (
	"fmt"
	"math"
	"strings"
	"testing"

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

// compiledNow loads the bundles of tenants, as for one batch, and names those that were not kept.
func (b *bench) compiledNow(h *handler, tenants ...string) (names []string) {
	b.Helper()
	kept := map[*ruleset.Set]bool{}
	for _, k := range h.shared.sets.kept {
		kept[k.set] = true
	}
	before := map[string]int64{}
	for _, t := range tenants {
		before[t] = 1_000
	}
	bundles, err := loadBundles(b.Context(), b.pool, &compiler{kept: &h.shared, one: math.MaxInt, left: math.MaxInt}, before)
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range tenants {
		if bundle := bundles[t]; bundle == nil || bundle.Set == nil {
			b.Errorf("%s has no bundle", t)
		} else if !kept[bundle.Set] {
			names = append(names, t)
		}
	}
	return names
}

func TestSets_WhatEveryBatchNeedsIsCompiledOnce(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	h.shared.sets.most = 40
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
	h.shared.sets.most = 40
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
	if h.shared.sets.held > 40 || h.shared.sets.held != 10*len(h.shared.sets.kept) {
		t.Errorf("%d expressions in %d sets are kept, more than 40", h.shared.sets.held, len(h.shared.sets.kept))
	}
	if got := b.compiledNow(h, "a"); got != nil {
		t.Error("the set that was used last has gone")
	}
}

// Several tenants with bundles that take a second each to compile must not hold a batch: after a restart all of them are there at once.
func TestApplyParts_LargeBundlesAreCompiledInCatchUp(t *testing.T) {
	b := newBench(t)
	tenants := []string{"large-1", "large-2", "small"}
	files := map[string][]ruleset.File{"large-1": manyRules("first", 400), "large-2": manyRules("second", 400), "small": {score}}
	for _, tenant := range tenants {
		b.apply(b.handler(), nil, runOf(b.published(tenant, 1, files[tenant]...)))
	}
	h := b.handler() // a new process
	batch := func() (runs []consumer.Run) {
		for _, tenant := range tenants {
			runs = append(runs, runOf(b.recorded(tenant, "lead.created", "lead/1", lead("1")), b.recorded(tenant, "lead.created", "lead/2", lead("2"))))
		}
		return runs
	}
	runs := batch()
	parts := b.parts(h, runs...)
	for i := range 2 {
		if parts[i] != (consumer.Part{Later: true}) {
			t.Errorf("%s: %+v, want all of it for later", tenants[i], parts[i])
		}
	}
	if parts[2].Applied != 2 || h.shared.sets.held != 3 {
		t.Errorf("small: %+v; the batch compiled %d expressions", parts[2], h.shared.sets.held)
	}
	for i := range 2 {
		if part := b.catchUp(h, runs[i]); part.Applied != 2 || part.Err != nil {
			t.Errorf("%s in catch-up: %+v", tenants[i], part)
		}
	}
	for i, part := range b.parts(h, batch()...) {
		if part.Applied != 2 {
			t.Errorf("%s, compiled: %+v", tenants[i], part)
		}
	}
}

func TestApplyParts_ALargeBundleThatIsPublishedIsCompiledInCatchUp(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	large := runOf(b.recorded("large", "lead.created", "lead/1", lead("1")), b.published("large", 1, manyRules("large", 400)...),
		b.recorded("large", "lead.created", "lead/2", lead("2")))
	small := runOf(b.published("small", 1, score), b.recorded("small", "lead.created", "lead/2", lead("2")))
	if parts := b.parts(h, large, small); parts[0] != (consumer.Part{Applied: 1, Later: true}) || parts[1].Applied != 2 || h.shared.sets.held != 3 {
		t.Errorf("%+v; the batch compiled %d expressions", parts, h.shared.sets.held)
	}
	for large.Events = large.Events[1:]; len(large.Events) > 0; {
		part := b.catchUp(h, large)
		if part.Applied == 0 || part.Err != nil {
			t.Fatalf("in catch-up: %+v", part)
		}
		large.Events = large.Events[part.Applied:]
	}
	if got := b.compiledNow(h, "large"); got != nil {
		t.Errorf("%v compiled again", got)
	}
}
