// Package membership tells a process that it has become another member of its consumer group, which the client does not. Packages group and
// txn put it in the place of the group's balancer.
package membership

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Balancer stands in the place of a member's balancer, through which every join and every assignment goes, and notices what the client
// does not report: that it has become another member. A process that is stopped between the answer that calls for a join and that join, and
// is thrown out of the group meanwhile, is refused as unknown, and the client joins at once as a new member with the claims of the old
// one. If all others that have owned the partitions since are gone, it is given the same ones, and goes on as if it had never been away.
type Balancer struct {
	kgo.GroupBalancer
	log      *slog.Logger
	MemberID func() string // the id that the group gave, empty when it knows this member no more; set before the first join

	mu     sync.Mutex
	synced string // the member id that got the last assignment
	void   bool   // the last join's claims were another member's
}

// New returns a balancer that spreads partitions as the cooperative-sticky one does. log may be nil.
func New(log *slog.Logger) *Balancer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Balancer{GroupBalancer: kgo.CooperativeStickyBalancer(), log: log}
}

// Watch is for a client that has not begun to work (kgo.HookNewClient).
func (m *Balancer) Watch(client *kgo.Client) {
	m.MemberID = func() string { id, _ := client.GroupMetadata(); return id }
}

// Join reports whether the claims of a join are of a member that this one is no more.
func (m *Balancer) Join(claims map[string][]int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	void := len(claims) > 0 && m.synced != m.MemberID()
	if void && !m.void { // a new member may have to ask twice, first for its id
		m.log.Warn("this process was out of the group for longer than its session; it gives up its partitions and joins as a new member")
	}
	m.void = void
	return void
}

// Sync is called at each assignment and reports whether the join before it was such a one.
func (m *Balancer) Sync() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	void := m.void
	m.void, m.synced = false, m.MemberID()
	return void
}

// Ours reports whether a member of a group is a program of the engine, by its member id or its client id, with which the member id begins.
func Ours(id string) bool { return strings.HasPrefix(id, "neuronx-") }
