package group

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka/membership"
)

// balancer is the one of a Consumer.
type balancer struct {
	*membership.Balancer
	g *Consumer
}

// JoinGroupMetadata is called before each join with what the member still claims.
func (b *balancer) JoinGroupMetadata(topics []string, claims map[string][]int32, generation int32) []byte {
	b.g.foreign.Store(0) // only the leader of the next assignment knows
	if b.Join(claims) {
		b.g.outlived()
		claims = nil
	}
	return b.GroupBalancer.JoinGroupMetadata(topics, claims, generation)
}

// ParseSyncAssignment is called with each new assignment. A new member takes nothing at first: so the client gives up what it holds, joins
// again, and asks where to resume.
func (b *balancer) ParseSyncAssignment(raw []byte) (map[string][]int32, error) {
	assigned, err := b.GroupBalancer.ParseSyncAssignment(raw)
	if err == nil && b.Sync() {
		assigned = map[string][]int32{}
	}
	return assigned, err
}

// MemberBalancer is called at the leader of the group, the one member that is told who the others are, before each assignment. A program
// that is none of the engine's and joins takes partitions away: what it commits is passed over as a reset would be, and what it reads nobody
// applies until it leaves.
func (b *balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	var foreign []string
	for i := range members {
		if id := members[i].MemberID; !membership.Ours(id) && !strings.HasPrefix(id, b.g.cfg.ClientID) {
			foreign = append(foreign, id)
		}
	}
	if b.g.foreign.Store(int64(len(foreign))); len(foreign) > 0 {
		b.g.log.Warn("members that are none of the engine's have joined the group and take partitions; end them", "members", foreign)
	}
	return b.GroupBalancer.MemberBalancer(members)
}
