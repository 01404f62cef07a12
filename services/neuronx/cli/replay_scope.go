package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/membership"
	"github.com/neuronx/engine/pkg/kafka/reset"
)

// readBy refuses a reset that nobody would notice: of a group that is none of the engine's, or of a topic that the group does not read.
func readBy(group string, topics []string) error {
	if !slices.Contains(kafka.Groups(), group) {
		return failed(fmt.Sprintf("there is no group %q", group), nil).why("nobody would read from the offsets that are set").
			next("%sthe groups are %s", didYouMean(group, kafka.Groups()), strings.Join(kafka.Groups()[1:], ", "))
	}
	reads, _ := kafka.TopicsOf(group)
	for _, t := range topics {
		if name, _, _ := strings.Cut(t, ":"); !slices.Contains(reads, name) {
			return failed(fmt.Sprintf("%s does not read the topic %q", group, name), nil).why("nobody would read from the offsets that are set").
				next("%sit reads %s", didYouMean(name, reads), strings.Join(reads, " and "))
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

// didYouMean names the one of names that is most like name, up to a third of it; nothing if none is.
func didYouMean(name string, names []string) string {
	best, distance := "", len(name)/3+1
	for _, n := range names {
		if d := levenshtein(name, n); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "? "
}

// foreignMembers names the members of a group that are none of the engine's. It is pure.
func foreignMembers(d admin.Group) []finding {
	var out []finding
	for _, m := range d.Members {
		if !membership.Ours(m.ClientID) {
			out = append(out, finding{Result: checkFail, Detail: fmt.Sprintf("client %q at %s is a member of %s and has %s of it: what it reads is not applied", m.ClientID, m.Host, d.Group,
				plural(len(m.Partitions), "partition")), Next: "end that program; another one reads with a group of its own"})
		}
	}
	return out
}

// checkGroups names offsets that have no effect: of groups that are like the engine's and are none of them, and of topics that a group does
// not read. Kafka's tools make such groups and offsets of a typing error, and say that it was done.
func (c *cli) checkGroups(ctx context.Context) []finding {
	adm, err := c.admin()
	if err != nil {
		return []finding{fail(err, "")}
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		return []finding{unseen(err, "the ACL Describe on groups")}
	}
	var out []finding
	for _, g := range groups {
		reads, known := kafka.TopicsOf(g)
		switch {
		case !known && strings.HasPrefix(g, "neuronx."):
			out = append(out, finding{Result: checkWarn, Detail: fmt.Sprintf("the group %s has offsets, and nothing reads as it: what was reset there has no effect", g),
				Next: fmt.Sprintf("%sdelete it: kafka-consumer-groups.sh --delete --group %s", didYouMean(g, kafka.Groups()), g)})
			continue
		case !known || g == kafka.GroupLanding:
			continue
		}
		committed, err := adm.Committed(ctx, g)
		if err != nil {
			out = append(out, unseen(err, "the ACL Describe on the group "+g))
			continue
		}
		if d, err := adm.DescribeGroup(ctx, g); err != nil {
			out = append(out, unseen(err, "the ACL Describe on the group "+g))
		} else {
			out = append(out, foreignMembers(d)...)
		}
		stray := map[string]bool{}
		for tp := range committed {
			if !slices.Contains(reads, tp.Topic) {
				stray[tp.Topic] = true
			}
		}
		for _, t := range slices.Sorted(maps.Keys(stray)) {
			out = append(out, finding{Result: checkWarn, Detail: fmt.Sprintf("%s has offsets for %s, which it does not read: what was reset there has no effect", g, t),
				Next: fmt.Sprintf("%sit reads %s; kafka-consumer-groups.sh --delete-offsets --group %s --topic %s", didYouMean(t, reads), strings.Join(reads, " and "), g, t)})
		}
	}
	if len(out) == 0 {
		out = append(out, finding{Result: checkOK, Detail: "offsets are of the engine's groups and of topics that they read"})
	}
	return out
}
