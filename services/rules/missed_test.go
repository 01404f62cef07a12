package rules

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// manyOff publishes n rules of tenant a, all of them off, and gives events that each of them misses.
func manyOff(b *bench, h *handler, n, events int) []event.Recorded {
	b.Helper()
	var files []ruleset.File
	for i := range n {
		files = append(files, ruleFile(fmt.Sprintf("off-%03d", i), "on: [lead.created]\nset: {n: '1'}"))
	}
	story := []event.Recorded{b.published("a", 1, files...)}
	for i := range n {
		story = append(story, b.stormed("a", fmt.Sprintf("off-%03d", i)))
	}
	b.apply(h, nil, runOf(story...))
	var missed []event.Recorded
	for i := range events {
		missed = append(missed, b.recorded("a", "lead.created", fmt.Sprint("lead/", i), lead(fmt.Sprint(i))))
	}
	return missed
}

// Hundreds of rules that are off cost an event nothing to evaluate, and must not cost the tenants who wait for the batch either.
func TestMissed_ABatchDoesNotWaitUntilAllOfManyMissesAreNoted(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	events := manyOff(b, h, 400, 200)
	part := b.parts(h, runOf(events...))[0]
	if part.Err != nil || part.Applied == 0 || part.Applied > 100 {
		t.Fatalf("%+v: want some of 200 events that 400 rules miss, and the rest in catch-up", part)
	}
	if part := b.parts(h, runOf(events[part.Applied:]...))[0]; !part.Later {
		t.Errorf("%+v: want the tenant to catch up", part)
	}
	for done := part.Applied; done < len(events); {
		part := b.catchUp(h, runOf(events[done:]...))
		if part.Err != nil || part.Applied == 0 {
			t.Fatalf("%+v", part)
		}
		done += part.Applied
	}
	var pairs, rows int
	err := b.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM neuronx.rule_missed), (SELECT count(*) FROM neuronx.rule_missed_pages)`).Scan(&pairs, &rows)
	if err != nil || pairs != 400*200 || rows > 2*400 {
		t.Errorf("%d misses in %d rows (%v), want %d in at most two rows a rule", pairs, rows, err, 400*200)
	}
}

func TestMissed_PagesGiveBackWhatWasPutIn(t *testing.T) {
	b := newBench(t)
	put := func(more, less map[string][]int64) {
		t.Helper()
		f := newFold("a", nil, nil, nil)
		f.missed = more
		for rule, sequences := range less {
			for _, sequence := range sequences {
				f.miss(rule, sequence, false)
			}
		}
		if err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return save(t.Context(), tx, []*fold{f}) }); err != nil {
			t.Fatal(err)
		}
	}
	get := func(rule string, from, through int64, limit int) []int64 {
		t.Helper()
		out, err := loadMissed(t.Context(), b.pool, "a", rule, from, through, limit)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	put(map[string][]int64{"r": {1, 1023, 1024, 1025}, "s": {7}}, nil)
	put(map[string][]int64{"r": {1030, 2047, 2048, 9_007_199_254_740_993}}, nil)
	for _, c := range []struct {
		from, through int64
		limit         int
		want          []int64
	}{
		{1, 1 << 62, 99, []int64{1, 1023, 1024, 1025, 1030, 2047, 2048, 9_007_199_254_740_993}},
		{2, 1029, 99, []int64{1023, 1024, 1025}},
		{1024, 1 << 62, 2, []int64{1024, 1025}},
		{2049, 9_007_199_254_740_992, 99, nil},
		{99, 1, 99, nil},
	} {
		if got := get("r", c.from, c.through, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("from %d through %d, at most %d: %v, want %v", c.from, c.through, c.limit, got, c.want)
		}
	}
	put(nil, map[string][]int64{"r": {1, 1023, 1025}, "unknown": {5}})
	if got := get("r", 1, 2047, 99); !slices.Equal(got, []int64{1024, 1030, 2047}) || !slices.Equal(get("s", 1, 99, 99), []int64{7}) {
		t.Errorf("after some were run over: %v", got)
	}
	var rows int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.rule_missed_pages WHERE rule = 'r'`).Scan(&rows); err != nil || rows != 3 {
		t.Errorf("%d rows (%v), want 3: an empty page goes", rows, err)
	}
}
