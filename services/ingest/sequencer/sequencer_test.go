package sequencer

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

func TestRun_AdmitsRefusesAndDropsRepeatsEndToEnd(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	start(t, testConfig(cfg, keys, "0"))
	var events []*event.Event
	for i := range 5 {
		tenant := fmt.Sprintf("t%d", i)
		events = append(events, created(keys, tenant))
		for j := range 20 {
			events = append(events, lead(tenant, fmt.Sprint(j)))
		}
		events = append(events, lead(tenant, "3")) // a repeat
	}
	events = append(events, lead("nobody", "1"))
	send(t, cfg, events...)
	log := waitLogged(t, cfg, 5*21)
	checkLog(t, log)
	if n := total(log); n != 5*21 {
		t.Fatalf("%d events in the log", n)
	}
	dead := kafkatest.Consume(t, cfg, kafka.TopicDeadLetter)
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	if code, _ := kafka.Header(dead[0], event.DeadCode); code != string(event.CodeUnknownTenant) {
		t.Fatalf("dead letter for %s", code)
	}
	want := map[string]Ledger{"": {Refused: 1}}
	for i := range 5 {
		want[fmt.Sprintf("t%d", i)] = Ledger{Admitted: 21, Duplicates: 1}
	}
	kafkatest.WaitFor(t, "every record in the ledger", func(ctx context.Context) bool {
		got, err := Ledgers(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return maps.Equal(got, want)
	})
}

func TestRun_GoesOnAfterARestart(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	r := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, created(keys, "a"), lead("a", "1"), lead("a", "2"))
	waitLogged(t, cfg, 3)
	r.halt()
	if r.err != nil {
		t.Fatal(r.err)
	}
	send(t, cfg, lead("a", "2"), lead("a", "3"))
	start(t, testConfig(cfg, keys, "0"))
	log := waitLogged(t, cfg, 4)
	checkLog(t, log)
	if log["a"][0].LogID != log["a"][3].LogID {
		t.Fatal("the log id changed")
	}
}

func TestSession_ReadsNoFurtherAheadThanOneTransactionTakes(t *testing.T) {
	c := &session{sequencer: &sequencer{cfg: Config{MaxRecords: 100}}, parts: map[int32]*partition{
		0: {phase: running}, 1: {phase: waiting, pending: []*kafka.Record{{Value: make([]byte, maxBytes)}}},
	}}
	if c.enough(99) || !c.enough(100) {
		t.Error("the bound on records does not hold")
	}
	for name, r := range map[string]*kafka.Record{
		"values":            {Value: make([]byte, maxBytes/16)},
		"keys":              {Key: make([]byte, maxBytes/16)},
		"values of headers": {Headers: []kafka.RecordHeader{{Key: "x", Value: make([]byte, maxBytes/16)}}},
		"names of headers":  {Headers: []kafka.RecordHeader{{Key: strings.Repeat("x", maxBytes/16)}}},
		"empty headers":     {Headers: make([]kafka.RecordHeader, maxBytes/16/headerCost+1)},
	} {
		p := &partition{phase: running}
		c.parts[0] = p
		for range 15 {
			p.push(r)
		}
		if c.enough(15) {
			t.Errorf("%s: too little is enough", name)
		}
		if p.push(r); !c.enough(16) {
			t.Errorf("%s: the bound on bytes does not hold", name)
		}
	}
}

// On three busy brokers a commit took 0.6 s, and a tenth of a second's judging before each left a backlog for minutes.
func TestStage_JudgesForAsLongAsACommitTakes(t *testing.T) {
	for last, want := range map[time.Duration]time.Duration{
		0: 100 * time.Millisecond, 20 * time.Millisecond: 100 * time.Millisecond, 600 * time.Millisecond: 600 * time.Millisecond, time.Minute: time.Second,
	} {
		c := &session{sequencer: &sequencer{cfg: Config{MaxDuration: 100 * time.Millisecond}}, lastCommit: last}
		if got := c.judging(); got != want {
			t.Errorf("after a commit of %s: %s, want %s", last, got, want)
		}
	}
}

func TestStage_TakesNoMoreOfAPartitionThanOneStateRecordHolds(t *testing.T) {
	const records = 10_000
	for name, tt := range map[string]struct {
		tenants int
		want    func(n int) bool
	}{
		"one tenant":                     {1, func(n int) bool { return n == records }},
		"as many tenants as are records": {records, func(n int) bool { return n > records/3 && n < records }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			p := &partition{phase: running, state: d.s}
			for i := range records {
				name := fmt.Sprintf("%063d", i%tt.tenants)
				d.s.tenants[name] = &tenant{status: statusActive, sequence: maxInt - records, derivers: map[string]int64{"rules": maxInt, "gohighlevel": maxInt, "deadletter": maxInt}}
				in := d.input(lead(name, fmt.Sprint(i)))
				r := &kafka.Record{Topic: kafka.TopicIngress, Offset: d.s.next + int64(i), Key: in.key, Value: in.value, Timestamp: time.UnixMilli(in.ms)}
				for _, h := range in.headers {
					r.Headers = append(r.Headers, kafka.RecordHeader(h))
				}
				p.push(r)
			}
			schemas := newSchemaCache(testSchemas)
			defer schemas.close()
			id, _, err := event.Unframe(p.pending[0].Value)
			if err != nil {
				t.Fatal(err)
			}
			if schemas.found[id], err = testSchemas.get(id); err != nil {
				t.Fatal(err)
			}
			c := &session{parts: map[int32]*partition{0: p}, memory: newKeyMemory(1 << 30), sequencer: &sequencer{partitions: 1, schemas: schemas, cfg: Config{
				MaxRecords: records, MaxDuration: time.Minute, Keys: d.keys, Now: func() time.Time { return time.UnixMilli(d.ms) },
			}}}
			b := c.stage()
			if len(b.parts) != 1 || len(b.parts[0].log) != b.n || !tt.want(b.n) {
				t.Fatalf("%d records of one partition in a transaction", b.n)
			}
			b.records()
			if got := b.parts[0].delta; got > maxDelta || got > b.parts[0].o.size {
				t.Errorf("a state record of %d bytes, thought to be at most %d", got, b.parts[0].o.size)
			}
		})
	}
}

