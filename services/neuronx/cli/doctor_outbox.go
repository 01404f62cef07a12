package cli

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

// givenNumber is the last number that a deriver's outbox gave out for a tenant.
type givenNumber struct {
	tenant, deriver string
	last            int64
}

// checkOutboxNumbers looks for rows that were taken out of an outbox without a trace there: all numbers were given to rows, none waits, and
// the sequencer has not seen the last ones.
func (c *cli) checkOutboxNumbers(ctx context.Context) []finding {
	path := c.value(envKeys)
	if path == "" {
		return []finding{{Result: checkSkipped, Detail: envKeys + " is not set: the sequencer's numbers can't be read without the signing keys"}}
	}
	if c.value(envBrokers) == "" {
		return []finding{{Result: checkSkipped, Detail: envBrokers + " is not set: the sequencer's numbers are in Kafka"}}
	}
	keys, err := event.LoadKeyring(path)
	if err != nil {
		return []finding{fail(err, "")}
	}
	cfg, err := c.kafka()
	if err != nil {
		return []finding{fail(err, "")}
	}
	// In this order: what was seen in the log by the first look is in the state by the second.
	given, err := c.emptyOutboxes(ctx)
	if err != nil {
		return []finding{fail(err, "doctor needs the role neuronx_ops")}
	}
	has, err := statelog.AllNumbers(ctx, cfg, keys)
	if kafka.Unauthorized(err) {
		return []finding{unseen(err, "the ACL Read on the topic "+kafka.TopicState)}
	}
	if err != nil {
		return []finding{fail(err, "doctor reads "+kafka.TopicState)}
	}
	return aheadOfLog(given, has)
}

// emptyOutboxes lists the outboxes in which nothing waits.
func (c *cli) emptyOutboxes(ctx context.Context) ([]givenNumber, error) {
	pool, err := c.pool(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := pool.Query(ctx, `SELECT tenant_id, deriver, last FROM neuronx.outbox_numbers n WHERE last > 0
		AND NOT EXISTS (SELECT FROM neuronx.outbox o WHERE o.tenant_id = n.tenant_id AND o.deriver = n.deriver) ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("list outboxes: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (g givenNumber, err error) {
		return g, r.Scan(&g.tenant, &g.deriver, &g.last)
	})
}

// aheadOfLog compares the numbers of outboxes in which nothing waits with those that the sequencer has, by tenant and deriver.
func aheadOfLog(given []givenNumber, has map[string]map[string]int64) (out []finding) {
	for _, g := range given {
		n := has[g.tenant][g.deriver]
		if g.last <= n {
			continue
		}
		if len(out) == forgeryLimit {
			return append(out, finding{Result: checkFail, Detail: "and more"})
		}
		out = append(out, finding{Result: checkFail, Detail: fmt.Sprintf("%s, %s gave out numbers up to %d, the sequencer has %d, and no row waits: rows were taken away, or the number was raised", g.tenant, g.deriver, g.last, n),
			Next: fmt.Sprintf("neuronx outbox mend %s --deriver %s", g.tenant, g.deriver)})
	}
	if len(out) == 0 {
		out = append(out, finding{Result: checkOK, Detail: "the sequencer has what outboxes without rows gave out"})
	}
	return out
}
