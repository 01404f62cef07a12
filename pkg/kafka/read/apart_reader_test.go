package read_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// compressor is a client's way to compress a batch that this library's own client does not have.
type compressor struct {
	codec    kgo.CompressionCodecType
	compress func([]byte) []byte
}

func (c compressor) Compress(_ *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	return c.compress(src), c.codec
}

// likeJava compresses as Kafka's Java client does at a high level of zstd, or with snappy.
var likeJava = map[string]kgo.Compressor{
	"zstd, level 22": compressor{kgo.CodecZstd, func(src []byte) []byte {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out, zstd.WithWindowSize(128<<20), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1))
		for _, part := range [][]byte{src[:len(src)/2], src[len(src)/2:]} {
			if err == nil {
				_, err = w.Write(part)
			}
			if err == nil {
				err = w.Flush()
			}
		}
		if err != nil || w.Close() != nil {
			return nil
		}
		return out.Bytes()
	}},
	"snappy of Java": compressor{kgo.CodecSnappy, func(src []byte) []byte {
		out := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
		for part := range slices.Chunk(src, 32<<10) {
			block := s2.EncodeSnappy(nil, part)
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(block))), block...)
		}
		return out
	}},
}

// oneBatch produces records as one batch, in a transaction if id is not empty.
func oneBatch(t *testing.T, cfg kafka.Config, how kgo.Opt, id string, end kgo.TransactionEndTry, recs ...*kafka.Record) {
	t.Helper()
	opts := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(), kgo.ProducerBatchMaxBytes(90 << 20), how}
	if cfg.Dialer != nil {
		opts = append(opts, kgo.Dialer(cfg.Dialer))
	}
	if id != "" {
		opts = append(opts, kgo.TransactionalID(id))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if id != "" {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	var once sync.Once
	for _, r := range recs {
		client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { t.Error(err) })
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil || t.Failed() {
		t.Fatal(err)
	}
	if id != "" {
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
}

// similar are events that resemble each other, of ten kilobytes each.
func similar(n int) (recs []*kafka.Record) {
	text := strings.Repeat("Imported from the old system: the customer asked for a call back about the annual contract. ", 110)
	for i := range n {
		recs = append(recs, &kafka.Record{
			Topic: "t", Key: []byte("acme"), Value: fmt.Appendf(nil, "%d %s", i, text), Headers: []kafka.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "lead-%d", i)}},
		})
	}
	return recs
}

func TestPartitionReader_TakesABatchOfSimilarEventsApart(t *testing.T) {
	ways := map[string]kgo.Opt{}
	for name, c := range map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		ways[name] = kgo.ProducerBatchCompression(c)
	}
	for name, c := range likeJava {
		ways[name] = kgo.WithCompressor(c)
	}
	const n = 1_700 // 17 MB, which snappy of this client does not get into a megabyte
	for name, how := range ways {
		t.Run(name, func(t *testing.T) {
			cfg, _, _ := kafkatest.StartTopic(t, 2)
			kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 0, 2)...)
			want := similar(n)
			oneBatch(t, cfg, how, "", kgo.TryCommit, want...)
			kafkatest.Produce(t, cfg, kafkatest.Numbered(0, 2, 1)...)
			kafkatest.Produce(t, cfg, kafkatest.Numbered(1, 0, 3)...)
			r, err := read.NewTopicReader(cfg, "t")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.Add(0, 0)
			r.Add(1, 0)
			var got, others []*kafka.Record
			kafkatest.WaitFor(t, "all records", func(ctx context.Context) bool {
				recs, failed := r.Poll(ctx, 700)
				if len(failed) > 0 {
					t.Fatal(failed)
				}
				for _, rec := range recs {
					if rec.Partition == 0 {
						got = append(got, rec)
					} else {
						others = append(others, rec)
					}
				}
				return len(got) == n+3 && len(others) == 3
			})
			for i, rec := range got[2 : n+2] {
				if w := want[i]; rec.Offset != int64(i+2) || !bytes.Equal(rec.Value, w.Value) || string(rec.Key) != "acme" || len(rec.Headers) != 1 ||
					!bytes.Equal(rec.Headers[0].Value, w.Headers[0].Value) || rec.Timestamp.UnixMilli() != w.Timestamp.UnixMilli() || rec.Topic != "t" {
					t.Fatalf("record %d is %d bytes at offset %d with %v", i, len(rec.Value), rec.Offset, rec.Headers)
				}
			}
			if last := got[n+2]; last.Offset != n+2 || string(last.Value) != "2" {
				t.Errorf("behind the batch comes %q at offset %d", last.Value, last.Offset)
			}
			// A reader that begins in its midst, and one that reads a range, read the same.
			r.Add(0, 1_200)
			kafkatest.WaitFor(t, "the rest of the batch", func(ctx context.Context) bool {
				recs, failed := r.Poll(ctx, 1)
				return len(failed) == 0 && len(recs) == 1 && recs[0].Offset == 1_200 && bytes.Equal(recs[0].Value, want[1_198].Value)
			})
			var ranged int
			err = read.Range(t.Context(), cfg, "t", 0, 1, n+3, func(*kafka.Record) error { ranged++; return nil })
			if err != nil || ranged != n+2 {
				t.Errorf("the range has %d records, %v", ranged, err)
			}
		})
	}
}

