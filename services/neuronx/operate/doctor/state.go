package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// stateBudget bounds the look at the sequencer's state, which may be hundreds of megabytes.
const stateBudget = 5 * time.Second

// checkState looks for records in neuronx.sequencer.state that somebody else wrote.
func (x *examination) checkState(ctx context.Context, cfg kafka.Config) []Finding {
	var keys *event.Keyring // without them seals are not looked at
	if path := x.env.Value(operate.EnvKeys); path != "" {
		var err error
		if keys, err = event.LoadKeyring(path); err != nil {
			return []Finding{fail(err, "")}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stateBudget)
	defer cancel()
	found, whole, err := statelog.Strays(ctx, cfg, keys)
	return judgeState(found, whole, err)
}

// judgeState says what the look means; it is pure.
func judgeState(found []statelog.Stray, whole bool, err error) []Finding {
	var out []Finding
	for _, s := range found {
		out = append(out, Finding{Result: Failed, Detail: fmt.Sprintf("somebody else wrote %s to partition %d, the first at offset %d: %s; the sequencer ignores them", operate.Plural(int(s.Records), "record"), s.Partition, s.Offset, s.Why),
			Next: "only ingest's Kafka user may write to neuronx.sequencer.state (pkg/kafka/topology/access.yaml): find out who did, and take the right away"})
	}
	switch {
	case kafka.Unauthorized(err):
		out = append(out, unseen(err, "the ACL Read on the topic "+kafka.TopicState))
	case err != nil:
		out = append(out, fail(err, "is it named in the readiness of ingest, too? See \"Mending\" in docs/operations.md"))
	case !whole:
		out = append(out, Finding{Result: OK, Detail: fmt.Sprintf("not all of it could be read in %s; ingest looks at all when it restores", stateBudget)})
	case len(out) == 0:
		out = append(out, Finding{Result: OK, Detail: "all of it is the sequencer's"})
	}
	return out
}
