//go:build synctests

package sequencer

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// contents is all that the topics hold.
type contents struct {
	ingress   map[int32]int64 // data records a partition
	next      map[int32]int64 // offset after the last data record
	states    map[int32]*admission.State
	committed map[kafka.TopicPartition]kafka.Committed
	log       map[string][]event.Recorded
	perLog    map[int32]int64
	dead      map[string]int // by tenant, id and code
	perDead   map[int32]int64
	errs      []string
}

func (s *sim) look() contents {
	cfg := s.v.Config(s.clean)
	w := contents{ingress: map[int32]int64{}, next: map[int32]int64{}, states: map[int32]*admission.State{}, dead: map[string]int{}, perLog: map[int32]int64{}, perDead: map[int32]int64{}}
	adm, err := admin.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	defer adm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.Patience)
	defer cancel()
	if w.committed, err = adm.Committed(ctx, kafka.GroupSequencer); err != nil {
		w.errs = append(w.errs, err.Error())
	}
	ids, err := adm.TopicIDs(ctx, kafka.TopicIngress)
	if err != nil {
		s.t.Fatal(err)
	}
	starts, err := adm.StartOffsets(ctx, kafka.TopicState)
	if err != nil {
		s.t.Fatal(err)
	}
	// Ingress first: what is judged after it was read makes nothing look judged that is not.
	for _, r := range kafkatest.Consume(s.t, cfg, kafka.TopicIngress) {
		w.ingress[r.Partition]++
		w.next[r.Partition] = r.Offset + 1
	}
	loaders := map[int32]*admission.Loader{}
	for _, r := range kafkatest.Consume(s.t, cfg, kafka.TopicState) {
		l := loaders[r.Partition]
		if l == nil {
			l = &admission.Loader{TopicID: ids[kafka.TopicIngress], Partition: r.Partition, Trimmed: starts[kafka.TopicPartition{Topic: kafka.TopicState, Partition: r.Partition}] > 0}
			loaders[r.Partition] = l
		}
		if err := l.Add(r.Offset, r.Value); err != nil {
			w.errs = append(w.errs, fmt.Sprintf("state %d at %d: %v", r.Partition, r.Offset, err))
		}
	}
	for p, l := range loaders {
		w.states[p] = l.State
	}
	w.log = map[string][]event.Recorded{}
	for _, r := range kafkatest.Consume(s.t, cfg, kafka.TopicEvents) {
		e, err := kafka.ParseRecorded(r)
		if err != nil {
			w.errs = append(w.errs, err.Error())
			continue
		}
		w.log[e.TenantID] = append(w.log[e.TenantID], e)
		w.perLog[r.Partition]++
	}
	for _, r := range kafkatest.Consume(s.t, cfg, kafka.TopicDeadLetter) {
		id, _ := kafka.Header(r, "ce_id")
		w.dead[string(r.Key)+" "+id]++
		w.perDead[r.Partition]++
	}
	return w
}

// idle reports whether every record of ingress is covered by a committed offset.
func (w *contents) idle() bool {
	for p, next := range w.next {
		if w.committed[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p}].Offset < next || w.states[p] == nil || w.states[p].Next < next {
			return false
		}
	}
	return len(w.next) > 0
}

func (w *contents) String() string {
	out := fmt.Sprint(w.errs)
	for p, next := range w.next {
		out += fmt.Sprintf(" partition %d: %d of ingress, committed %+v", p, next, w.committed[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p}])
		if s := w.states[p]; s != nil {
			out += fmt.Sprintf(", state %d", s.Next)
		}
	}
	return out
}

// check decides I1, I2 and I10.
func (w *contents) check(h *history) []string {
	out := slices.Clone(w.errs)
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	times := map[string]int{}
	for _, tenant := range slices.Sorted(maps.Keys(w.log)) {
		last := int64(0)
		for i, e := range w.log[tenant] {
			if e.Sequence != int64(i+1) {
				bad("I2: event %d of %s has sequence %d (offset %d, id %s)", i+1, tenant, e.Sequence, e.Offset, e.ID)
			}
			if e.Position <= last {
				bad("I2: position of %s does not rise at sequence %d", tenant, e.Sequence)
			}
			last = e.Position
			times[tenant+" "+e.ID]++
		}
	}
	for key, n := range times {
		if n > 1 {
			bad("I1: %s is in the log %d times", key, n)
		}
		if h.events[key] == nil {
			bad("I1: %s is in the log, and nobody sent it", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(h.events)) {
		x := h.events[key]
		id := x.e.TenantID + " " + x.e.ID
		logged, dead := times[id], w.dead[id]
		if x.fate == inDeadLetters {
			if dead > 1 || dead < 1 && x.acked > 0 {
				bad("I1: refused event %s, acknowledged %d times, is in the dead letters %d times", key, x.acked, dead)
			}
			continue
		}
		if logged < 1 && x.acked > 0 {
			bad("I1: %s, acknowledged %d times, is lost", key, x.acked)
		}
		if dead > 0 && h.events[key+" other"] == nil {
			bad("I1: %s is in the dead letters", key)
		}
	}
	for p, s := range w.states {
		tp := kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p}
		if c := w.committed[tp]; c.Offset != s.Next || !c.Ours() {
			bad("I10: partition %d: the group's offset is %d, the state's %d", p, c.Offset, s.Next)
		}
		var sum admission.Counts
		for tenant, x := range s.Tenants {
			sum.Admitted += x.Counts.Admitted
			sum.Duplicates += x.Counts.Duplicates
			sum.Refused += x.Counts.Refused
			sum.Forwarded += x.Counts.Forwarded
			sum.Ignored += x.Counts.Ignored
			if n := int64(len(w.log[tenant])); x.Sequence != n {
				bad("I10: %s has sequence %d in the state, %d events in the log", tenant, x.Sequence, n)
			}
		}
		if sum.Admitted != w.perLog[p] || sum.Refused != w.perDead[p] {
			bad("I10: partition %d: the state counts %+v; log %d, dead letters %d", p, sum, w.perLog[p], w.perDead[p])
		}
		if judged := sum.Admitted + sum.Duplicates + sum.Refused + sum.Forwarded + sum.Ignored; judged != w.ingress[p] {
			bad("I10: partition %d: %d judged of %d records of ingress", p, judged, w.ingress[p])
		}
	}
	return out
}
