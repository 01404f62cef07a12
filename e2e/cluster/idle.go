package cluster

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// WaitIdle waits until everything in ingress is judged, every consumer has everything that is in the log, and every outbox
// and ledger is at rest.
func (c *Cluster) WaitIdle(ctx context.Context, limit time.Duration) error {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return err
	}
	defer adm.Close()
	return Eventually(ctx, limit, func(ctx context.Context) error {
		before, err := c.judgedUpTo(ctx, adm)
		if err != nil {
			return err
		}
		log, err := c.Log(ctx)
		if err != nil {
			return err
		}
		heads := map[string]int64{}
		for i := range log {
			heads[log[i].TenantID] = max(heads[log[i].TenantID], log[i].Sequence)
		}
		if err := c.AtRest(ctx, heads); err != nil {
			return err
		}
		// What a consumer derived meanwhile has left the outbox, but may not be judged yet.
		if after, err := c.judgedUpTo(ctx, adm); err != nil || !maps.Equal(before, after) {
			return fmt.Errorf("the log ends at %v, it was %v (%w)", after, before, err)
		}
		return nil
	})
}

// judgedUpTo returns the ends of the log when nothing is on its way into it: every record of a landing topic is forwarded, every record of
// ingress is judged, and no transaction is open.
func (c *Cluster) judgedUpTo(ctx context.Context, adm *admin.Client) (map[kafka.TopicPartition]int64, error) {
	landing, err := adm.LandingTopics(ctx)
	if err != nil {
		return nil, err
	}
	for topic := range landing {
		if err := c.taken(ctx, adm, kafka.GroupLanding, topic); err != nil {
			return nil, err
		}
	}
	if err := c.taken(ctx, adm, kafka.GroupSequencer, kafka.TopicIngress); err != nil {
		return nil, err
	}
	stable, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		return nil, err
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadUncommitted, kafka.TopicEvents)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(stable, ends) {
		return nil, fmt.Errorf("a transaction is open in the log: it is stable up to %v of %v", stable, ends)
	}
	return ends, nil
}

// taken is nil when a group has committed offsets beyond every committed record of a topic. Control records may lie above them.
func (c *Cluster) taken(ctx context.Context, adm *admin.Client, group, topic string) error {
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, topic)
	if err != nil {
		return err
	}
	starts, err := adm.StartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	committed, err := adm.Committed(ctx, group)
	if err != nil {
		return err
	}
	for tp, end := range ends {
		from := max(starts[tp], committed[tp].Offset)
		n := 0
		err := read.Range(ctx, c.Kafka, topic, tp.Partition, from, end, func(*kafka.Record) error { n++; return nil })
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%s has not taken %d records from offset %d of %s-%d", group, n, from, topic, tp.Partition)
		}
	}
	return nil
}

// AtRest is nil when every consumer stands at the heads, the last sequence of each tenant, every outbox and ledger is at rest, and the log was told of
// every effect that it must be told of.
func (c *Cluster) AtRest(ctx context.Context, heads map[string]int64) error {
	progress, err := c.Progress(ctx)
	if err != nil {
		return err
	}
	reached := map[[2]string]int64{}
	for _, p := range progress {
		if p.State == "stalled" {
			return fmt.Errorf("%s is stalled for %s", p.Tenant, p.Consumer)
		}
		reached[[2]string{p.Consumer, p.Tenant}] = max(reached[[2]string{p.Consumer, p.Tenant}], p.Sequence)
	}
	for tenant, head := range heads {
		for _, consumer := range []string{"neuronx.archiver", "neuronx.projector", "neuronx.projector.control", "neuronx.rules", "neuronx.gohighlevel"} {
			if n := reached[[2]string{consumer, tenant}]; n != head {
				return fmt.Errorf("%s stands at %d of %d for %s", consumer, n, head, tenant)
			}
		}
	}
	var outbox, effects int
	if err := c.Admin.QueryRow(ctx, `SELECT (SELECT count(*) FROM neuronx.outbox), (SELECT count(*) FROM neuronx.effects WHERE status IN ('pending', 'sending') OR untold)`).Scan(&outbox, &effects); err != nil {
		return err
	}
	if outbox+effects > 0 {
		return fmt.Errorf("%d rows in the outbox, %d effects under way", outbox, effects)
	}
	return nil
}
