package read

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

const (
	// maxBatch bounds what a batch that is taken apart may inflate to, in bytes. Java's clients count that in an int, and the others bound it
	// by what a request holds before compression, so no batch of a Kafka client comes to more.
	maxBatch = math.MaxInt32
	// maxPassed bounds the bytes of a batch's records beyond maxInflated that are inflated only to get past them. No topic takes such a
	// record on: they are refused, and what they cost is.
	maxPassed = 128 << 20
	// maxKept is what is kept of the value of a record beyond maxInflated, and maxKeptHeaders of its headers together.
	maxKept        = 64 << 10
	maxKeptHeaders = 256 << 10
	// fetchBytes is what is asked for to get one batch. A larger one is answered whole.
	fetchBytes = 1 << 20
	// apartStep is what is inflated in one go, in bytes, before other partitions have their turn.
	apartStep = 4 << 20
	// maxSnappyBlock is more than a block of snappy within a batch can come to: it can't shrink data to less than a twenty-first.
	maxSnappyBlock = 32 << 20
	// recordHead is the most that precedes a record's key: its attributes, timestamp and offset.
	recordHead = 1 + binary.MaxVarintLen64 + binary.MaxVarintLen32
)

// apart reads the records of one batch a few at a time, with memory for the few, the window of the codec, and the batch as on the wire.
// It reads what the client would not: see maxInflated.
type apart struct {
	tp      kafka.TopicPartition
	next    int64 // the first offset that was not returned
	end     int64 // behind the batch
	aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
	batch   kmsg.RecordBatch
	in      *bufio.Reader
	pieces  *pieces
	read    int32 // records
	at      int64 // where to go on when the window was too small, in inflated bytes
	skip    int64 // bytes to get past, a step at a time, before the next record is read
	big     *bigRecord
	passed  int64 // bytes of records beyond maxInflated
	held    bool  // an OversizeError was returned, and nobody has passed over it
}

// openApart fetches the batch that holds the offset from, which is committed or belongs to an aborted transaction.
func openApart(ctx context.Context, client *kgo.Client, tp kafka.TopicPartition, from int64) (*apart, error) {
	part, err := fetchRaw(ctx, client, tp, from)
	if err != nil {
		return nil, fmt.Errorf("kafka: fetch the batch at offset %d of %s: %w", from, tp, err)
	}
	a := &apart{tp: tp, next: from, aborted: part.AbortedTransactions}
	for raw := part.RecordBatches; len(raw) >= kafka.BatchOverhead; {
		size := 12 + int64(binary.BigEndian.Uint32(raw[8:]))
		if size > int64(len(raw)) {
			break
		}
		if err := a.batch.ReadFrom(raw[:size]); err != nil {
			return nil, fmt.Errorf("kafka: read the batch at offset %d of %s: %w", from, tp, err)
		}
		if a.end = a.batch.FirstOffset + int64(a.batch.LastOffsetDelta) + 1; a.end <= from {
			raw = raw[size:]
			continue
		}
		if a.batch.Magic != 2 || crc32.Checksum(raw[21:size], crc32.MakeTable(crc32.Castagnoli)) != uint32(a.batch.CRC) {
			return nil, fmt.Errorf("kafka: the batch at offset %d of %s is damaged", from, tp)
		}
		if a.pieces, err = newPieces(a.batch.Records, kgo.CompressionCodecType(a.batch.Attributes&7)); err != nil {
			return nil, fmt.Errorf("kafka: open the batch at offset %d of %s: %w", from, tp, err)
		}
		a.in = bufio.NewReaderSize(a.pieces, 32<<10)
		if probe := frame(kmsg.Record{OffsetDelta: a.batch.LastOffsetDelta}); len(a.records(probe, 1)) == 0 {
			a.finish() // its transaction was aborted
		}
		return a, nil
	}
	return nil, fmt.Errorf("kafka: the broker has no whole batch at offset %d of %s", from, tp)
}

