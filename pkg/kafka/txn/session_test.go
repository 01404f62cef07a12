package txn_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// bench is a broker with the topic "t" of two partitions, whose sessions are of the group "g".
type bench struct {
	t   *testing.T
	cfg kafka.Config
	c   *kafkatest.Cluster
	adm *admin.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	cfg, c, adm := kafkatest.StartTopic(t, 2)
	cfg.Log = slog.New(slog.DiscardHandler)
	return &bench{t, cfg, c, adm}
}

// open opens a session under a transactional id, and under a group instance id if one is given, and waits until it has both partitions.
func (b *bench) open(id, instance string) *txn.Session {
	b.t.Helper()
	s, err := txn.Open(b.t.Context(), txn.Config{Config: b.cfg, Group: "g", Topic: "t", TransactionalID: id, InstanceID: instance, SessionTimeout: time.Minute})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	kafkatest.WaitFor(b.t, "both partitions", func(context.Context) bool { return len(s.Assignment()) == 2 })
	return s
}

// transact produces records and commits offsets, as the sequencer does.
func transact(t *testing.T, s *txn.Session, recs []*kafka.Record, commit func() error) error {
	t.Helper()
	s.Hold()
	defer s.Release()
	if err := s.ClearRevoked(t.Context()); err != nil {
		return fmt.Errorf("clear revoked: %w", err)
	}
	if err := s.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := s.Produce(t.Context(), recs); err != nil {
		return err
	}
	return commit()
}

func (b *bench) values() (out []string) {
	b.t.Helper()
	for _, r := range kafkatest.Consume(b.t, b.cfg, "t") {
		out = append(out, fmt.Sprintf("%d:%s", r.Partition, r.Value))
	}
	return out
}

