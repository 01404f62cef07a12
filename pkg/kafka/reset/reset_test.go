package reset_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/reset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReset_PlansExecutesAndRefusesAnActiveGroup(t *testing.T) {
	ctx := context.Background()
	cfg, c := kafkatest.StartEmpty(t)
	if err := c.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		kafkatest.Produce(t, cfg, &kafka.Record{Topic: "t", Value: []byte(fmt.Sprint(i))})
	}
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()

	back := int64(4)
	spec := reset.Spec{Group: "g", Topics: []string{"t"}, ToOffset: &back}
	rows, warnings, err := reset.Plan(ctx, adm, spec)
	if err != nil || len(rows) != 1 || len(warnings) != 0 || rows[0] != (reset.Row{Group: "g", Topic: "t", Prior: -1, NewOffset: 4}) {
		t.Fatalf("plan %v, warnings %v, %v", rows, warnings, err)
	}
	if err := reset.Execute(ctx, adm, rows, "nx-reset:s1"); err != nil {
		t.Fatal(err)
	}
	at, err := adm.Committed(ctx, "g")
	if c := at[kafka.TopicPartition{Topic: "t"}]; err != nil || c.Offset != 4 || c.Ours() || c.Metadata != "nx-reset:s1" {
		t.Fatalf("committed %+v, %v", c, err)
	}

	// The way back from a first reset is to no offset at all.
	var undo bytes.Buffer
	if err := reset.PriorCSV(&undo, rows); err != nil {
		t.Fatal(err)
	}
	undone, _, err := reset.Plan(ctx, adm, reset.Spec{Group: "g", FromFile: undo.Bytes()})
	if err != nil || len(undone) != 1 || undone[0].NewOffset != reset.NoOffset || undone[0].Prior != 4 {
		t.Fatalf("the way back is %v, %v", undone, err)
	}
	if err := reset.Execute(ctx, adm, undone, "nx-reset:s1b"); err != nil {
		t.Fatal(err)
	}
	if at, err := adm.Committed(ctx, "g"); err != nil || len(at) != 0 {
		t.Fatalf("after the way back %v is committed, %v", at, err)
	}
	if err := reset.Execute(ctx, adm, rows, "nx-reset:s1"); err != nil {
		t.Fatal(err)
	}

	g, err := group.New(group.Config{Config: cfg, Group: "g", Topics: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	rctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- g.Run(rctx, func(context.Context, []*kafka.Record) error { return nil }) }()
	kafkatest.WaitFor(t, "the member's commit", func(ctx context.Context) bool {
		at, err := adm.Committed(ctx, "g")
		return err == nil && at[kafka.TopicPartition{Topic: "t"}].Offset == 10
	})
	if _, warnings, err = reset.Plan(ctx, adm, spec); err != nil || len(warnings) != 1 {
		t.Fatalf("a plan for an active group: %v, %v", warnings, err)
	}
	err = reset.Execute(ctx, adm, rows, "nx-reset:s2")
	const want = "Assignments can only be reset if the group 'g' is inactive, but the current state is Stable."
	if !errors.Is(err, admin.ErrGroupActive) || err.Error() != want {
		t.Fatalf("executed on an active group: %v", err)
	}
	// A client that skips that check is stopped by Kafka.
	if err := adm.Commit(ctx, "g", map[kafka.TopicPartition]kafka.Committed{{Topic: "t"}: {Offset: 1}}); !errors.Is(err, admin.ErrGroupActive) {
		t.Fatalf("a commit while there is a member: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := reset.Execute(ctx, adm, rows, "nx-reset:s3"); err != nil {
		t.Fatal(err)
	}
}

func TestPlan_NamesAMissingTopic(t *testing.T) {
	cfg, _ := kafkatest.StartEmpty(t)
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	_, _, err = reset.Plan(context.Background(), adm, reset.Spec{Group: "g", Topics: []string{"nope"}, ToLatest: true})
	if err == nil || err.Error() != "topic nope does not exist" {
		t.Fatal(err)
	}
}
