package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

// stateBudget bounds the look at the sequencer's state, which may be hundreds of megabytes.
const stateBudget = 5 * time.Second

// checkState looks for records in neuronx.sequencer.state that somebody else wrote.
func (c *cli) checkState(ctx context.Context) []finding {
	cfg, err := c.kafka()
	if err != nil {
		return []finding{fail(err, "")}
	}
	var keys *event.Keyring // without them seals are not looked at
	if path := c.value(envKeys); path != "" {
		if keys, err = event.LoadKeyring(path); err != nil {
			return []finding{fail(err, "")}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stateBudget)
	defer cancel()
	found, whole, err := sequencer.Strays(ctx, cfg, keys)
	return judgeState(found, whole, err)
}

// judgeState says what the look means; it is pure.
func judgeState(found []sequencer.Stray, whole bool, err error) []finding {
	var out []finding
	for _, s := range found {
		out = append(out, finding{Result: checkFail, Detail: fmt.Sprintf("somebody else wrote %s to partition %d, the first at offset %d: %s; the sequencer ignores them", plural(int(s.Records), "record"), s.Partition, s.Offset, s.Why),
			Next: "only ingest's Kafka user may write to neuronx.sequencer.state (pkg/kafka/topology/access.yaml): find out who did, and take the right away"})
	}
	switch {
	case kafka.Unauthorized(err):
		out = append(out, unseen(err, "the ACL Read on the topic "+kafka.TopicState))
	case err != nil:
		out = append(out, fail(err, "is it named in the readiness of ingest, too? See \"Mending\" in docs/operations.md"))
	case !whole:
		out = append(out, finding{Result: checkOK, Detail: fmt.Sprintf("not all of it could be read in %s; ingest looks at all when it restores", stateBudget)})
	case len(out) == 0:
		out = append(out, finding{Result: checkOK, Detail: "all of it is the sequencer's"})
	}
	return out
}
