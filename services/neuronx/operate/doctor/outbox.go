package doctor

import (
	"context"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// checkOutboxNumbers looks for rows that were taken out of an outbox without a trace there: all numbers were given to rows, none waits, and
// the sequencer has not seen the last ones.
func (x *examination) checkOutboxNumbers(ctx context.Context) []Finding {
	path := x.env.Value(operate.EnvKeys)
	if path == "" {
		return []Finding{{Result: Skipped, Detail: operate.EnvKeys + " is not set: the sequencer's numbers can't be read without the signing keys"}}
	}
	if x.env.Value(operate.EnvBrokers) == "" {
		return []Finding{{Result: Skipped, Detail: operate.EnvBrokers + " is not set: the sequencer's numbers are in Kafka"}}
	}
	keys, err := event.LoadKeyring(path)
	if err != nil {
		return []Finding{fail(err, "")}
	}
	cfg, err := x.env.Kafka()
	if err != nil {
		return []Finding{fail(err, "")}
	}
	// In this order: what was seen in the log by the first look is in the state by the second.
	pool, err := x.env.Pool(ctx)
	if err != nil {
		return []Finding{fail(err, "doctor needs the role neuronx_ops")}
	}
	given, err := outbox.Drained(ctx, pool)
	if err != nil {
		return []Finding{fail(err, "doctor needs the role neuronx_ops")}
	}
	has, err := statelog.AllNumbers(ctx, cfg, keys)
	if kafka.Unauthorized(err) {
		return []Finding{unseen(err, "the ACL Read on the topic "+kafka.TopicState)}
	}
	if err != nil {
		return []Finding{fail(err, "doctor reads "+kafka.TopicState)}
	}
	return aheadOfLog(given, has)
}

// aheadOfLog compares the numbers of outboxes in which nothing waits with those that the sequencer has, by tenant and deriver.
func aheadOfLog(given []outbox.Number, has map[string]map[string]int64) (out []Finding) {
	for _, g := range given {
		n := has[g.Tenant][g.Deriver]
		if g.Last <= n {
			continue
		}
		if len(out) == forgeryLimit {
			return append(out, Finding{Result: Failed, Detail: "and more"})
		}
		out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("%s, %s gave out numbers up to %d, the sequencer has %d, and no row waits: rows were taken away, or the number was raised", g.Tenant, g.Deriver, g.Last, n),
			Next: fmt.Sprintf("neuronx outbox mend %s --deriver %s", g.Tenant, g.Deriver)})
	}
	return orOK(out, "the sequencer has what outboxes without rows gave out")
}