func (b *bench) committed() map[kafka.TopicPartition]kafka.Committed {
	b.t.Helper()
	all, err := b.adm.Committed(b.t.Context(), "g")
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func TestSession_CommitsRecordsAndOffsetsTogether(t *testing.T) {
	b := newBench(t)
	s := b.open("tx", "")
	topics, err := b.adm.Topics(t.Context(), "t")
	if err != nil || s.TopicID() != topics["t"].ID || s.TopicID() == [16]byte{} {
		t.Errorf("topic id %x, want %x, %v", s.TopicID(), topics["t"].ID, err)
	}
	if !s.Joined() {
		t.Error("a member with an assignment has not joined")
	}
	recs := append(kafkatest.Numbered(0, 1, 2), kafkatest.Numbered(1, 3, 1)...)
	at := txn.Offset{Next: 5, Epoch: -1, Metadata: "nx1:0:l", Assignment: s.Assignment()[0]}
	if err := transact(t, s, recs, func() error { return s.Commit(t.Context(), map[int32]txn.Offset{0: at}) }); err != nil {
		t.Fatal(err)
	}
	if recs[1].Offset != 1 || recs[2].Partition != 1 {
		t.Errorf("records are at %d and in partition %d", recs[1].Offset, recs[2].Partition)
	}
	if got := b.values(); !slices.Equal(got, []string{"0:1", "0:2", "1:3"}) {
		t.Errorf("the topic has %v", got)
	}
	all := b.committed()
	if c := all[kafka.TopicPartition{Topic: "t"}]; c.Offset != 5 || c.Metadata != "nx1:0:g:5:l" || !c.Ours() || len(all) != 1 {
		t.Errorf("the group has %+v", all)
	}
	if c, err := s.StableOffset(t.Context(), 0); err != nil || c != all[kafka.TopicPartition{Topic: "t"}] {
		t.Errorf("stable offset %+v, %v", c, err)
	}
	if c, err := s.StableOffset(t.Context(), 1); err != nil || c.Present {
		t.Errorf("stable offset of what was never committed: %+v, %v", c, err)
	}
	// The next one, after partitions went and came: without ClearRevoked it would be aborted.
	before := s.Assignment()
	s.Rebalance()
	kafkatest.WaitFor(t, "the rebalance to be signalled", func(context.Context) bool {
		select {
		case <-s.Changed():
			return true
		default:
			return false
		}
	})
	kafkatest.WaitFor(t, "both partitions again", func(context.Context) bool { return len(s.Assignment()) == 2 })
	at.Next, at.Assignment = 6, s.Assignment()[0]
	if err := transact(t, s, kafkatest.Numbered(0, 4, 1), func() error { return s.Commit(t.Context(), map[int32]txn.Offset{0: at}) }); err != nil {
		t.Errorf("after %v became %v: %v", before, s.Assignment(), err)
	}
	if errs := s.Errors(); len(errs) != 0 {
		t.Errorf("in the background: %v", errs)
	}
}

func TestSession_RefusesToCommitWhatIsNotFenced(t *testing.T) {
	b := newBench(t)
	s := b.open("tx", "")
	own := s.Assignment()[0]
	extra := func(with int32, assignment int64) txn.ExtraOffset {
		return txn.ExtraOffset{TopicPartition: kafka.TopicPartition{Topic: "t", Partition: with}, TopicID: s.TopicID(), With: with, Offset: txn.Offset{Next: 1, Epoch: -1, Assignment: assignment}}
	}
	for name, x := range map[string]struct {
		commit func() error
		want   error  // nil: any
		says   string // of any
	}{
		"no offsets":       {func() error { return s.Commit(t.Context(), nil) }, nil, "not fenced"},
		"no extra offsets": {func() error { return s.CommitExtra(t.Context(), nil) }, nil, "not fenced"},
		"another assignment": {func() error {
			return s.Commit(t.Context(), map[int32]txn.Offset{0: {Next: 1, Epoch: -1, Assignment: own + 9}})
		}, txn.ErrNotOwned, ""},
		"a partition never owned": {func() error {
			return s.Commit(t.Context(), map[int32]txn.Offset{7: {Next: 1, Epoch: -1, Assignment: own}})
		}, txn.ErrNotOwned, ""},
		"two assignments of one": {func() error { return s.CommitExtra(t.Context(), []txn.ExtraOffset{extra(0, own), extra(0, own+1)}) }, txn.ErrNotOwned, ""},
		"one that is gone":       {func() error { return s.CommitExtra(t.Context(), []txn.ExtraOffset{extra(0, own+1)}) }, txn.ErrNotOwned, ""},
	} {
		err := transact(t, s, kafkatest.Numbered(0, 1, 1), x.commit)
		if err == nil || x.want != nil && !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
		s = b.open("tx", "")
		own = s.Assignment()[0]
	}
	if got, all := b.values(), b.committed(); len(got) != 0 || len(all) != 0 {
		t.Errorf("records %v and offsets %v are there", got, all)
	}
}

func TestSession_AFailureOfTheBrokerCommitsNothingAndIsTold(t *testing.T) {
	for name, x := range map[string]struct {
		fault kfake.Fault
		says  string
	}{
		"a record":           {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.InvalidRecord}, "produce in transaction"},
		"the offsets":        {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration}, "transaction"},
		"the end":            {kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.InvalidTxnState, Count: -1}, "end transaction"},
		"another's epoch":    {kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.InvalidProducerEpoch, Count: -1}, txn.ErrFenced.Error()},
		"another's instance": {kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.FencedInstanceID, Count: -1}, txn.ErrFenced.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.open("tx", "one")
			h := b.c.Fault(x.fault)
			err := transact(t, s, kafkatest.Numbered(0, 1, 1), func() error {
				return s.Commit(t.Context(), map[int32]txn.Offset{0: {Next: 1, Epoch: -1, Assignment: s.Assignment()[0]}})
			})
			if h.Hits() == 0 {
				t.Fatalf("the broker was not asked: %v", err)
			}
			if err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%v, want %q", err, x.says)
			}
			if all := b.committed(); len(all) != 0 {
				t.Errorf("offsets %v are committed", all)
			}
		})
	}
}

