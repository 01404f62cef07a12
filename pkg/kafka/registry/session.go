package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// ErrFenced means that another embedded registry writes the same topic now.
var ErrFenced = errors.New("another embedded registry took over the topic")

// errTopic means that the topic is not one that this registry can use; trying again would not help.
var errTopic = errors.New("topic can not be used")

const (
	// One writer at a time: a process that initialises this id, with the topic's name, fences all others (KIP-98).
	transactionalPrefix = "neuronx.registry."
	writeTimeout        = 15 * time.Second
)

// session is the right to write the topic.
type session struct {
	client *kgo.Client
	cfg    kafka.Config
	topic  string
}

// errNotCommitted says that a transaction ended well and its record can't be read all the same.
var errNotCommitted = errors.New("the record is not committed")

// readBackTimeout bounds the wait for the end of a transaction to reach the topic's partition.
const readBackTimeout = 3 * time.Second

// open takes the right to write from the process that had it, and then reads the topic to its end. In this order nothing can be
// written behind the end that was read: the transaction of the earlier writer is ended by the initialisation.
func open(ctx context.Context, cfg kafka.Config, topic string) (*session, *state, error) {
	if _, err := topicEnd(ctx, cfg, topic); err != nil { // first: it tells of a missing topic in words
		return nil, nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.TransactionalID(transactionalPrefix + topic),
		kgo.TransactionTimeout(10 * time.Second),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RecordDeliveryTimeout(writeTimeout / 2),
		kgo.ProducerLinger(0),
		kgo.MaxProduceRequestsInflightPerBroker(1),
	}
	if cfg.ClientID != "" {
		opts = append(opts, kgo.ClientID(cfg.ClientID))
	}
	if cfg.Dialer != nil {
		opts = append(opts, kgo.Dialer(cfg.Dialer))
	}
	security, err := cfg.SecurityOptions()
	if err != nil {
		return nil, nil, fmt.Errorf("open writer: %w", err)
	}
	client, err := kgo.NewClient(append(opts, security...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("open writer: %w", err)
	}
	s := &session{client: client, cfg: cfg, topic: topic}
	initCtx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if _, _, err := client.ProducerID(initCtx); err != nil {
		s.close()
		return nil, nil, fmt.Errorf("fence earlier writers: %w", err)
	}
	end, err := topicEnd(ctx, cfg, topic)
	if err != nil {
		s.close()
		return nil, nil, err
	}
	st := newState()
	err = read.Range(ctx, cfg, topic, 0, 0, end, func(r *kafka.Record) error {
		if err := st.fold(r.Key, r.Value); err != nil {
			return fmt.Errorf("%w: record at offset %d: %w", errTopic, r.Offset, err)
		}
		return nil
	})
	if err != nil {
		s.close()
		return nil, nil, fmt.Errorf("read %s: %w", topic, err)
	}
	return s, st, nil
}

// topicEnd returns the high water mark of the only partition of the topic.
func topicEnd(ctx context.Context, cfg kafka.Config, topic string) (int64, error) {
	adm, err := admin.New(cfg)
	if err != nil {
		return 0, err
	}
	defer adm.Close()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	topics, err := adm.Topics(ctx, topic)
	if err != nil {
		return 0, err
	}
	found, ok := topics[topic]
	if !ok {
		return 0, fmt.Errorf("%w: it does not exist; run: neuronx provision --execute", errTopic)
	}
	if found.Partitions != 1 {
		return 0, fmt.Errorf("%w: it has %d partitions, and ids have an order only in one", errTopic, found.Partitions)
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadUncommitted, topic)
	if err != nil {
		return 0, err
	}
	return ends[kafka.TopicPartition{Topic: topic}], nil
}

// write commits one version. After an error the outcome is unknown, and the session must not be used again.
func (s *session) write(v version) error {
	key, value, err := v.record()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := s.client.BeginTransaction(); err != nil {
		return classify(err)
	}
	rec := &kgo.Record{Topic: s.topic, Partition: 0, Key: key, Value: value}
	if err := s.client.ProduceSync(ctx, rec).FirstErr(); err != nil {
		return classify(err)
	}
	if err := s.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return classify(err)
	}
	return s.readBack(ctx, rec)
}

// readBack reads the record as others will. Ids are given for ever, so an answer rests on what was read and not on what was said: kfake
// was seen to call a transaction committed whose record the next one took with it when it was aborted.
func (s *session) readBack(ctx context.Context, rec *kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, readBackTimeout)
	defer cancel()
	found := false
	err := read.Range(ctx, s.cfg, s.topic, 0, rec.Offset, rec.Offset+1, func(r *kafka.Record) error {
		found = bytes.Equal(r.Value, rec.Value)
		return nil
	})
	if err != nil || !found {
		return fmt.Errorf("%w: offset %d: %v", errNotCommitted, rec.Offset, err) //nolint:errorlint // the cause is for the log only
	}
	return nil
}

func classify(err error) error {
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping) {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return err
}

func (s *session) close() { s.client.Close() }