func TestPartitionReader_LeavesOutALargeBatchOfAnAbortedTransaction(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	oneBatch(t, cfg, kgo.ProducerBatchCompression(kgo.ZstdCompression()), "tx", kgo.TryAbort, similar(2_000)...)
	oneBatch(t, cfg, kgo.ProducerBatchCompression(kgo.ZstdCompression()), "tx", kgo.TryCommit, similar(2_000)...)
	r, err := read.NewTopicReader(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Add(0, 0)
	var got []int64
	kafkatest.WaitFor(t, "what was committed", func(ctx context.Context) bool {
		recs, failed := r.Poll(ctx, 5_000)
		if len(failed) > 0 {
			t.Fatal(failed)
		}
		for _, rec := range recs {
			got = append(got, rec.Offset)
		}
		return len(got) >= 2_000
	})
	if len(got) != 2_000 || got[0] != 2_001 {
		t.Errorf("%d records from offset %d on, want 2000 from 2001 on, behind the marker", len(got), got[0])
	}
}

func TestPartitionReader_KeepsWhatCanBeReadOfARecordThatIsTooLarge(t *testing.T) {
	cfg, _, _ := kafkatest.StartTopic(t, 1)
	recs := similar(3)
	recs[1].Value = append([]byte("a value that begins like this"), make([]byte, 17<<20)...)
	oneBatch(t, cfg, kgo.ProducerBatchCompression(kgo.ZstdCompression()), "", kgo.TryCommit, recs...)
	r, err := read.NewTopicReader(cfg, "t")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Add(0, 0)
	var offsets []int64
	var stand *kafka.Record
	kafkatest.WaitFor(t, "all of the batch", func(ctx context.Context) bool {
		readOne, failed := r.Poll(ctx, 10)
		for _, rec := range readOne {
			offsets = append(offsets, rec.Offset)
		}
		if fat, ok := errors.AsType[*read.OversizeError](failed[0]); ok {
			if !strings.Contains(fat.Error(), "record of 178") || fat.Offset != 1 || fat.Next != 2 {
				t.Errorf("%v, %d to %d", fat, fat.Offset, fat.Next)
			}
			stand = fat.Stand()
			r.Skip(fat)
		}
		return len(offsets) == 2 && stand != nil
	})
	if !slices.Equal(offsets, []int64{0, 2}) || stand.Offset != 1 || string(stand.Key) != "acme" || len(stand.Value) != 64<<10 ||
		!bytes.HasPrefix(stand.Value, []byte("a value that begins")) || len(stand.Headers) != 1 || string(stand.Headers[0].Value) != "lead-1" {
		t.Errorf("offsets %v, and of the large one %d bytes at %d, key %q, headers %v", offsets, len(stand.Value), stand.Offset, stand.Key, stand.Headers)
	}
}
