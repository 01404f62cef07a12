package badinput

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// marker is a header of every record that is sent to a landing topic. What the forwarder hands on unsigned, because it can't be read, names no
// origin, but keeps its headers.
const marker = "x-badinput"

// nobody is a tenant that was never created and has a landing topic.
const nobody = "nobody"

// openLandings makes landing topics without users and rights: the broker has no authorizer.
func (p *Player) openLandings(ctx context.Context, c *cluster.Cluster) error {
	adm, err := admin.New(c.Kafka)
	if err != nil {
		return err
	}
	defer adm.Close()
	as, err := cluster.LandingConfigs(ctx, adm)
	if err != nil {
		return err
	}
	client, err := p.client("")
	if err != nil {
		return err
	}
	p.topicIDs = map[string]string{}
	for _, tenant := range []string{Victim, "suspended", nobody} {
		topic := kafka.LandingTopic(tenant)
		made, err := kadm.NewClient(client).CreateTopic(ctx, 1, -1, as, topic)
		if err != nil {
			return fmt.Errorf("make %s: %w", topic, err)
		}
		p.topicIDs[topic] = hex.EncodeToString(made.ID[:])
	}
	return nil
}

// landingsReady says whether the forwarder has found the topics: what is good and comes through one is admitted, or refused for its tenant.
func (p *Player) landingsReady(ctx context.Context) error {
	frame := "lead.created"
	text := Bytes{{Frame: &frame}, {Hex: new("043432" + "00 00 00 00 00 00 00 00 00 00 00")}} // lead_id 42 and nothing else
	for tenant, want := range map[string]event.Code{Victim: "", "suspended": event.CodeTenantSuspended, nobody: event.CodeUnknownTenant} {
		id := fmt.Sprintf("landing-ready-%d", p.marks) // another one each time: a repeat of what was refused is not said again
		in := &Landing{Of: tenant, Kafka: Kafka{Record: Record{Headers: []string{"ce_id: " + id}, Value: text}}}
		if want != "" {
			if err := p.landing(ctx, in, Expect{Code: want}); err != nil {
				return err
			}
			continue
		}
		r, err := in.record(p)(&in.Record)
		if err == nil {
			err = errors.Join(p.produce(ctx, "", r), p.Tape.Admitted(ctx, tenant, id))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record makes a record of a landing topic.
func (in *Landing) record(p *Player) func(*Record) (*kgo.Record, error) {
	return func(of *Record) (*kgo.Record, error) {
		r, err := p.record(of)
		if err != nil {
			return nil, err
		}
		tenant := in.Of
		if tenant == "" {
			tenant = Victim
		}
		if r.Topic, r.Partition = kafka.LandingTopic(tenant), 0; of.Key == nil {
			r.Key = nil
		}
		p.marks++
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: marker, Value: []byte(fmt.Sprint(p.marks))})
		return r, nil
	}
}

// landing produces one batch, or several, and waits for the verdict on every record.
func (p *Player) landing(ctx context.Context, in *Landing, want Expect) error {
	r, err := in.record(p)(&in.Record)
	if err != nil {
		return err
	}
	for range max(in.Batches, 1) {
		batch, err := p.batch(ctx, &in.Kafka, r)
		if err != nil {
			return err
		}
		if in.Whole {
			batch = batch[len(batch)-1:]
		}
		for _, r := range batch {
			keys := []string{byOrigin(fmt.Sprintf("%s/%d/%d", p.topicIDs[r.Topic], r.Partition, r.Offset))}
			if len(batch) == 1 {
				mark, _ := kafka.Header(r, marker)
				keys = append(keys, byMark(mark))
			}
			if err := p.Tape.refused(ctx, want.Code, keys...); err != nil {
				return err
			}
		}
	}
	return nil
}
