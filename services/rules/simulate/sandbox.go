package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
)

const (
	tenant = "test"
	source = "/neuronx/rules-test"
	// adapter answers the commands of a test. Rules see its name in the data of outcomes.
	adapter = "gohighlevel"
)

// stepError says why a step of a test can't be done. It is the test's failure, not the machine's.
type stepError struct{ why string }

func (e *stepError) Error() string { return e.why }

var (
	errEndless   = &stepError{fmt.Sprintf("more than %d events: the rules derive more than a test can hold", MaxEvents)}
	errNoCommand = &stepError{"no such command is open: none was derived, or each has its outcome already"}
)

// sandbox is a tenant with a clock and a log.
type sandbox struct {
	rules    *rules.Sandbox
	flows    *flows // nil: the bundle has none
	registry rules.Registry
	now      time.Time
	log      []event.Recorded
	outside  int           // events that the test sent
	derived  int64         // that have a number
	open     []event.Event // commands without an outcome, oldest first
	applied  int           // events of the log that the rules have heard
}

// came is what came of one thing that happened.
type came struct {
	events   []event.Recorded // derived, in the order of the log
	failures []failure
	runs     []rules.SandboxRun
	visits   []workflows.Visit
}

func (c *came) add(more came) {
	c.events, c.failures, c.runs = append(c.events, more.events...), append(c.failures, more.failures...), append(c.runs, more.runs...)
	c.visits = append(c.visits, more.visits...)
}

type failure struct {
	rules.SandboxFailure
	told bool // by an engine.rule.failed
}

// newSandbox publishes a bundle at the beginning of the log.
func newSandbox(ctx context.Context, files []ruleset.File, start time.Time, reg rules.Registry, sets *rules.Compiled) (*sandbox, error) {
	w := &sandbox{rules: rules.NewSandbox(tenant, reg, sets), registry: reg, now: start}
	id, s, err := reg.ByType(ctx, "rules.published")
	if err != nil {
		return nil, fmt.Errorf("find the schema of rules.published: %w", err)
	}
	body, err := s.EncodeMap(ruleset.PublishedData(files, 1, ""))
	if err != nil {
		return nil, fmt.Errorf("publish the rules: %w", err)
	}
	w.append(event.Event{ID: "published", Source: source, Type: "rules.published", Subject: "rules/" + tenant, Value: event.Frame(id, body)})
	got, err := w.drain(ctx)
	if err == nil && len(got.events) > 0 {
		err = errors.New("the rules can't be published")
	}
	if err != nil {
		return w, err
	}
	set, version, sequence := w.rules.InForce()
	w.flows, err = newFlows(ctx, set, version, sequence, reg)
	if w.flows != nil {
		w.flows.of = w
		w.rules.Merged(w.flows.fold.Resolve)
		w.rules.Lend(w.flows.fold)
	}
	return w, err
}

// send records an event from outside, and all that comes of it.
func (w *sandbox) send(ctx context.Context, e *Event) (came, error) {
	w.outside++
	out := event.Event{ID: fmt.Sprintf("test-%d", w.outside), Source: source, Type: e.Type, Subject: e.Subject, Time: e.Time, Origin: e.Origin, Value: e.body}
	if out.Time.IsZero() {
		out.Time = w.now
	}
	w.append(out)
	return w.drain(ctx)
}

// answer records the outcome of the oldest open command of a kind, as the CRM's adapter would.
func (w *sandbox) answer(ctx context.Context, o *Outcome) (came, error) {
	i := slices.IndexFunc(w.open, func(e event.Event) bool { return e.Type == o.Of+".requested" && (o.command == "" || e.ID == o.command) })
	if i < 0 {
		return came{}, errNoCommand
	}
	command := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	if o.None {
		return came{}, nil
	}
	fields := map[string]any{"command_id": command.ID, "adapter": adapter}
	if _, lead, ok := strings.Cut(command.Subject, "lead/"); ok {
		fields["lead_id"] = lead
	}
	asked, err := w.rules.Decode(ctx, &event.Recorded{Event: command})
	if err != nil {
		return came{}, err
	}
	if lead, ok := asked["lead_id"].(string); ok && lead != "" {
		fields["lead_id"] = lead
	}
	if !o.Succeeded {
		fields["code"] = "failed_in_test"
	}
	maps.Copy(fields, o.data)
	id, s, err := w.registry.ByType(ctx, o.Type())
	if err != nil {
		return came{}, fmt.Errorf("find the schema of %s: %w", o.Type(), err)
	}
	body, err := s.EncodeMap(fields)
	if err != nil {
		return came{}, &stepError{fmt.Sprintf("no such %s: %v", o.Type(), err)}
	}
	path := append(slices.Clone(command.Path), command.Type+"<"+adapter+"@1")
	w.append(event.Event{ID: event.DerivedID(tenant, adapter, command.ID, "outcome", "0"), Source: "/neuronx/" + adapter, Type: o.Type(), Subject: command.Subject, Time: w.now,
		CorrelationID: command.CorrelationID, CausationID: command.ID, Hops: command.Hops + 1, Path: path[max(0, len(path)-event.MaxHops):], Origin: command.Origin, Value: event.Frame(id, body)})
	return w.drain(ctx)
}

// append gives an event its place in the log.
func (w *sandbox) append(e event.Event) {
	e.TenantID, e.ContentType = tenant, event.ContentTypeAvro
	position := event.PositionAt(w.now.UnixMilli())
	if n := len(w.log); n > 0 {
		position = max(position, w.log[n-1].Position+1)
	}
	w.log = append(w.log, event.Recorded{Event: e, Sequence: int64(len(w.log)) + 1, Position: position, RecordedTime: w.now, LogID: "test"})
}

// drain has the rules hear the log to its end, which what they derive moves on.
func (w *sandbox) drain(ctx context.Context) (came, error) {
	var out came
	for ; w.applied < len(w.log); w.applied++ {
		if len(w.log) > MaxEvents {
			return out, errEndless
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		taken, flowed, err := w.apply(ctx, w.log[w.applied])
		if err != nil {
			return out, fmt.Errorf("apply %s: %w", w.log[w.applied].Type, err)
		}
		out.runs, out.visits = append(out.runs, taken.Runs...), append(out.visits, flowed.Visits...)
		for _, f := range taken.Failures {
			out.failures = append(out.failures, failure{f, slices.ContainsFunc(taken.Derived, func(e event.Event) bool { return e.Type == typeFailed && e.Subject == "rule/"+f.Rule })})
		}
		for _, e := range taken.Derived {
			if err := w.own(ctx, &out, e); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// own takes an event of the rules into the log, as the outbox and the sequencer do, or refuses it as a storm.
func (w *sandbox) own(ctx context.Context, out *came, e event.Event) error {
	if e.Hops > event.MaxHops {
		told, first, err := w.rules.Storm(ctx, e)
		if err != nil || !first {
			return err
		}
		e = told
	}
	w.derived++
	e.Deriver, e.DeriverNumber = rules.Deriver, w.derived
	w.append(e)
	out.events = append(out.events, w.log[len(w.log)-1])
	if strings.HasPrefix(e.Type, "crm.") && strings.HasSuffix(e.Type, ".requested") {
		w.open = append(w.open, e)
	}
	return nil
}

// Types of events that tell about rules.
const (
	typeFailed = "engine.rule.failed"
	typeStorm  = "engine.storm.detected"
)

// title is an event in a few words: lead.scored about lead/7.
func title(typ, subject string) string {
	if subject == "" {
		return typ
	}
	return typ + " about " + subject
}
