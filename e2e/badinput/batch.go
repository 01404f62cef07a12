package badinput

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bomb is a batch of equal records as it goes over the wire. It is made before it is played: a client that squeezes hundreds of
// megabytes takes the cores away from what is measured meanwhile, and a real attacker's client runs elsewhere.
type bomb struct {
	first   *kgo.Record
	records int
	bytes   []byte // a record batch of format 2
}

// codecNumbers are the compression codecs of a batch's attributes.
var codecNumbers = map[string]int16{"": 0, "gzip": 1, "lz4": 3, "zstd": 4}

// makeBomb squeezes copies of a record into one batch, one record at a time.
func makeBomb(r *kgo.Record, copies int, codec string) (*bomb, error) {
	var squeezed bytes.Buffer
	w, err := squeezer(&squeezed, codec)
	if err != nil {
		return nil, err
	}
	rec := kmsg.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
	}
	var room []byte
	for i := range copies {
		rec.OffsetDelta, rec.Length = int32(i), 0
		room = rec.AppendTo(room[:0])
		rec.Length = int32(len(room) - 1) // a length of 0 takes one byte
		room = rec.AppendTo(room[:0])
		if _, err := w.Write(room); err != nil {
			return nil, fmt.Errorf("squeeze with %s: %w", codec, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("squeeze with %s: %w", codec, err)
	}
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: codecNumbers[codec], LastOffsetDelta: int32(copies - 1),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(copies), Records: squeezed.Bytes(),
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))                                          // of what follows it
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli))) // likewise
	return &bomb{first: r, records: copies, bytes: out}, nil
}

func squeezer(w io.Writer, codec string) (io.WriteCloser, error) {
	switch codec {
	case "gzip":
		return gzip.NewWriter(w), nil
	case "lz4":
		return lz4.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w)
	}
	return nil, fmt.Errorf("no bomb is made with codec %q", codec)
}

// throw produces the bomb once and returns its records with the offsets that they got.
func (b *bomb) throw(ctx context.Context, client *kgo.Client) ([]*kgo.Record, error) {
	topics, err := kadm.NewClient(client).Metadata(ctx, b.first.Topic)
	if err != nil {
		return nil, fmt.Errorf("where to produce: %w", err)
	}
	topic := topics.Topics[b.first.Topic]
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic.Topic, topic.ID
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = b.first.Partition, b.bytes
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, client.Broker(int(topic.Partitions[b.first.Partition].Leader)))
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("produce: the broker says nothing of the partition")
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return nil, fmt.Errorf("produce: the broker did not take the batch: %w", err)
	}
	sent := make([]*kgo.Record, b.records)
	for i := range sent {
		again := *b.first
		again.Offset = got.BaseOffset + int64(i)
		sent[i] = &again
	}
	return sent, nil
}
