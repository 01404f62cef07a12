package rules

import (
	"context"
	"fmt"
	"strconv"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Publish publishes a bundle that replaces the tenant's set. previous is the version in force (0 if there is none). The bundle must
// have passed ruleset.Validate; what does not even compile is refused here as rulefile.InvalidError. The event's id comes from
// version and texts: publishing the same again is one event.
func Publish(ctx context.Context, p *control.Publisher, tenant string, files []ruleset.File, previous int64, by string) (event.Event, error) {
	if _, problems := ruleset.Compile(files); problems.Err() != nil {
		return event.Event{}, problems.Err()
	}
	version := previous + 1
	id := event.DerivedID(tenant, typePublished, strconv.FormatInt(version, 10), ruleset.Hash(files))
	e, err := p.Publish(ctx, tenant, typePublished, "rules/"+tenant, id, ruleset.PublishedData(files, version, by), control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("publish rules: %w", err)
	}
	return e, nil
}

// recorded adds to an event's data who asked for it and why, as far as that was said.
func recorded(data map[string]any, by, reason string) map[string]any {
	if by != "" {
		data["by"] = by
	}
	if reason != "" {
		data["reason"] = reason
	}
	return data
}

// Reset brings a tripped rule back, once its event is seen in the log.
func Reset(ctx context.Context, p *control.Publisher, tenant, rule, by, reason string) (event.Event, error) {
	e, err := p.Publish(ctx, tenant, typeReset, "rule/"+rule, "", recorded(map[string]any{"rule": rule}, by, reason), control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("reset rule: %w", err)
	}
	return e, nil
}

// Merge says that a subject is another one from here on. It takes effect once its event is seen in the log: whatever could not be merged then is
// told by workflow.verb.refused, and changes nothing.
func Merge(ctx context.Context, p *control.Publisher, tenant, from, into, by, reason string) (event.Event, error) {
	return mergeEvent(ctx, p, tenant, "subject.merged", from, into, by, reason)
}

// Unmerge takes a merge back, for all that comes after it.
func Unmerge(ctx context.Context, p *control.Publisher, tenant, from, into, by, reason string) (event.Event, error) {
	return mergeEvent(ctx, p, tenant, "subject.unmerged", from, into, by, reason)
}

func mergeEvent(ctx context.Context, p *control.Publisher, tenant, typ, from, into, by, reason string) (event.Event, error) {
	e, err := p.Publish(ctx, tenant, typ, from, "", recorded(map[string]any{"from": from, "into": into}, by, reason), control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("publish %s: %w", typ, err)
	}
	return e, nil
}

// Rerun asks for a rule to be run over what it missed from a sequence through another, at most 500 events. It takes effect once its event
// is seen in the log; neuronx.rule_reruns says then what became of it.
func Rerun(ctx context.Context, p *control.Publisher, tenant, rule string, from, through int64, by, reason string) (event.Event, error) {
	data := recorded(map[string]any{"rule": rule, "from_sequence": from, "through_sequence": through}, by, reason)
	e, err := p.Publish(ctx, tenant, typeRerun, "rule/"+rule, "", data, control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("run rule over what it missed: %w", err)
	}
	return e, nil
}
