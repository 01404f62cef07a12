package events

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// MaxTraced bounds the events of one trace.
const MaxTraced = 1000

// Traced is an event in the tree of its causes.
type Traced struct {
	Event
	Depth int `json:"depth"` // 0: a root, which nothing in the archive caused
}

// Trace returns an event by its id, or all events about a subject such as lead/42, with everything that caused them up to each root and
// everything that came of these, each below its cause. more reports that there are further ones than MaxTraced.
func Trace(ctx context.Context, env *operate.Env, tenant, what string) (events []Traced, more bool, err error) {
	subject := ""
	if strings.Contains(what, "/") { // an id has none
		subject = what
	}
	sequences, err := operate.Ask(ctx, env, "trace the event", func(pool *pgxpool.Pool) ([]int64, error) {
		return archive.Trace(ctx, pool, tenant, what, subject, MaxTraced+1)
	})
	if err != nil {
		return nil, false, err
	}
	found, err := ask(ctx, env, func(pool *pgxpool.Pool) ([]archive.Row, error) {
		return archive.RowsBySequence(ctx, pool, tenant, sequences...)
	})
	switch {
	case err != nil:
		return nil, false, err
	case len(found) > 0:
	case subject != "":
		return nil, false, Known(ctx, env, tenant, subject)
	default:
		return nil, false, noEvent(ctx, env, tenant, what)
	}
	return tree(ofArchive(found[:min(len(found), MaxTraced)])), len(found) > MaxTraced, nil
}

// tree orders events, which are in the order of the log, so that each stands below its cause. It is pure.
func tree(events []Event) []Traced {
	number := func(v *Event) int64 { n, _ := strconv.ParseInt(v.Sequence, 10, 64); return n }
	byID := map[string][]int{} // an id may recur after the key window
	for i := range events {
		byID[events[i].ID] = append(byID[events[i].ID], i)
	}
	children := map[int][]int{}
	var roots []int
	for i := range events {
		cause := -1
		for _, j := range byID[events[i].CausationID] {
			if events[i].CausationID != "" && number(&events[j]) < number(&events[i]) {
				cause = j
			}
		}
		if cause < 0 {
			roots = append(roots, i)
		} else {
			children[cause] = append(children[cause], i)
		}
	}
	out := make([]Traced, 0, len(events))
	var walk func(of []int, depth int)
	walk = func(of []int, depth int) { // a cause is before its consequences, so this ends
		slices.SortFunc(of, func(a, b int) int { return cmp.Compare(number(&events[a]), number(&events[b])) })
		for _, i := range of {
			out = append(out, Traced{Event: events[i], Depth: depth})
			walk(children[i], depth+1)
		}
	}
	walk(roots, 0)
	return out
}
