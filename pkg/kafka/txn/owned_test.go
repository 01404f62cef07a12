package txn

import (
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func assignment(partitions ...int32) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	t := kmsg.NewConsumerMemberAssignmentTopic()
	t.Topic, t.Partitions = "x", partitions
	a.Topics = append(a.Topics, t)
	return a.AppendTo(nil)
}

func TestTracker_GivesAPartitionThatWasAwayAnotherNumber(t *testing.T) {
	own := func(ps ...int32) map[string][]int32 { return map[string][]int32{"x": ps} }
	tr := newTracker("x", nil)
	member := ""
	tr.MemberID = func() string { return member }
	join := func(current map[string][]int32, assigned ...int32) {
		t.Helper()
		tr.JoinGroupMetadata([]string{"x"}, current, 1)
		if member == "" {
			member = "the first"
		}
		if _, err := tr.ParseSyncAssignment(assignment(assigned...)); err != nil {
			t.Fatal(err)
		}
	}
	if tr.joined() {
		t.Fatal("joined before the first assignment")
	}
	join(nil, 0, 1)
	first := tr.snapshot()
	if !tr.joined() || len(first) != 2 {
		t.Fatalf("%v", first)
	}
	join(own(0, 1), 0, 1)
	if got := tr.snapshot(); !maps.Equal(got, first) {
		t.Fatalf("a rebalance that changes nothing: %v, was %v", got, first)
	}
	join(own(0, 1), 0) // revoked, by an assignment
	join(own(0), 0, 1)
	second := tr.snapshot()
	if second[0] != first[0] || second[1] == first[1] {
		t.Fatalf("%v, was %v", second, first)
	}
	join(nil, 0, 1) // thrown out, and given the same again
	third := tr.snapshot()
	if third[0] == second[0] || third[1] == second[1] {
		t.Fatalf("%v, was %v", third, second)
	}
	if tr.still(map[int32]Offset{0: {Assignment: second[0]}}) || !tr.still(map[int32]Offset{0: {Assignment: third[0]}}) {
		t.Fatal("an old assignment passes for the new one")
	}
	tr.JoinGroupMetadata([]string{"x"}, own(1), 2)
	if tr.still(map[int32]Offset{0: {Assignment: third[0]}}) {
		t.Fatal("a partition that a join no longer claims is still owned")
	}
}

// TestTracker_ANewMemberClaimsNothing: the client joins with the claims of the member that was thrown out.
func TestTracker_ANewMemberClaimsNothing(t *testing.T) {
	tr := newTracker("x", nil)
	member := ""
	tr.MemberID = func() string { return member }
	claims := map[string][]int32{"x": {0, 1}}
	claimed := func() int {
		var m kmsg.ConsumerMemberMetadata
		if err := m.ReadFrom(tr.JoinGroupMetadata([]string{"x"}, claims, 1)); err != nil {
			t.Fatal(err)
		}
		return len(m.OwnedPartitions)
	}
	assigned := func() map[int32]int64 {
		t.Helper()
		if _, err := tr.ParseSyncAssignment(assignment(0, 1)); err != nil {
			t.Fatal(err)
		}
		return tr.snapshot()
	}
	tr.JoinGroupMetadata([]string{"x"}, nil, -1)
	member = "one"
	first := assigned()
	if claimed() != 1 || !maps.Equal(tr.snapshot(), first) {
		t.Fatal("a member that joins again gives up what it has")
	}
	member = "" // the answer was UNKNOWN_MEMBER_ID
	if claimed() != 0 || len(tr.snapshot()) != 0 {
		t.Fatal("a new member claims what another was given, or keeps it")
	}
	member = "two"
	second := assigned()
	for p, n := range second {
		if n == first[p] {
			t.Fatalf("partition %d has the number of an assignment before: %v, was %v", p, second, first)
		}
	}
	if tr.still(map[int32]Offset{0: {Assignment: first[0]}}) {
		t.Fatal("work that began before passes")
	}
}
