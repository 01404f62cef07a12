package badinput

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// maxProduced lets a record be made whose value is far beyond a batch's size: the broker bounds what is sent, not what it inflates to.
const maxProduced = 256 << 20

// kafka produces one batch, or several, and waits for the verdict on every record.
func (p *Player) kafka(ctx context.Context, in *Kafka, want Expect) error {
	if in.First != nil {
		first, err := p.record(in.First)
		if err != nil {
			return err
		}
		if err := p.produce(ctx, "", first); err != nil {
			return err
		}
		id, _ := kafka.Header(first, "ce_id")
		if err := p.Tape.Admitted(ctx, string(first.Key), id); err != nil {
			return fmt.Errorf("the good record before: %w", err)
		}
		p.Admitted++
	}
	r, err := p.record(&in.Record)
	if err != nil {
		return err
	}
	var sent []*kgo.Record
	for range max(in.Batches, 1) {
		batch, err := p.batch(ctx, in, r)
		if err != nil {
			return err
		}
		if in.Whole {
			batch = batch[len(batch)-1:]
		}
		sent = append(sent, batch...)
	}
	for _, r := range sent {
		location := byOffset(r.Partition, r.Offset)
		if in.Misplaced && len(r.Key) > 0 { // it is refused at home, under another offset
			id, _ := kafka.Header(r, "ce_id")
			location = byID(id)
		}
		if err := p.Tape.refused(ctx, want.Code, location); err != nil {
			return err
		}
	}
	return nil
}

// batch produces one batch of an input whose record is r.
func (p *Player) batch(ctx context.Context, in *Kafka, r *kgo.Record) ([]*kgo.Record, error) {
	if b := p.bombs[in]; b != nil {
		client, err := p.client("")
		if err != nil {
			return nil, err
		}
		return b.throw(ctx, client)
	}
	again := *r
	return []*kgo.Record{&again}, p.produce(ctx, in.Codec, &again)
}

// Prepare makes what takes long to make and would take the cores away while the input is played.
func (p *Player) Prepare(in Input) error {
	k, make := in.Kafka, p.record
	if in.Landing != nil {
		k, make = &in.Landing.Kafka, in.Landing.record(p)
	}
	if k == nil || k.Copies < 2 {
		return nil
	}
	r, err := make(&k.Record)
	if err != nil {
		return err
	}
	b, err := makeBomb(r, k.Copies, k.Codec)
	if err != nil {
		return err
	}
	p.bombs = map[*Kafka]*bomb{k: b} // no other is played any more
	return nil
}

// produce sends records as one batch to the partitions that they name.
func (p *Player) produce(ctx context.Context, codec string, rs ...*kgo.Record) error {
	client, err := p.client(codec)
	if err != nil {
		return err
	}
	for _, r := range rs {
		client.Produce(ctx, r, nil)
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for _, r := range rs {
		if r.Offset < 0 || r.Timestamp.IsZero() {
			return fmt.Errorf("the broker did not take the record")
		}
	}
	return nil
}

func (p *Player) client(codec string) (*kgo.Client, error) {
	codecs := map[string]kgo.CompressionCodec{"": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	c, ok := codecs[codec]
	if !ok {
		return nil, fmt.Errorf("there is no codec %s", codec)
	}
	if client := p.clients[codec]; client != nil {
		return client, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(c),
		kgo.ProducerBatchMaxBytes(maxProduced), kgo.BrokerMaxWriteBytes(maxProduced), kgo.ManualFlushing())
	if err != nil {
		return nil, err
	}
	if p.clients == nil {
		p.clients = map[string]*kgo.Client{}
	}
	p.clients[codec] = client
	return client, nil
}

// record makes a record as a file describes it.
func (p *Player) record(in *Record) (*kgo.Record, error) {
	r := &kgo.Record{Topic: kafka.TopicIngress, Offset: -1}
	if in.Key != nil {
		r.Key = []byte(*in.Key)
	} else if !in.NullKey {
		r.Key = []byte(Victim)
	}
	for _, h := range in.Headers {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			return nil, fmt.Errorf("%q is no header", h)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(strings.ReplaceAll(value, `\0`, "\x00"))})
	}
	for i := range in.Fill {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: fmt.Sprintf("fill-%d", i), Value: []byte(strings.Repeat("x", in.FillBytes))})
	}
	var err error
	if in.Value != nil {
		if r.Value, err = in.Value.Make(p.Schemas); err != nil {
			return nil, err
		}
	} else if in.Empty {
		r.Value = []byte{}
	}
	r.Partition = kafka.PartitionFor(r.Key, p.Tape.partitions)
	if in.Misplaced {
		r.Partition = (r.Partition + 1) % p.Tape.partitions
	}
	return r, p.sign(in, r)
}

// sign adds the signature of the engine, or of somebody with a key of his own.
func (p *Player) sign(in *Record, r *kgo.Record) error {
	if in.Sign == "" {
		return nil
	}
	if p.stranger == nil {
		p.stranger = event.NewKeyring()
	}
	keys := map[string]*event.Keyring{"engine": p.Signer, "stranger": p.stranger}[in.Sign]
	if keys == nil {
		return fmt.Errorf("no keyring is called %s", in.Sign)
	}
	e, err := kafka.ParseRecord(r)
	if err != nil {
		return fmt.Errorf("only a readable record can be signed: %w", err)
	}
	if in.Signed != nil {
		if e.Value, err = in.Signed.Make(p.Schemas); err != nil {
			return err
		}
	}
	keys.Sign(&e)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "neuronx-sig", Value: []byte(e.Signature)})
	return nil
}