// asked is a registry that answers nothing until it may, and tells what it was asked for.
type asked struct {
	ids  chan int32
	free chan struct{}
}

func (a *asked) SchemaByID(ctx context.Context, id int32) (*avro.Schema, error) {
	a.ids <- id
	select {
	case <-a.free:
		return nil, registry.ErrUnknown
	case <-ctx.Done():
		return nil, registry.ErrUnavailable
	}
}

func TestStage_WaitsOnceForManyUnknownSchemas(t *testing.T) {
	const records = 3 * maxAhead
	d := newDoor(t)
	d.s.tenants["acme"] = &tenant{status: statusActive}
	p := &partition{phase: running, state: d.s}
	for i := range records {
		in := d.input(lead("acme", fmt.Sprint(i)))
		r := &kafka.Record{Topic: kafka.TopicIngress, Offset: d.s.next + int64(i), Key: in.key, Value: event.Frame(int32(1_000_000+i), []byte("x")), Timestamp: time.UnixMilli(in.ms)}
		for _, h := range in.headers {
			if h.Key != "neuronx-sig" {
				r.Headers = append(r.Headers, kafka.RecordHeader(h))
			}
		}
		p.push(r)
	}
	source := &asked{ids: make(chan int32, records), free: make(chan struct{})}
	schemas := newSchemaCache(source)
	woken := make(chan struct{}, records)
	schemas.onLoaded(func() { woken <- struct{}{} })
	c := &session{reader: &read.TopicReader{}, parts: map[int32]*partition{0: p}, memory: newKeyMemory(1 << 30), sequencer: &sequencer{partitions: 1, schemas: schemas, cfg: Config{
		MaxRecords: records, MaxDuration: time.Minute, Keys: d.keys, Now: func() time.Time { return time.UnixMilli(d.ms) },
	}}}
	if b := c.stage(); b.n != 0 || p.phase != waiting {
		t.Fatalf("%d records judged whose schemas nobody knows, partition %v", b.n, p.phase)
	}
	// All look-ups but that at the head are started under one lock, so what was asked for is known when the last of them comes.
	for range maxAhead {
		<-source.ids
	}
	close(source.free)
	for range maxAhead {
		<-woken
	}
	if got := len(source.ids); got != 0 {
		t.Errorf("%d look-ups more than %d at once", got, maxAhead)
	}
	p.phase, p.loading = running, 0
	if b := c.stage(); b.n != maxAhead || len(b.parts[0].dead) != maxAhead {
		t.Errorf("%d records judged after one wait, want the %d that were looked up", b.n, maxAhead)
	}
	schemas.close()
}

func TestRemembers_CountsTheKeysOfTheTransactionInFlight(t *testing.T) {
	d := newDoor(t)
	const room = 1000
	c := &session{memory: newKeyMemory(2 * (d.s.keys.bytes() + room*keyBytes + keySlack))} // half of it is one partition's, half whoever's needs it
	c.sequencer = &sequencer{log: slog.New(slog.DiscardHandler), m: newMetrics(prometheus.NewRegistry()), ready: app.NewReadiness()}
	c.reader = &read.TopicReader{}
	p := &partition{phase: running, state: d.s}
	most := 1
	for c.memory.admit(0, d.s.keys, most+1) == nil {
		most++
	}
	if !c.remembers(p, most) {
		t.Fatal("what fits is not taken")
	}
	p.flying = &staged{o: newOverlay(d.s)}
	p.flying.o.put(keyHash{1, 2}, verdict{})
	if c.remembers(p, most) || p.phase != waiting {
		t.Error("the keys of the transaction in flight are not counted")
	}
}

func TestBatch_WritesNothingOfAPartitionThatLeftWhileItWasJudged(t *testing.T) {
	d := newDoor(t)
	of := func(id int32, n int) *staged {
		o := newOverlay(d.s)
		return &staged{p: &partition{id: id, state: d.s}, o: o, record: o.record(), n: n, log: []*kafka.Record{{Topic: kafka.TopicEvents, Partition: id}}}
	}
	b := &batch{parts: []*staged{of(1, 3), of(2, 4)}, n: 7}
	b.keep(func(st *staged) bool { return st.p.id == 2 })
	for _, r := range b.records() {
		if r.Partition == 1 {
			t.Errorf("%s of partition 1 is written", r.Topic)
		}
	}
	if b.n != 4 || len(b.parts) != 1 {
		t.Errorf("%d records of %d partitions", b.n, len(b.parts))
	}
}
