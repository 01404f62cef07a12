package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// waitsLong is how long a record may be in ingress before its verdict until doctor says so.
const waitsLong = 30 * time.Second

// checkIngress tells partitions of ingress in which committed records have waited for their verdict for long: something holds the
// sequencer up there, and every tenant of the partition waits behind it. The broker's append time counts.
func (x *examination) checkIngress(ctx context.Context, adm *admin.Client) []Finding {
	young, err := adm.OffsetsAfter(ctx, x.env.Now().Add(-waitsLong), kafka.TopicIngress)
	if err != nil {
		return []Finding{unseen(err, "the ACL Describe on "+kafka.TopicIngress)}
	}
	stable, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicIngress)
	if err != nil {
		return []Finding{unseen(err, "the ACL Describe on "+kafka.TopicIngress)}
	}
	starts, err := adm.StartOffsets(ctx, kafka.TopicIngress)
	if err != nil {
		return []Finding{unseen(err, "the ACL Describe on "+kafka.TopicIngress)}
	}
	judged, err := adm.Committed(ctx, kafka.GroupSequencer)
	if err != nil {
		return []Finding{unseen(err, "the ACL Describe on the group "+kafka.GroupSequencer)}
	}
	var out []Finding
	for tp, end := range stable {
		old := end // where nothing is young, all that is there is old
		if o, ok := young[tp]; ok && o.Found {
			old = min(end, o.Offset)
		}
		from := starts[tp]
		if at, ok := judged[tp]; ok && at.Present {
			from = max(from, at.Offset)
		}
		if n := old - from; n > 0 {
			out = append(out, Finding{Result: Failed,
				Detail: fmt.Sprintf("%s have waited for their verdict for more than %s in %s-%d, from offset %d on", operate.Plural(int(n), "record"), waitsLong, tp.Topic, tp.Partition, from),
				Next:   "neuronx status --admin <ingest's admin URL> says what the sequencer waits for; its log names the record at which a partition pauses"})
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return cmp.Compare(a.Detail, b.Detail) })
	return orOK(out, fmt.Sprintf("no record of %s has waited for its verdict for more than %s", operate.Plural(len(stable), "partition"), waitsLong))
}
