package kafka

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
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

// OwnMember reports whether a member of a group is a program of the engine, by its member id or its client id, with which the member id begins.
func OwnMember(id string) bool { return strings.HasPrefix(id, "neuronx-") }