// fetchRaw asks the leader for the batch at an offset. It has no fetch session.
func fetchRaw(ctx context.Context, client *kgo.Client, tp kafka.TopicPartition, from int64) (*kmsg.FetchResponseTopicPartition, error) {
	meta, err := kadm.NewClient(client).Metadata(ctx, tp.Topic)
	if err != nil {
		return nil, err
	}
	topic := meta.Topics[tp.Topic]
	where, ok := topic.Partitions[tp.Partition]
	if err := errors.Join(topic.Err, where.Err); err != nil || !ok {
		return nil, errors.Join(errors.New("the partition has no leader"), err)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 500, 1, fetchBytes, 1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic.Topic, topic.ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = tp.Partition, from, fetchBytes
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, client.Broker(int(where.Leader)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("the broker says nothing of the partition")
	}
	part := &resp.Topics[0].Partitions[0]
	return part, kerr.ErrorForCode(part.ErrorCode)
}

// over reports whether all was returned.
func (a *apart) over() bool { return a.next >= a.end }

// take returns up to limit records of apartStep bytes together: fewer, or none, where there is something to get past first, and none if the
// batch was aborted. fat says that what follows them is not read; pass takes it as done.
func (a *apart) take(limit int) (recs []*kafka.Record, fat *OversizeError) {
	if a.over() || a.held {
		return nil, nil
	}
	raw := make([]byte, kafka.BatchOverhead)
	n, last, room := 0, a.next, int64(apartStep)
	for n < limit && room > 0 && a.read < a.batch.NumRecords && fat == nil {
		var err error
		switch {
		case a.skip > 0:
			var passed int64
			passed, err = io.CopyN(io.Discard, a.in, min(a.skip, room))
			a.skip -= passed
			room -= passed
			a.at = a.position()
		case a.big != nil:
			a.at = a.position()
			fat, err = a.endLarge()
		default:
			a.at = a.position()
			var length, offset int64
			if length, offset, err = a.head(); err != nil {
				break
			}
			switch {
			case offset < last:
				a.read++
				a.skip = length
			case length > maxInflated:
				fat, err = a.beginLarge(length, offset)
			default:
				var cost int64
				if raw, cost, err = a.whole(raw, length); err != nil {
					break
				}
				a.read++
				if cost > maxInflated {
					raw, fat = raw[:len(raw)-int(length)-varintLen(length)], a.crowded(raw[len(raw)-int(length):], offset)
					break
				}
				room -= cost
				n++
				last = offset + 1
			}
		}
		if errors.Is(err, errWindow) {
			err = a.widen()
		}
		if err != nil {
			fat = a.refuse(a.end, nil, a.why(err))
		}
	}
	recs = a.records(raw, n)
	a.next = last
	if fat != nil {
		fat.Offset, a.held = a.next, true
		return recs, fat
	}
	if a.read >= a.batch.NumRecords {
		a.finish()
	}
	return recs, nil
}

// position is how many inflated bytes were read.
func (a *apart) position() int64 { return a.pieces.read - int64(a.in.Buffered()) }

// widen reads the batch again from its beginning, with a wider window, and goes on where a match lay too far back.
func (a *apart) widen() error {
	if err := a.pieces.widen(); err != nil {
		return err
	}
	a.in.Reset(a.pieces)
	a.skip += a.at
	return nil
}

// whole appends a record with its length to raw. cost is what it takes in memory.
func (a *apart) whole(raw []byte, length int64) (_ []byte, cost int64, err error) {
	at := len(raw)
	raw = binary.AppendVarint(raw, length)
	body := len(raw)
	raw = append(raw, make([]byte, length)...)
	if _, err := io.ReadFull(a.in, raw[body:]); err != nil {
		return raw[:at], 0, err
	}
	return raw, length + int64(countHeaders(raw[body:]))*headerCost, nil
}

func varintLen(n int64) int { return len(binary.AppendVarint(nil, n)) }

// pass goes on behind what an OversizeError named.
func (a *apart) pass(fat *OversizeError) {
	a.held = false
	if a.next = fat.Next; a.over() {
		a.finish()
	}
}

func (a *apart) finish() {
	a.next = a.end
	a.close()
}

// close gives up what the batch takes.
func (a *apart) close() {
	if a.pieces != nil {
		a.pieces.close()
		a.pieces = nil
	}
}

// head reads the length of the next record, and its offset, which is left to be read again.
func (a *apart) head() (length, offset int64, err error) {
	if length, err = binary.ReadVarint(a.in); err != nil {
		return 0, 0, err
	}
	if length < minRecord || length > math.MaxInt32 {
		return 0, 0, fmt.Errorf("a record claims to have %d bytes", length)
	}
	b, err := a.in.Peek(int(min(length, recordHead)))
	if err != nil {
		return 0, 0, err
	}
	_, n := binary.Varint(b[1:])
	if n <= 0 {
		return 0, 0, errRecord
	}
	delta, m := binary.Varint(b[1+n:])
	if m <= 0 {
		return 0, 0, errRecord
	}
	if offset = a.batch.FirstOffset + delta; delta < 0 || offset >= a.end {
		return 0, 0, errRecord
	}
	return length, offset, nil
}

var errRecord = errors.New("a record is malformed")

// records are n records, in the bytes of raw behind room for a batch's head, as the client makes them of such a batch: none if it was
// aborted.
func (a *apart) records(raw []byte, n int) []*kafka.Record {
	if n == 0 {
		return nil
	}
	b := a.batch
	b.Attributes &^= 7 // not compressed
	b.NumRecords, b.Records, b.Length = int32(n), nil, int32(len(raw)-12)
	b.AppendTo(raw[:0]) // in place: it is as long as the room
	part := kmsg.NewFetchResponseTopicPartition()
	part.Partition, part.RecordBatches, part.AbortedTransactions = a.tp.Partition, raw, a.aborted
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		DisableCRCValidation: true, // it was checked before
		Offset:               a.next, IsolationLevel: kgo.ReadCommitted(), Topic: a.tp.Topic, Partition: a.tp.Partition,
	}, &part, nil, nil)
	return fetched.Records
}

func (a *apart) refuse(next int64, rec *kafka.Record, why string) *OversizeError {
	if rec == nil {
		rec = &kafka.Record{Topic: a.tp.Topic, Partition: a.tp.Partition, Timestamp: time.UnixMilli(a.batch.MaxTimestamp)}
	}
	return &OversizeError{TopicPartition: a.tp, Next: next, epoch: a.batch.PartitionLeaderEpoch, record: rec, why: why}
}

// why says in an operator's words why a batch is not read on.
func (a *apart) why(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the batch ends after %d of its %d records", a.read, a.batch.NumRecords)
	case errors.Is(err, errRecord), errors.Is(err, errPassed), errors.Is(err, errBatch):
		return err.Error()
	}
	if a.pieces != nil && a.pieces.codec == kgo.CodecZstd {
		return whyUnreadable(a.pieces.src, err)
	}
	return "it can't be decompressed: " + err.Error()
}

var (
	errPassed = fmt.Errorf("its records beyond %d bytes come to more than %d bytes together", maxInflated, maxPassed)
	errBatch  = fmt.Errorf("the batch inflates to more than %d bytes, which no Kafka client makes", maxBatch)
)
