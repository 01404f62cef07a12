package backtest

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const (
	source  = "/neuronx/backtest"
	adapter = "gohighlevel" // rules see its name in the data of outcomes
	// back is how long it takes until an event that was derived stands in the log, in ms.
	back = 150
	// unseen is how long before From what was derived may still be on its way, in ms.
	unseen = 60_000
)

// root is the fact that a decision goes back to. It lives for as long as something is under way that does.
type root struct {
	id, typ, subject string
	decided          []place // the last n of each place, in this timeline
}

// nth numbers a decision among those of its place.
func (r *root) nth(by, what string) place {
	for i := range r.decided {
		if p := &r.decided[i]; p.by == by && p.what == what {
			p.n++
			return *p
		}
	}
	p := place{r.id, by, what, 1}
	r.decided = append(r.decided, p)
	return p
}

// timeline is one tenant on a clock of its own.
type timeline struct {
	cfg     Config
	side    int
	rules   *rules.Timeline
	store   *store
	schemas *schemas
	matcher *matcher
	stats   *stats

	next     int64 // sequence
	position int64 // of the last event
	began    bool
	still    bool // timers fire no more
	latency  time.Duration
	queue    queue
	made     int64 // events that were queued
	derived  int64
	facts    int64
	roots    map[string]*root // of instances that live, by id

	open map[string]item        // before From: commands without an outcome, by id
	on   map[string]event.Event // before From: derived, and not seen in the log yet
}

func newTimeline(cfg Config, side int, s *schemas, m *matcher, events stream.Source) *timeline {
	w := &timeline{
		cfg: cfg, side: side, store: newStore(), schemas: s, matcher: m, stats: newStats(), next: cfg.First, roots: map[string]*root{},
		open: map[string]item{}, on: map[string]event.Event{},
	}
	if len(cfg.Base) > 0 {
		w.next-- // it stands before what is folded
	}
	w.rules = rules.NewTimeline(cfg.Tenant, s, &rules.Compiled{}, w.store, w.next, func(ctx context.Context, sequence int64) (*event.Recorded, error) {
		found, err := stream.Next(ctx, events, cfg.Tenant, sequence, 1)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("the archive has no event %d", sequence)
		}
		return &found[0], nil
	})
	return w
}

// run takes in what it is given until the feed is closed, and goes on to To.
func (w *timeline) run(ctx context.Context, feed <-chan input) error {
	if len(w.cfg.Base) > 0 {
		if err := w.publish(ctx, w.cfg.Base, 0); err != nil {
			return err
		}
	}
	for in := range feed {
		var err error
		switch {
		case ctx.Err() != nil: // the others are told; the feed is emptied
		case in.begins:
			err = w.begin(ctx, in.latency)
		case w.began:
			err = w.fact(ctx, in.event)
		default:
			err = w.before(ctx, in.event)
		}
		if err != nil {
			return err
		}
	}
	if ctx.Err() != nil || !w.began {
		return nil
	}
	if err := w.until(ctx, w.cfg.To.UnixMilli()); err != nil {
		return err
	}
	// What the last facts caused is theirs, though it comes after To. Timers that are due after it are not.
	w.still = true
	if err := w.until(ctx, math.MaxInt64); err != nil {
		return err
	}
	return w.close(ctx)
}

// before folds a recorded event, and remembers what is under way.
func (w *timeline) before(ctx context.Context, e *event.Recorded) error {
	taken, err := w.rules.Apply(ctx, *e)
	if err != nil {
		return fmt.Errorf("fold event %d: %w", e.Sequence, err)
	}
	w.next, w.position = e.Sequence+1, e.Position
	now, from := at(e), w.cfg.From.UnixMilli()
	delete(w.on, e.ID)
	delete(w.open, e.CausationID)
	for _, v := range taken.Flows.Visits {
		w.rooted(v.Instance, v.Lifecycle, &root{id: "instance " + v.Instance, typ: "started before", subject: v.Workflow})
	}
	if _, kind := command(e.Type); kind == asks && now >= from-pending.Milliseconds() {
		w.open[e.ID] = item{at: now, event: e.Event, root: earlier(e.ID)}
	}
	if now >= from-unseen {
		for _, d := range taken.Derived {
			w.on[d.ID] = d
		}
	}
	return nil
}

func earlier(id string) *root { return &root{id: id, typ: "before"} }

