package backtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
)

const typeFailed = "engine.rule.failed"

// took notes what came of an event, and puts what was derived on its way.
func (w *timeline) took(ctx context.Context, taken rules.Taken, now int64, r *root) error {
	roots, failing, channels := map[string]*root(nil), map[string]bool(nil), map[string]string(nil) // of what workflows derived, by event
	for i := range taken.Flows.Visits {
		v := &taken.Flows.Visits[i]
		of := w.rooted(v.Instance, v.Lifecycle, r)
		if roots == nil {
			roots, failing, channels = map[string]*root{}, map[string]bool{}, map[string]string{}
		}
		for _, o := range v.Outputs {
			p := place{of.id, v.Workflow, o.Task + " " + o.Type, o.Visit}
			roots[o.ID], failing[o.ID], channels[o.ID] = of, w.fails(p), o.Channel
			if err := w.decide(ctx, p, decision{at: now, root: of, kind: kindWorkflow, typ: o.Type, subject: o.Subject, value: o.Value, own: o.ID}); err != nil {
				return err
			}
		}
		if err := w.told(ctx, v.Workflow, v.Lifecycle, now, of); err != nil {
			return err
		}
		if v.Lifecycle != nil {
			roots[v.Lifecycle.ID] = of
		}
		for _, f := range v.Failed {
			if !f.Caught {
				w.stats.fail(v.Workflow, f.Code, f.Task+": "+f.Detail)
			}
		}
	}
	for i := range taken.Derived {
		e := &taken.Derived[i]
		fails := failing[e.ID]
		of := r
		switch rule := rules.DerivedBy(e); {
		case e.Source == advance.Source:
			if known := roots[e.ID]; known != nil {
				of = known
			}
			if e.Type == advance.TypeRejected {
				if err := w.rejected(ctx, e); err != nil {
					return err
				}
			}
		case rule != "":
			p := r.nth(rule, e.Type)
			fails = w.fails(p)
			if err := w.decide(ctx, p, decision{at: now, root: r, kind: kindRule, typ: e.Type, subject: e.Subject, value: e.Value, own: e.ID, cause: e.CausationID}); err != nil {
				return err
			}
		}
		if _, kind := command(e.Type); kind == asks && sent(e) {
			if channel := channels[e.ID]; channel != "" {
				w.stats.message(channel, now)
			}
			w.stats.days[time.UnixMilli(now).UTC().Format(time.DateOnly)]++
		}
		if err := w.own(ctx, now, *e, of, fails); err != nil {
			return err
		}
	}
	for _, f := range taken.Failures {
		w.stats.fail(f.Rule, f.Code, f.Detail)
	}
	for _, p := range taken.Picks {
		if !slices.ContainsFunc(taken.Failures, func(f rules.SandboxFailure) bool { return f.Rule == p.Rule }) {
			w.stats.assign(p.Pool, p.Member)
		}
	}
	return nil
}

// told notes what an activation decided besides what it derived.
func (w *timeline) told(ctx context.Context, workflow string, l *advance.Lifecycle, now int64, r *root) error {
	if l == nil {
		return nil
	}
	for _, d := range l.Decisions {
		p := r.nth(workflow, d.Task+" "+d.Kind)
		if err := w.decide(ctx, p, decision{at: now, root: r, kind: kindWorkflow, typ: d.Kind, text: d.Name + ": " + d.Value}); err != nil {
			return err
		}
		switch d.Kind {
		case "assign":
			w.stats.assign(d.Name, d.Value)
		case "suppress", "skip", "defer":
			w.stats.held[held{d.Kind, d.Name, d.Value}]++
		}
	}
	return nil
}

func (w *timeline) rejected(ctx context.Context, e *event.Event) error {
	_, data, err := w.schemas.decode(ctx, e.Value)
	if err != nil {
		return fmt.Errorf("decode %s: %w", e.Type, err)
	}
	workflow, _ := data["workflow"].(string)
	reason, _ := data["reason"].(string)
	w.stats.held[held{"reject", workflow, reason}]++
	return nil
}

// decide notes a decision, and gives it to be compared with that of the other timeline.
func (w *timeline) decide(ctx context.Context, p place, d decision) error {
	w.stats.made[row{d.kind, p.by, d.typ}]++
	if d.value != nil {
		e := event.Event{Type: d.typ, Subject: d.subject, Value: d.value}
		lead, err := leadOf(ctx, w.schemas, &e)
		if err != nil {
			return err
		}
		if lead != "" {
			w.stats.people[lead] = struct{}{}
		}
		if d.typ == "lead.assigned" {
			_, data, err := w.schemas.decode(ctx, d.value)
			if err != nil {
				return fmt.Errorf("decode %s: %w", d.typ, err)
			}
			if owner, _ := data["owner_id"].(string); owner != "" {
				w.stats.assign("", owner)
			}
		}
	}
	return w.matcher.put(ctx, w.side, p, d)
}

// fails chooses the commands that fail, the same ones in both timelines.
func (w *timeline) fails(p place) bool {
	share := w.cfg.Outcomes.Fail
	if share <= 0 {
		return false
	}
	h := fnv.New64a()
	for _, part := range []string{p.root, p.by, p.what, fmt.Sprint(p.n)} {
		_, _ = h.Write([]byte(part)) // a hash takes everything
		_, _ = h.Write([]byte{0})
	}
	x := h.Sum64()
	x ^= x >> 33 // FNV's high bits alone hardly depend on the last byte
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11)/(1<<53) < share
}

// by names the rule or the workflow that derived an event.
func by(e *event.Event) string {
	if len(e.Path) == 0 {
		return ""
	}
	_, name, _ := strings.Cut(e.Path[len(e.Path)-1], "<")
	name, _, _ = strings.Cut(name, "@")
	return name
}

// close counts what is left at the end.
func (w *timeline) close(ctx context.Context) error {
	for _, r := range w.store.Instances() {
		if !r.Status.Ended() {
			w.stats.open[r.Workflow]++
		}
	}
	return ctx.Err()
}
