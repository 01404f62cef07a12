package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// checkTransactions names what holds up readers for good.
func checkTransactions(ctx context.Context, adm *admin.Client) []Finding {
	found, looked, err := operate.HangingTxns(ctx, adm)
	if err != nil {
		return []Finding{unseen(err, rightsToSeeTxns)}
	}
	return judgeTxns(found, looked)
}

const rightsToSeeTxns = "the ACLs Read on the topics and on __consumer_offsets, and Describe on the transactional ids"

// judgeTxns is pure. That none hangs is only said of what was looked at.
func judgeTxns(found []hanging.Txn, looked operate.LookedAt) []Finding {
	var out []Finding
	if len(looked.Hidden) > 0 {
		out = append(out, Finding{Result: Skipped, Detail: "this Kafka user may not see, or they are missing: " + strings.Join(looked.Hidden, ", "), Next: "it takes " + rightsToSeeTxns})
	}
	if len(found) == 0 && looked.Partitions > 0 {
		out = append(out, Finding{Result: OK, Detail: "none hangs in " + operate.Plural(looked.Partitions, "partition")})
	}
	for _, t := range found {
		out = append(out, Finding{Result: Failed, Next: "neuronx log hanging --execute",
			Detail: fmt.Sprintf("%s-%d: readers wait at offset %d for a transaction (%s) that nobody will end: %s", t.Topic, t.Partition, t.StartOffset, cmp.Or(t.TransactionalID, "-"), t.Reason)})
	}
	return out
}
