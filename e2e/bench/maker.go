package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// eventSize is the size that an event is filled up to: key, headers and value.
const eventSize = 326

// maker makes events of the type lead.created as an outside producer writes them to neuronx.ingress: binary CloudEvents with an id, a
// subject, a source and a time each, an Avro body behind the registry's frame, and no signature.
type maker struct {
	tenants    []load.Tenant
	partitions int32  // of the topics
	value      []byte // framed body with the placeholder for the lead's id
	at         int    // where in it
	rng        *rand.Rand
	size       int
}

var placeholder = strings.Repeat("x", 36)

func newMaker(ctx context.Context, schemas *registry.Client, all []load.Tenant) (*maker, error) {
	m := &maker{tenants: all, partitions: cluster.Partitions, rng: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))}
	id, schema, err := schemas.ByType(ctx, "lead.created")
	if err != nil {
		return nil, err
	}
	campaign := ""
	for range 2 { // the second time with what is missing
		body, err := schema.EncodeMap(map[string]any{"lead_id": placeholder, "source": "web", "channel": "form", "campaign": campaign})
		if err != nil {
			return nil, err
		}
		m.value = event.Frame(id, body)
		if m.at = bytes.Index(m.value, []byte(placeholder)); m.at < 0 {
			return nil, errors.New("the body does not hold the lead's id as it is")
		}
		m.size = size(m.record(all[0].ID, m.id()))
		campaign = strings.Repeat("spring-2027 ", 20)[:max(0, min(240, eventSize-m.size))]
	}
	return m, nil
}

func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

func (m *maker) id() string { return randomID(m.rng) }

// randomID makes a UUID (version 4 of RFC 9562).
func randomID(rng *rand.Rand) string {
	a, b := rng.Uint64(), rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0x3fff|0x8000, b&(1<<48-1))
}

func (m *maker) tenant() string { return m.tenants[m.rng.IntN(len(m.tenants))].ID }

// record makes one event of a tenant, for the topic and partition that the engine's clients would choose.
func (m *maker) record(tenant, id string) *kgo.Record {
	value := bytes.Clone(m.value)
	copy(value[m.at:], id)
	r := kafka.ToRecord(kafka.TopicIngress, &event.Event{
		TenantID: tenant, ID: id, Type: "lead.created", Source: "/bench", Subject: "lead/" + id, Time: time.Now().UTC().Truncate(time.Microsecond), Value: value,
	})
	r.Partition = kafka.PartitionFor(r.Key, m.partitions)
	return r
}

// write produces n events of random tenants and waits until all are acknowledged.
func (m *maker) write(ctx context.Context, client *kgo.Client, n int) error {
	failed := make(chan error, 1)
	for range n {
		client.Produce(ctx, m.record(m.tenant(), m.id()), func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("fill ingress: %w", err)
	default:
		return nil
	}
}

// appendBatch appends n events in the batch form of CloudEvents.
func appendBatch(dst []byte, rng *rand.Rand, n int) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEvent(dst, randomID(rng))
	}
	return append(dst, ']')
}

// appendEvent appends an event in the structured JSON form.
func appendEvent(dst []byte, id string) []byte {
	return fmt.Appendf(dst, `{"specversion":"1.0","id":"%s","source":"/bench","type":"lead.created","subject":"lead/%s","time":"%s",`+
		`"data":{"lead_id":"%s","source":"web","channel":"form","campaign":"spring-2027","country":"DE"}}`, id, id, time.Now().UTC().Format(time.RFC3339Nano), id)
}

// appendAvroBatch appends n events in the batch form of CloudEvents, each with its body in Avro behind the registry's frame, as base64.
func (m *maker) appendAvroBatch(dst []byte, rng *rand.Rand, n int) []byte {
	value := bytes.Clone(m.value)
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		id := randomID(rng)
		copy(value[m.at:], id)
		dst = fmt.Appendf(dst, `{"specversion":"1.0","id":"%s","source":"/bench","type":"lead.created","subject":"lead/%s","time":"%s",`+
			`"datacontenttype":"application/avro","data_base64":"`, id, id, time.Now().UTC().Format(time.RFC3339Nano))
		dst = append(base64.StdEncoding.AppendEncode(dst, value), `"}`...)
	}
	return append(dst, ']')
}

// producing are the options of everything raw that writes: acks=all, idempotent, to the partition that the record names, and
// otherwise as franz-go comes.
func producing(brokers []string, opts ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
}

// fill writes n events to ingress and returns the offsets before and after.
func (b *bench) fill(ctx context.Context, n int) (from, to map[int32]int64, err error) {
	if from, err = b.ends(ctx, kafka.TopicIngress); err != nil {
		return nil, nil, err
	}
	client, err := kgo.NewClient(producing(b.c.Kafka.Brokers, kgo.ProducerLinger(5*time.Millisecond))...)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	if err := b.maker.write(ctx, client, n); err != nil {
		return nil, nil, err
	}
	if to, err = b.ends(ctx, kafka.TopicIngress); err != nil {
		return nil, nil, err
	}
	if got := sum(to) - sum(from); got != int64(n) {
		return nil, nil, fmt.Errorf("fill ingress: %d events arrived of %d: somebody else uses this Kafka", got, n)
	}
	return from, to, nil
}

func (b *bench) ends(ctx context.Context, topic string) (map[int32]int64, error) {
	ends, err := b.admin.EndOffsets(ctx, admin.ReadUncommitted, topic)
	if err != nil {
		return nil, err
	}
	return counted(ends, topic), nil
}
