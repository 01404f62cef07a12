package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/reset"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Plan works out the offsets that a reset would set, with what Kafka's tool warns of. Nothing is set.
func Plan(ctx context.Context, env *operate.Env, spec reset.Spec) ([]reset.Row, []reset.Warning, error) {
	if err := checkGroup(spec.Group); err != nil {
		return nil, nil, err
	}
	if err := readBy(spec.Group, spec.Topics); err != nil {
		return nil, nil, err
	}
	admin, err := env.Admin()
	if err != nil {
		return nil, nil, err
	}
	rows, warnings, err := reset.Plan(ctx, admin, spec)
	if err != nil {
		return nil, nil, operate.Fail("plan the reset", err)
	}
	rows, err = ofItsTopics(env, spec, rows)
	return rows, warnings, err
}

// checkGroup refuses the groups whose offsets can't be reset.
func checkGroup(group string) error {
	others := strings.Join(kafka.Groups()[1:], ", ")
	switch group {
	case kafka.GroupSequencer:
		return operate.Unsafe("the sequencer's offsets can't be reset").
			Because("its position is part of its state: events would be admitted twice or lost").
			Hint("reset one of %s", others)
	case kafka.GroupLanding:
		return operate.Unsafe("the forwarder's offsets can't be reset").
			Because("what was forwarded is in ingress already, and what was not must not be passed over").
			Hint("reset one of %s", others)
	}
	return nil
}

// readBy refuses a reset that nobody would notice: of a group that is none of the engine's, or of a topic that the group does not read.
func readBy(group string, topics []string) error {
	if !slices.Contains(kafka.Groups(), group) {
		return operate.Fail(fmt.Sprintf("there is no group %q", group), nil).Because("nobody would read from the offsets that are set").
			Hint("%sthe groups are %s", operate.DidYouMean(group, kafka.Groups()), strings.Join(kafka.Groups()[1:], ", "))
	}
	reads, _ := kafka.TopicsOf(group)
	for _, t := range topics {
		if name, _, _ := strings.Cut(t, ":"); !slices.Contains(reads, name) {
			return operate.Fail(fmt.Sprintf("%s does not read the topic %q", group, name), nil).Because("nobody would read from the offsets that are set").
				Hint("%sit reads %s", operate.DidYouMean(name, reads), strings.Join(reads, " and "))
		}
	}
	return nil
}

// ofItsTopics are the rows of topics that the group reads. A file must name no other; --all-topics leaves them out and says so.
func ofItsTopics(env *operate.Env, spec reset.Spec, rows []reset.Row) ([]reset.Row, error) {
	if !spec.AllTopics {
		return rows, readBy(spec.Group, operate.Each(rows, func(r reset.Row) string { return r.Topic }))
	}
	reads, _ := kafka.TopicsOf(spec.Group)
	return slices.DeleteFunc(rows, func(r reset.Row) bool {
		if slices.Contains(reads, r.Topic) {
			return false
		}
		env.Note("warning: %s-%d is left out: %s has an offset there and does not read it", r.Topic, r.Partition, spec.Group)
		return true
	}), nil
}