func TestSession_TheNewerOfTwoUnderOneIDFencesTheOlder(t *testing.T) {
	b := newBench(t)
	first := b.open("tx", "one")
	if err := first.Fenced(); err != nil {
		t.Errorf("fenced before another came: %v", err)
	}
	left := kafkatest.Numbered(0, 1, 1)
	first.Hold()
	if err := first.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := first.Produce(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	assignment := first.Assignment()[0]
	first.Release()
	second := b.open("tx", "one")
	if err := first.Commit(t.Context(), map[int32]txn.Offset{0: {Next: 1, Epoch: -1, Assignment: assignment}}); err == nil {
		t.Error("the older one commits")
	}
	kafkatest.WaitFor(t, "the older one to know", func(context.Context) bool { return errors.Is(first.Fenced(), txn.ErrFenced) })
	if err := transact(t, second, kafkatest.Numbered(0, 2, 1), func() error {
		return second.Commit(t.Context(), map[int32]txn.Offset{0: {Next: 2, Epoch: -1, Assignment: second.Assignment()[0]}})
	}); err != nil {
		t.Error(err)
	}
	if got := b.values(); !slices.Equal(got, []string{"0:2"}) {
		t.Errorf("the topic has %v, want what the newer one committed alone", got)
	}
}

func TestSession_CommitsOutsideOfTransactionsAndForOtherTopics(t *testing.T) {
	b := newBench(t)
	if err := b.c.CreateTopic("landing", 2, nil); err != nil {
		t.Fatal(err)
	}
	s := b.open("tx", "")
	topics, err := b.adm.Topics(t.Context(), "landing")
	if err != nil {
		t.Fatal(err)
	}
	own := s.Assignment()
	if err := s.CommitPlain(t.Context(), 1, txn.Offset{Next: 8, Epoch: -1, Metadata: "nx1:0:l", Assignment: own[1]}); err != nil {
		t.Error(err)
	}
	if err := s.CommitPlain(t.Context(), 0, txn.Offset{Next: 8, Epoch: -1, Assignment: own[0] + 5}); !errors.Is(err, txn.ErrNotOwned) {
		t.Errorf("a partition that is not owned so: %v", err)
	}
	b.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.OffsetMetadataTooLarge})
	if err := s.CommitPlain(t.Context(), 1, txn.Offset{Next: 9, Epoch: -1, Assignment: own[1]}); !errors.Is(err, kerr.OffsetMetadataTooLarge) || !strings.Contains(err.Error(), "t-1") {
		t.Errorf("a commit that the broker refuses: %v", err)
	}
	extra := func(p int32, next int64) txn.ExtraOffset {
		return txn.ExtraOffset{TopicPartition: kafka.TopicPartition{Topic: "landing", Partition: p}, TopicID: topics["landing"].ID, With: 0,
			Offset: txn.Offset{Next: next, Epoch: -1, Metadata: "nx1:0:l", Assignment: s.Assignment()[0]}}
	}
	if err := transact(t, s, kafkatest.Numbered(0, 1, 1), func() error { return s.CommitExtra(t.Context(), []txn.ExtraOffset{extra(0, 3), extra(1, 4)}) }); err != nil {
		t.Fatal(err)
	}
	want := map[kafka.TopicPartition]string{{Topic: "t", Partition: 1}: "nx1:0:g:8:l", {Topic: "landing", Partition: 0}: "nx1:0:g:3:l", {Topic: "landing", Partition: 1}: "nx1:0:g:4:l"}
	all := b.committed()
	for tp, mark := range want {
		if all[tp].Metadata != mark {
			t.Errorf("%s: %+v, want %s", tp, all[tp], mark)
		}
	}
	of := map[kafka.TopicPartition][16]byte{{Topic: "nowhere", Partition: 0}: {1}, {Topic: "t", Partition: 0}: s.TopicID()}
	for tp := range want {
		of[tp] = topics["landing"].ID
		if tp.Topic == "t" {
			of[tp] = s.TopicID()
		}
	}
	got, err := s.StableOffsets(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	for tp := range want {
		if got[tp] != all[tp] {
			t.Errorf("%s: stable %+v, want %+v", tp, got[tp], all[tp])
		}
	}
	if c, is := got[kafka.TopicPartition{Topic: "t", Partition: 0}]; !is || c.Present {
		t.Errorf("what was never committed: %+v %v", c, is)
	}
	if len(all) != 3 {
		t.Errorf("the group has %v", all)
	}
}