// rooted keeps to which fact an instance goes back, and forgets it at the end.
func (w *timeline) rooted(instance string, l *advance.Lifecycle, r *root) *root {
	if known := w.roots[instance]; known != nil {
		r = known
	} else {
		w.roots[instance] = r
	}
	if l != nil && (l.Type == advance.TypeCompleted || l.Type == advance.TypeCancelled || l.Type == advance.TypeFaulted) {
		delete(w.roots, instance)
	}
	return r
}

// begin puts the timeline's own rules in force at From. What was under way comes to both timelines.
func (w *timeline) begin(ctx context.Context, latency time.Duration) error {
	w.latency, w.began = latency, true
	from, own := w.cfg.From.UnixMilli(), w.cfg.Against
	if w.side == candidate {
		own = w.cfg.Candidate
	}
	if len(own.Files) > 0 {
		if err := w.publish(ctx, own.Files, from); err != nil {
			return err
		}
	}
	for _, id := range sortedKeys(w.on) {
		if err := w.own(ctx, from-back, w.on[id], earlier(id), false); err != nil {
			return err
		}
	}
	for _, id := range sortedKeys(w.open) {
		if o := w.open[id]; o.at >= from-pending.Milliseconds() {
			if err := w.answer(ctx, max(from, o.at+latency.Milliseconds()), o.event, o.root, false); err != nil {
				return err
			}
		}
	}
	w.on, w.open = nil, nil
	return nil
}

// publish puts rules in force.
func (w *timeline) publish(ctx context.Context, files []ruleset.File, now int64) error {
	_, version, _ := w.rules.InForce()
	subject, value, err := w.schemas.encode(ctx, "rules.published", ruleset.PublishedData(files, version+1, ""))
	if err != nil {
		return err
	}
	taken, err := w.apply(ctx, now, event.Event{TenantID: w.cfg.Tenant, ID: fmt.Sprint("published-", w.next), Source: source, Type: "rules.published", Subject: subject, ContentType: event.ContentTypeAvro, Value: value})
	if err != nil {
		return err
	}
	for _, e := range taken.Derived {
		if e.Type == typeFailed {
			_, data, err := w.schemas.decode(ctx, e.Value)
			if err != nil {
				return err
			}
			return fmt.Errorf("the rules can't be published: %v", data["detail"])
		}
	}
	return nil
}

// fact takes in a fact, after all of its own that is due before.
func (w *timeline) fact(ctx context.Context, e *event.Recorded) error {
	now := at(e)
	if err := w.until(ctx, now); err != nil {
		return err
	}
	w.facts++
	if !w.hears(e.Type) {
		return nil
	}
	r := *e
	r.Sequence, r.Position = w.next, max(r.Position, w.position+1)
	w.next, w.position = w.next+1, r.Position
	taken, err := w.rules.Apply(ctx, r)
	if err != nil {
		return fmt.Errorf("apply the fact %s: %w", e.ID, err)
	}
	return w.took(ctx, taken, now, &root{id: e.ID, typ: e.Type, subject: e.Subject})
}

// hears reports whether anything can come of a type.
func (w *timeline) hears(typ string) bool {
	set, _, _ := w.rules.InForce()
	if set == nil {
		return false
	}
	return w.rules.Flows() || len(set.For(typ)) > 0 || strings.HasPrefix(typ, "engine.")
}

