package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/membership"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// checkGroups names offsets that have no effect: of groups that are like the engine's and are none of them, and of topics that a group does
// not read. Kafka's tools make such groups and offsets of a typing error, and say that it was done.
func checkGroups(ctx context.Context, adm *admin.Client) []Finding {
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		return []Finding{unseen(err, "the ACL Describe on groups")}
	}
	var out []Finding
	for _, g := range groups {
		reads, known := kafka.TopicsOf(g)
		switch {
		case !known && strings.HasPrefix(g, "neuronx."):
			out = append(out, Finding{Result: Warn, Detail: fmt.Sprintf("the group %s has offsets, and nothing reads as it: what was reset there has no effect", g),
				Next: fmt.Sprintf("%sdelete it: kafka-consumer-groups.sh --delete --group %s", operate.DidYouMean(g, kafka.Groups()), g)})
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
			out = append(out, Finding{Result: Warn, Detail: fmt.Sprintf("%s has offsets for %s, which it does not read: what was reset there has no effect", g, t),
				Next: fmt.Sprintf("%sit reads %s; kafka-consumer-groups.sh --delete-offsets --group %s --topic %s", operate.DidYouMean(t, reads), strings.Join(reads, " and "), g, t)})
		}
	}
	return orOK(out, "offsets are of the engine's groups and of topics that they read")
}

// foreignMembers names the members of a group that are none of the engine's. It is pure.
func foreignMembers(d admin.Group) []Finding {
	var out []Finding
	for _, m := range d.Members {
		if !membership.Ours(m.ClientID) {
			out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("client %q at %s is a member of %s and has %s of it: what it reads is not applied", m.ClientID, m.Host, d.Group,
				operate.Plural(len(m.Partitions), "partition")), Next: "end that program; another one reads with a group of its own"})
		}
	}
	return out
}