func TestSession_StableOffsetsWaitForOpenTransactionsAndTellErrors(t *testing.T) {
	b := newBench(t)
	s := b.open("tx", "")
	tp := map[kafka.TopicPartition][16]byte{{Topic: "t", Partition: 0}: s.TopicID()}
	open := b.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "t", Err: kerr.UnstableOffsetCommit, Count: 1})
	if got, err := s.StableOffsets(t.Context(), tp); err != nil || len(got) != 0 || open.Hits() != 1 {
		t.Errorf("of an open transaction: %v, %v", got, err)
	}
	open = b.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "t", Err: kerr.UnstableOffsetCommit, Count: 3})
	if c, err := s.StableOffset(t.Context(), 0); err != nil || c.Present || open.Hits() != 3 {
		t.Errorf("asked %d times: %+v, %v", open.Hits(), c, err)
	}
	for _, of := range []kfake.Fault{{Topic: "t"}, {Group: "g"}} {
		of.Keys, of.Err, of.Count = []kmsg.Key{kmsg.OffsetFetch}, kerr.GroupAuthorizationFailed, -1
		h := b.c.Fault(of)
		if _, err := s.StableOffset(t.Context(), 0); !errors.Is(err, kerr.GroupAuthorizationFailed) {
			t.Errorf("topic %q, group %q: %v", of.Topic, of.Group, err)
		}
		if _, err := s.StableOffsets(t.Context(), tp); !errors.Is(err, kerr.GroupAuthorizationFailed) {
			t.Errorf("topic %q, group %q, several: %v", of.Topic, of.Group, err)
		}
		h.Remove()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "t", Err: kerr.UnstableOffsetCommit, Count: -1})
	if _, err := s.StableOffset(ctx, 0); err == nil {
		t.Error("an offset that never becomes stable is waited for beyond the time")
	}
}

func TestSession_AStaticMemberLeavesAtOnceWhenItEndsForGood(t *testing.T) {
	b := newBench(t)
	members := func(ctx context.Context) int {
		g, err := b.adm.DescribeGroup(ctx, "g")
		if err != nil {
			t.Fatal(err)
		}
		return len(g.Members)
	}
	s := b.open("tx", "one")
	if n := members(t.Context()); n != 1 {
		t.Fatalf("%d members", n)
	}
	if err := s.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	kafkatest.WaitFor(t, "the group to be empty", func(ctx context.Context) bool { return members(ctx) == 0 })
	s.Close()
	dynamic := b.open("tx", "")
	if err := dynamic.Leave(t.Context()); err != nil || members(t.Context()) != 1 {
		t.Errorf("a dynamic member leaves when it is closed: %v", err)
	}
}

func TestOpen_TellsWhatTheBrokerRefuses(t *testing.T) {
	b := newBench(t)
	for key, err := range map[kmsg.Key]*kerr.Error{kmsg.InitProducerID: kerr.TransactionalIDAuthorizationFailed, kmsg.Metadata: kerr.TopicAuthorizationFailed} {
		h := b.c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, TopLevel: key == kmsg.InitProducerID, Err: err, Count: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if s, got := txn.Open(ctx, txn.Config{Config: b.cfg, Group: "g", Topic: "t", TransactionalID: "tx"}); got == nil {
			s.Close()
			t.Errorf("%s is refused, and the session is open", kmsg.NameForKey(int16(key)))
		} else if !errors.Is(got, err) {
			t.Errorf("%s: %v", kmsg.NameForKey(int16(key)), got)
		}
		cancel()
		h.Remove()
	}
}

func TestProduce_WritesAllOrNothing(t *testing.T) {
	b := newBench(t)
	if err := txn.Produce(t.Context(), b.cfg, "p", append(kafkatest.Numbered(0, 1, 2), kafkatest.Numbered(1, 3, 1)...)); err != nil {
		t.Fatal(err)
	}
	want := []string{"0:1", "0:2", "1:3"}
	for name, x := range map[string]struct {
		fault kfake.Fault
		says  string
	}{
		"a record": {kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Partitions: []int32{1}, Err: kerr.InvalidRecord}, "produce in a transaction"},
		"the end":  {kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.InvalidTxnState}, "commit transaction"},
	} {
		h := b.c.Fault(x.fault)
		err := txn.Produce(t.Context(), b.cfg, "p", append(kafkatest.Numbered(0, 4, 1), kafkatest.Numbered(1, 5, 1)...))
		if err == nil || !strings.Contains(err.Error(), x.says) || h.Hits() == 0 {
			t.Errorf("%s: %v", name, err)
		}
		h.Remove()
	}
	if err := txn.Produce(t.Context(), b.cfg, "p", kafkatest.Numbered(0, 6, 1)); err != nil { // ends what is open under the id
		t.Fatal(err)
	}
	if got := b.values(); !slices.Equal(got, append(slices.Clone(want[:2]), "0:6", "1:3")) {
		t.Errorf("the topic has %v", got)
	}
}