// until applies what the timeline itself has under way, as far as it is due then.
func (w *timeline) until(ctx context.Context, end int64) error {
	for {
		timer, armed := w.store.next()
		armed = armed && !w.still
		due := int64(0)
		if armed {
			due = max(timer.Due.Add(time.Millisecond-1).UnixMilli(), w.cfg.From.UnixMilli())
		}
		switch {
		case len(w.queue) > 0 && w.queue[0].at <= end && (!armed || w.queue[0].at <= due):
			it := heap.Pop(&w.queue).(item)
			taken, err := w.apply(ctx, it.at, it.event)
			if err != nil {
				return err
			}
			if err := w.took(ctx, taken, it.at, it.root); err != nil {
				return err
			}
		case armed && due <= end && w.began:
			subject, value, err := w.schemas.encode(ctx, "timer.fired", map[string]any{"timer_id": timer.ID, "due": timer.Due, "rule": timer.Workflow, "instance_id": timer.Instance,
				"task": timer.Task, "armed_sequence": timer.Armed, "attempt": int64(1)})
			if err != nil {
				return err
			}
			taken, err := w.apply(ctx, due, event.Event{TenantID: w.cfg.Tenant, ID: event.DerivedID(w.cfg.Tenant, "timer", timer.ID, "1"), Source: "/neuronx/timers", Type: "timer.fired", Subject: subject,
				Time: timer.Due, ContentType: event.ContentTypeAvro, Value: value})
			if err != nil {
				return err
			}
			if again, still := w.store.next(); still && again == timer {
				return fmt.Errorf("the timer %s of %s does not end by its firing", timer.Task, timer.Workflow)
			}
			if err := w.took(ctx, taken, due, w.rooted(timer.Instance, nil, earlier("instance "+timer.Instance))); err != nil {
				return err
			}
		default:
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// apply gives an event of the timeline its place in the log.
func (w *timeline) apply(ctx context.Context, now int64, e event.Event) (rules.Taken, error) {
	r := event.Recorded{Event: e, Sequence: w.next, Position: max(event.PositionAt(now), w.position+1), LogID: "backtest"}
	r.RecordedTime = time.UnixMilli(max(now, at(&r))).UTC()
	w.next, w.position = w.next+1, r.Position
	taken, err := w.rules.Apply(ctx, r)
	if err != nil {
		return taken, fmt.Errorf("apply %s: %w", e.Type, err)
	}
	return taken, nil
}

// send puts an event of the timeline on its way, if anything can come of it.
func (w *timeline) send(now int64, e event.Event, r *root) {
	if event.Tells(e.Type) && !strings.HasPrefix(e.Type, "engine.") || !w.hears(e.Type) {
		return
	}
	w.made++
	heap.Push(&w.queue, item{at: now, n: w.made, event: e, root: r})
}

// own takes an event that the timeline derived: it comes back, or is refused as a storm, and a command ends.
func (w *timeline) own(ctx context.Context, now int64, e event.Event, r *root, fails bool) error {
	if w.derived++; w.derived > cmp.Or(w.cfg.least, leastDerived)+maxDerived*w.facts {
		return ErrTooMuch
	}
	if e.Hops > event.MaxHops {
		told, first, err := w.rules.Storm(ctx, e)
		if err != nil || !first {
			return err
		}
		w.stats.fail(by(&e), "storm", "they answer each other: the event of hop 17 is refused")
		e = told
	}
	e.Deriver, e.DeriverNumber = rules.Deriver, w.derived
	w.send(now+back, e, r)
	if _, kind := command(e.Type); kind == asks {
		return w.answer(ctx, now+back+w.latency.Milliseconds(), e, r, fails)
	}
	return nil
}

// sent reports whether a command would be sent: what an import or a backfill caused reaches nobody.
func sent(c *event.Event) bool {
	origin := c.EffectiveOrigin()
	return origin == event.OriginLive || origin == event.OriginRedrive
}

// answer ends a command, as the CRM's adapter would.
func (w *timeline) answer(ctx context.Context, when int64, c event.Event, r *root, fails bool) error {
	base, _ := command(c.Type)
	typ := base + ".succeeded"
	data := map[string]any{"command_id": c.ID, "adapter": adapter}
	switch {
	case w.cfg.Outcomes.Recorded || !sent(&c):
		typ, data = "engine.effect.recorded", map[string]any{"effect_id": c.ID, "command": base, "adapter": adapter, "mode": "record"}
	case fails:
		typ, data["code"] = base+".failed", "failed_in_backtest"
	}
	if !w.hears(typ) {
		return nil
	}
	lead, err := leadOf(ctx, w.schemas, &c)
	if err != nil {
		return err
	}
	if lead != "" && strings.HasPrefix(typ, "crm.") {
		data["lead_id"] = lead
	}
	_, value, err := w.schemas.encode(ctx, typ, data)
	if err != nil {
		return err
	}
	path := append(slices.Clone(c.Path), c.Type+"<"+adapter+"@1")
	w.send(when, event.Event{TenantID: w.cfg.Tenant, ID: event.DerivedID(w.cfg.Tenant, adapter, c.ID, "outcome", "0"), Source: "/neuronx/" + adapter, Type: typ, Subject: c.Subject,
		Time: time.UnixMilli(when).UTC(), ContentType: event.ContentTypeAvro, CorrelationID: c.CorrelationID, CausationID: c.ID, Hops: c.Hops + 1, Path: path[max(0, len(path)-event.MaxHops):], Origin: c.Origin, Value: value}, r)
	return nil
}
