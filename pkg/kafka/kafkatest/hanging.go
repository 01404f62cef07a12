package kafkatest

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Hanging says which open transactions are left behind: a record on each partition, and a group's offset for one if Group is set.
type Hanging struct {
	ID         string // transactional
	Partitions []kafka.TopicPartition
	Group      string
	Offset     kafka.TopicPartition
	Committed  bool // the coordinator's log says that the transaction was committed on Partitions
}

// LeaveHanging makes hanging transactions that their coordinator does not know to be open. A killed broker was seen to leave such; here
// the broker is told not to look, as none did before KIP-890, so it has to be a real one.
func LeaveHanging(t testing.TB, cfg kafka.Config, left Hanging) {
	t.Helper()
	id := left.ID
	// Produce v11: with v12 the broker adds the partition to the transaction by itself.
	var err error
	client := open(t, cfg, kgo.MaxVersions(kversion.V3_9_0()))
	defer client.Close()
	h := hanger{t, client, id, kmsg.NewPtrInitProducerIDResponse()}
	defer h.verify("true")
	h.verify("false")
	begin := kmsg.NewPtrInitProducerIDRequest()
	begin.TransactionalID, begin.TransactionTimeoutMillis = &id, int32(kafka.TxnTimeout.Milliseconds())
	WaitFor(t, "the coordinator", func(ctx context.Context) bool {
		h.producer, err = begin.RequestWith(ctx, client)
		return err == nil && h.producer.ErrorCode == 0
	})
	for _, tp := range left.Partitions {
		h.write(tp)
	}
	if left.Group != "" {
		h.commit(left.Group, left.Offset)
	}
	if left.Committed {
		h.remember(cfg, left.Partitions)
	}
}

// remember puts into the coordinator's log what it writes of a transaction that is committed; it must be told that it is an
// administrator's client to be let in.
func (h hanger) remember(cfg kafka.Config, partitions []kafka.TopicPartition) {
	h.t.Helper()
	client := open(h.t, cfg, kgo.ClientID("__admin_client"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	adm, err := admin.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	defer adm.Close()
	at, err := adm.TxnStatePartition(h.t.Context(), h.id)
	if err != nil {
		h.t.Fatal(err)
	}
	key := kmsg.TxnMetadataKey{TransactionalID: h.id}
	for _, e := range []struct {
		status kmsg.TransactionState
		epoch  int16
	}{{kmsg.TransactionStateOngoing, h.producer.ProducerEpoch}, {kmsg.TransactionStatePrepareCommit, h.producer.ProducerEpoch + 1}, {kmsg.TransactionStateCompleteCommit, h.producer.ProducerEpoch + 1}} {
		v := kmsg.NewTxnMetadataValue()
		v.Version, v.ProducerID, v.ProducerEpoch, v.TimeoutMillis = 1, h.producer.ProducerID, e.epoch, int32(kafka.TxnTimeout.Milliseconds())
		v.PreviousProducerID, v.ClientTransactionVersion, v.State = h.producer.ProducerID, 2, e.status
		v.Topics = []kmsg.TxnMetadataValueTopic{} // null is for an id without transaction: a broker that finds it here loads none of the ids behind it
		for _, tp := range partitions {
			if e.status != kmsg.TransactionStateCompleteCommit {
				v.Topics = append(v.Topics, kmsg.TxnMetadataValueTopic{Topic: tp.Topic, Partitions: []int32{tp.Partition}})
			}
		}
		r := &kgo.Record{Topic: at.Topic, Partition: at.Partition, Key: key.AppendTo(nil), Value: v.AppendTo(nil)}
		if err := client.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
			h.t.Fatalf("write to %v: %v", at, err)
		}
	}
}

type hanger struct {
	t        testing.TB
	client   *kgo.Client
	id       string
	producer *kmsg.InitProducerIDResponse
}

// verify says whether the broker asks the coordinator about each write of a transaction.
func (h hanger) verify(value string) {
	h.t.Helper()
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "transaction.partition.verification.enable", Value: &value}}
	answer, err := kadm.NewClient(h.client).AlterBrokerConfigs(context.Background(), change)
	if err != nil || len(answer) == 0 || answer[0].Err != nil {
		h.t.Fatalf("broker configuration: %v %v", answer, err)
	}
}

func (h hanger) write(tp kafka.TopicPartition) {
	h.t.Helper()
	topics, err := kadm.NewClient(h.client).ListTopics(h.t.Context(), tp.Topic)
	if err != nil {
		h.t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &h.id, -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = tp.Topic, topics[tp.Topic].ID
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = tp.Partition, transactionalBatch(h.producer.ProducerID, h.producer.ProducerEpoch)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	// A dynamic configuration takes a moment to arrive.
	WaitFor(h.t, "a late write", func(ctx context.Context) bool {
		answer, err := h.client.Broker(int(topics[tp.Topic].Partitions[tp.Partition].Leader)).RetriableRequest(ctx, req)
		if err != nil {
			h.t.Fatal(err)
		}
		err = kerr.ErrorForCode(answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
		if err != nil && !errors.Is(err, kerr.TransactionAbortable) {
			h.t.Fatalf("the late write to %v was refused: %v", tp, err)
		}
		return err == nil
	})
}

func (h hanger) commit(group string, tp kafka.TopicPartition) {
	h.t.Helper()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = h.id, group, h.producer.ProducerID, h.producer.ProducerEpoch
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = tp.Topic
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset = tp.Partition, 1_000_000
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := req.RequestWith(h.t.Context(), h.client)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode); err != nil {
		h.t.Fatalf("the late offset was refused: %v", err)
	}
}

// transactionalBatch is a record batch (format 2) of one record in a transaction.
func transactionalBatch(producer int64, epoch int16) []byte {
	now := time.Now().UnixMilli()
	record := kmsg.Record{Value: []byte("left behind")}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // of what follows the length, a varint of one byte
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: producer, ProducerEpoch: epoch, NumRecords: 1, Records: record.AppendTo(nil),
	}
	raw := b.AppendTo(nil)
	const length, afterLength, crc, afterCRC = 8, 12, 17, 21 // bytes
	binary.BigEndian.PutUint32(raw[length:], uint32(len(raw)-afterLength))
	binary.BigEndian.PutUint32(raw[crc:], crc32.Checksum(raw[afterCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
