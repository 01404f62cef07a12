package rules

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/stream"
)

// Foreseen is what running a rule over what it missed would give if it were done now. Nothing of it is kept.
type Foreseen struct {
	Ran    int       `json:"ran"` // missed events that were evaluated for it, at most MaxForeseen
	Fired  int       `json:"fired"`
	Failed int       `json:"failed"`
	Events []Derived `json:"events"` // by type and origin
	Trips  bool      `json:"trips"`  // the rule would trip again, and the rest would stay missed
}

// Derived counts derived events of a type and an origin.
type Derived struct {
	Type   string       `json:"type"`
	Origin event.Origin `json:"origin"`
	Events int          `json:"events"`
}

// MaxForeseen is how many missed events Foresee evaluates.
const MaxForeseen = 2_000

// Foresee evaluates a rule on what it missed from a sequence through another, with the rules and the state of now, as a request published
// now would. The pool is one of neuronx_ops or neuronx_rules. It writes nothing.
func Foresee(ctx context.Context, pool *pgxpool.Pool, reg *registry.Client, tenant, rule string, from, through int64) (Foreseen, error) {
	return foresee(ctx, pool, archive.NewReader(pool), reg, tenant, rule, from, through)
}

func foresee(ctx context.Context, pool *pgxpool.Pool, events stream.Source, reg registryClient, tenant, rule string, from, through int64) (Foreseen, error) {
	h := newHandler(nil, reg, slog.New(slog.DiscardHandler), newMetrics(nil))
	h.archive = events
	var out Foreseen
	count := map[Derived]int{}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		bundles, err := loadBundles(ctx, tx, &compiler{kept: &h.shared, one: math.MaxInt, left: math.MaxInt}, map[string]int64{tenant: math.MaxInt64})
		if err != nil {
			return err
		}
		health, err := loadHealth(ctx, tx, []string{tenant})
		if err != nil {
			return err
		}
		f := newFold(tenant, &database{handler: h, q: tx, states: map[[2]string]State{}}, bundles[tenant], health[tenant])
		request := map[string]any{"from_sequence": from, "through_sequence": through}
		at := &event.Recorded{Event: event.Event{TenantID: tenant, Type: typeRerun}, Sequence: math.MaxInt64, Position: event.PositionAt(time.Now().UnixMilli())}
		for out.Ran < MaxForeseen {
			if err := f.rerun(ctx, at, rule, request); err != nil {
				return err
			}
			done := f.reruns[len(f.reruns)-1]
			out.Ran, out.Fired, out.Failed = out.Ran+done.Ran, out.Fired+done.Fired, out.Failed+done.Failed
			for _, e := range f.outputs {
				if e.Type != typeFailed {
					count[Derived{Type: e.Type, Origin: e.EffectiveOrigin()}]++
				}
			}
			f.outputs = nil
			if done.Ran == 0 {
				break
			}
		}
		out.Trips = out.Ran > 0 && f.health[rule].Tripped != ""
		return nil
	})
	if err != nil {
		return Foreseen{}, fmt.Errorf("foresee what rule %s of %s would derive: %w", rule, tenant, err)
	}
	out.Events = []Derived{}
	for _, d := range slices.SortedFunc(maps.Keys(count), func(a, b Derived) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Origin, b.Origin)) }) {
		d.Events = count[d]
		out.Events = append(out.Events, d)
	}
	return out, nil
}
