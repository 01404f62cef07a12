package kafka

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// membership stands in the place of a member's balancer, through which every join and every assignment goes, and notices what the client
// tells nobody: that it has become another member. A process that is stopped between the answer that calls for a join and that join, and
// is thrown out of the group meanwhile, is refused as unknown, and the client joins at once as a new member with the claims of the old
// one. If all others that have owned the partitions since are gone, it is given the same ones, and goes on as if it had never been away.
type membership struct {
	kgo.GroupBalancer
	log      *slog.Logger
	memberID func() string // the id that the group gave, empty when it knows this member no more; set before the first join

	mu     sync.Mutex
	synced string // the member id that got the last assignment
	void   bool   // the last join's claims were another member's
}

func newMembership(log *slog.Logger) *membership {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &membership{GroupBalancer: kgo.CooperativeStickyBalancer(), log: log}
}

// watch is for a client that has not begun to work (kgo.HookNewClient).
func (m *membership) watch(client *kgo.Client) {
	m.memberID = func() string { id, _ := client.GroupMetadata(); return id }
}

// join reports whether the claims of a join are of a member that this one is no more.
func (m *membership) join(claims map[string][]int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	void := len(claims) > 0 && m.synced != m.memberID()
	if void && !m.void { // a new member may have to ask twice, first for its id
		m.log.Warn("this process was out of the group for longer than its session; it gives up its partitions and joins as a new member")
	}
	m.void = void
	return void
}

// sync is called at each assignment and reports whether the join before it was such a one.
func (m *membership) sync() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	void := m.void
	m.void, m.synced = false, m.memberID()
	return void
}

// balancer is the one of a Group.
type balancer struct {
	*membership
	g *Group
}

// JoinGroupMetadata is called before each join with what the member still claims.
func (b *balancer) JoinGroupMetadata(topics []string, claims map[string][]int32, generation int32) []byte {
	b.g.foreign.Store(0) // only the leader of the next assignment knows
	if b.join(claims) {
		b.g.outlived()
		claims = nil
	}
	return b.GroupBalancer.JoinGroupMetadata(topics, claims, generation)
}

// ParseSyncAssignment is called with each new assignment. A new member takes nothing at first: so the client gives up what it holds, joins
// again, and asks where to resume.
func (b *balancer) ParseSyncAssignment(raw []byte) (map[string][]int32, error) {
	assigned, err := b.GroupBalancer.ParseSyncAssignment(raw)
	if err == nil && b.sync() {
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
		if id := members[i].MemberID; !OwnMember(id) && !strings.HasPrefix(id, b.g.cfg.ClientID) {
			foreign = append(foreign, id)
		}
	}
	if b.g.foreign.Store(int64(len(foreign))); len(foreign) > 0 {
		b.g.log.Warn("members that are none of the engine's have joined the group and take partitions; end them", "members", foreign)
	}
	return b.GroupBalancer.MemberBalancer(members)
}

// OwnMember reports whether a member of a group is a program of the engine, by its member id or its client id, with which the member id begins.
func OwnMember(id string) bool { return strings.HasPrefix(id, "neuronx-") }
