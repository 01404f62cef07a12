package sequencer

import (
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// maxBytes bounds the records of one transaction, so that thousands of records of a megabyte are not held and written at once.
const maxBytes = 16 << 20

// maxDelta is how large the state record of one partition and transaction may become, in bytes; a record's changes come on top of it. The topic
// takes 1 MiB and 128 KiB.
const maxDelta = 1 << 20

// maxJudging bounds what MaxDuration may become, well below the transaction's time-out.
const maxJudging = time.Second

// judging is how long the records of one transaction may be judged: at least MaxDuration, and as long as the last commit took. Where a
// commit takes long, because brokers or cores are busy, short transactions would spend nearly all the time on commits, and a backlog
// that has come up in an outage would not go away.
func (c *session) judging() time.Duration {
	return max(c.cfg.MaxDuration, min(c.lastCommit, maxJudging))
}

// batch is the staged work of one transaction.
type batch struct {
	parts []*staged
	n     int // records judged
	began time.Time
}

// staged is the work on one partition.
type staged struct {
	p         *partition
	o         *admission.Overlay
	n         int // records judged
	tally     tally
	log, dead []*kafka.Record
	receipts  []*kafka.Record
	forwards  []*kafka.Record
	record    admission.Delta // its state record, but for where log and dead letters end
	delta     int             // bytes of it
	epoch     int32
}

// stage judges records of all running partitions, in fair shares, until the transaction is full or its time is over. A transaction may be
// in flight meanwhile: what is staged lies over it, and is written after it or never.
func (c *session) stage() *batch {
	start := time.Now()
	b := &batch{began: start}
	var runnable []*partition
	for _, p := range c.parts {
		if p.phase == running && len(p.pending) > 0 {
			runnable = append(runnable, p)
		}
	}
	slices.SortFunc(runnable, func(x, y *partition) int { return len(x.pending) - len(y.pending) })
	env := &admission.Env{
		Topic: kafka.TopicIngress, Partitions: c.partitions, PartitionOf: kafka.PartitionFor, Schema: c.schemas.lookups(), Versions: c.schemas.versions,
		Verify: c.cfg.Keys.Verify, Sign: c.cfg.Keys.Sign, NowMS: c.cfg.Now().UnixMilli(),
		Rates: c.cfg.Rates, Reuse: new(event.Recorded),
	}
	judging := c.judging()
	for i, p := range runnable {
		// Those with little come first; what they leave of their share goes to the others.
		share := max(1, (c.cfg.MaxRecords-b.n)/(len(runnable)-i))
		if !c.remembers(p, min(share, len(p.pending))) {
			continue
		}
		deadline := start.Add(judging * time.Duration(i+1) / time.Duration(len(runnable)))
		if st := c.stagePartition(env, p, share, maxBytes/len(runnable), deadline); st != nil {
			b.parts = append(b.parts, st)
			b.n += st.n
		}
	}
	return b
}

func (c *session) stagePartition(env *admission.Env, p *partition, share, room int, deadline time.Time) *staged {
	n := min(share, len(p.pending))
	st := &staged{p: p, epoch: p.epoch, log: make([]*kafka.Record, 0, n)}
	var under *admission.Overlay
	if p.flying != nil {
		under, st.epoch = p.flying.o, p.flying.epoch
	}
	st.o = admission.NewOverlay(p.state, under, n)
	recs := make([]kafka.Record, n) // of the log, in one piece of memory
	var pages kafka.Pages
	bytes, loads := 0, c.schemas.generation()
	for i, r := range p.pending[:n] {
		size := weight(r)
		if bytes += size; i > 0 && (bytes > room || st.o.Size > maxDelta || i%64 == 0 && time.Now().After(deadline)) {
			break
		}
		in := asInput(r)
		if len(p.unread) > 0 {
			in.Unread = p.unread[r.Offset]
		}
		d := admission.Admit(env, st.o, in)
		if d.Outcome == admission.Paused {
			if d.Loading {
				c.schemas.ahead(p.pending[i+1:])
			}
			c.pause(p, &d, loads)
			break
		}
		st.epoch = r.LeaderEpoch
		switch {
		case d.Recorded != nil:
			rec := &recs[len(st.log)]
			kafka.FillRecorded(rec, d.Recorded, in.Key, &pages)
			st.log = append(st.log, rec)
		case d.Dead != nil:
			st.dead = append(st.dead, toRecord(kafka.TopicDeadLetter, d.Dead))
		case d.Forward != nil:
			st.forwards = append(st.forwards, toRecord(kafka.TopicIngress, d.Forward))
		}
		if r, waited := admission.ReceiptOf(&d); waited {
			st.receipts = append(st.receipts, &kafka.Record{Topic: kafka.TopicReceipts, Partition: p.id, Key: []byte(d.Receipt), Value: r.Encode()})
		}
		st.tally.add(&d)
		st.n++
		p.held -= size
	}
	if st.n == 0 {
		return nil
	}
	p.pending = p.pending[st.n:]
	st.record = admission.NewDelta(p.state, st.o)
	return st
}

func toRecord(topic string, o *admission.Output) *kafka.Record {
	headers := make([]kafka.RecordHeader, len(o.Headers))
	for i, h := range o.Headers {
		headers[i] = kafka.RecordHeader(h)
	}
	return &kafka.Record{Topic: topic, Partition: o.Partition, Key: o.Key, Headers: headers, Value: o.Value}
}

// remembers reports whether the keys of n more records fit into memory; otherwise it pauses the partition: what is not remembered must
// not be admitted. Waiting does not help, because the window ages by what is admitted, but another instance or a restart with more
// memory does.
func (c *session) remembers(p *partition, n int) bool {
	if p.flying != nil {
		n += len(p.flying.o.Keys.Entries)
	}
	err := c.memory.Admit(p.id, p.state.Keys, n)
	if err == nil {
		return true
	}
	c.reader.Remove(p.id)
	c.enter(p, waiting, stopKeys, err.Error(), retryPaused)
	return false
}

// pause keeps a partition from being read on until its next record can be judged.
func (c *session) pause(p *partition, d *admission.Decision, loads int) {
	c.reader.Remove(p.id)
	if d.Loading {
		p.phase, p.retry = waiting, time.Now().Add(retryPaused)
		p.loading = loads // looked at again as soon as a look-up has ended
		return
	}
	c.enter(p, waiting, string(d.Code), d.Detail, retryPaused)
}
