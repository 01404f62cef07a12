package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Replays reads what the tenants' streams say of resets, in the order in which they began.
func (c *Cluster) Replays(ctx context.Context, log []event.Recorded) ([]checker.Replay, error) {
	dec := consumer.NewDecoder(c.Registry)
	var out []checker.Replay
	at := map[string]int{}
	for i := range log {
		r := &log[i]
		if r.Type != "engine.replay.started" && r.Type != "engine.replay.completed" {
			continue
		}
		data, err := dec.Decode(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", r.TenantID, r.Sequence, err)
		}
		text := func(k string) string { s, _ := data[k].(string); return s }
		number := func(k string) int64 { n, _ := data[k].(int64); return n }
		key := fmt.Sprintf("%s %s %d", r.TenantID, text("replay_id"), number("partition"))
		n, ok := at[key]
		if !ok {
			n = len(out)
			at[key] = n
			out = append(out, checker.Replay{Tenant: r.TenantID, ID: text("replay_id"), Group: text("group"), Partition: int(number("partition"))})
		}
		p := &out[n]
		if r.Type == "engine.replay.started" {
			p.Started, p.Meaning, p.By = true, text("meaning"), text("by")
			p.FromOffset, p.ToOffset = number("from_offset"), number("to_offset")
		} else {
			p.Completed, p.Outcome, p.Detail = true, text("outcome"), text("detail")
			p.Examined, p.Differences = number("examined"), number("differences")
		}
	}
	return out, nil
}

// A Reset is an operator's reset of a group's offsets that is under way.
type Reset struct {
	c       *Cluster
	group   string
	before  map[string]bool // ids of replays that were there already
	offsets map[kafka.TopicPartition]kafka.Committed
	began   time.Time // when the group's processes were started again
	tenants []string
}

// ResetGroup stops the processes of a group, lets do change the group's offsets, and starts them again.
func (c *Cluster) ResetGroup(ctx context.Context, group string, do func(context.Context) error) (*Reset, error) {
	log, err := c.Log(ctx)
	if err != nil {
		return nil, err
	}
	old, err := c.Replays(ctx, log)
	if err != nil {
		return nil, err
	}
	r := &Reset{c: c, group: group, before: map[string]bool{}}
	for _, p := range old {
		r.before[p.ID] = true
	}
	for i := range log {
		if !slices.Contains(r.tenants, log[i].TenantID) {
			r.tenants = append(r.tenants, log[i].TenantID)
		}
	}
	processes := c.members(group)
	for _, p := range processes {
		if err := p.Term(); err != nil {
			return nil, err
		}
	}
	if r.offsets, err = c.committed(ctx, group); err != nil {
		return nil, err
	}
	if err := do(ctx); err != nil {
		return nil, err
	}
	r.began = time.Now()
	for _, p := range processes {
		if err := p.Start(); err != nil {
			return nil, err
		}
	}
	for _, p := range processes {
		if err := p.Ready(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// ByKafka resets a group as an operator does, with kafka-consumer-groups.sh; target is what that takes, such as --to-earliest.
func ByKafka(group string, target ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := ConsumerGroups(ctx, slices.Concat([]string{"--group", group, "--all-topics", "--reset-offsets", "--execute"}, target)...)
		if err == nil && !strings.Contains(out, kafka.TopicEvents) && !strings.Contains(out, kafka.TopicIngress) {
			err = fmt.Errorf("kafka-consumer-groups did not reset %s:\n%s", group, out)
		}
		return err
	}
}

// members are the processes of a group.
func (c *Cluster) members(group string) []*Process {
	program := strings.TrimPrefix(group, "neuronx.")
	if group == kafka.GroupSequencer {
		program = "ingest"
	}
	var out []*Process
	for _, name := range c.order {
		if name == program || strings.HasPrefix(name, program+"-") {
			out = append(out, c.Processes[name])
		}
	}
	return out
}

// Done waits until the stream of every tenant says that the reset began and ended, and returns what it says.
func (r *Reset) Done(ctx context.Context, limit time.Duration) ([]checker.Replay, error) {
	var found []checker.Replay
	err := Eventually(ctx, limit, func(ctx context.Context) error {
		var open int
		// The table is cheaper to ask than the log. The sequencer has none.
		if err := r.c.Admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.resets WHERE consumer = $1 AND state IN ('requested', 'running')`, r.group).Scan(&open); err != nil {
			return err
		}
		if open > 0 {
			return fmt.Errorf("%d resets of %s are under way", open, r.group)
		}
		log, err := r.c.Log(ctx)
		if err != nil {
			return err
		}
		all, err := r.c.Replays(ctx, log)
		if err != nil {
			return err
		}
		ended := map[string]bool{}
		found = found[:0]
		for _, p := range all {
			if p.Group == r.group && !r.before[p.ID] {
				found = append(found, p)
				ended[p.Tenant] = p.Started && p.Completed
			}
		}
		for _, t := range r.tenants {
			if !ended[t] {
				return fmt.Errorf("the stream of %s does not say that the reset of %s began and ended", t, r.group)
			}
		}
		return nil
	})
	return found, err
}

// Back waits until the group's offsets are again those that the service committed, and returns how long that took after its start.
func (r *Reset) Back(ctx context.Context, limit time.Duration) (time.Duration, error) {
	err := Eventually(ctx, limit, func(ctx context.Context) error {
		now, err := r.c.committed(ctx, r.group)
		if err != nil {
			return err
		}
		for tp, was := range r.offsets {
			if o := now[tp]; o.Offset < was.Offset || o.Offset > was.Offset && !o.Ours() {
				return fmt.Errorf("the offset of %s-%d is %d (%q), it was %d", tp.Topic, tp.Partition, o.Offset, o.Metadata, was.Offset)
			}
		}
		return nil
	})
	return time.Since(r.began), err
}

func (c *Cluster) committed(ctx context.Context, group string) (map[kafka.TopicPartition]kafka.Committed, error) {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	out, err := adm.Committed(ctx, group)
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("group %s has no offsets", group)
	}
	return out, err
}
