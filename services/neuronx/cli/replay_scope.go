package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/reset"
	"github.com/neuronx/engine/services/neuronx/operate"
)

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
func (c *cli) ofItsTopics(f resetFlags, rows []reset.Row) ([]reset.Row, error) {
	if !f.allTopics {
		topics := make([]string, len(rows))
		for i, r := range rows {
			topics[i] = r.Topic
		}
		return rows, readBy(f.group, topics)
	}
	reads, _ := kafka.TopicsOf(f.group)
	return slices.DeleteFunc(rows, func(r reset.Row) bool {
		if slices.Contains(reads, r.Topic) {
			return false
		}
		c.note("warning: %s-%d is left out: %s has an offset there and does not read it", r.Topic, r.Partition, f.group)
		return true
	}), nil
}
