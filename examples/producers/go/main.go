// Command publish publishes events of the type lead.created straight to Kafka:
//
//	NEURONX_KAFKA_BROKERS=127.0.0.1:9092 NEURONX_SCHEMA_REGISTRY_URL=http://127.0.0.1:18081 GOWORK=off go run . < ../leads.jsonl
//
// The input has a CloudEvent a line, with the tenant as the extension attribute tenantid. The output has a line for each, as soon as
// it is known: ok (every in-sync replica has it), failed (it never left) or unknown (run it again with the same input). Exit code 0:
// all ok.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

const (
	topic  = "neuronx.ingress"
	record = "neuronx.lead.v1.LeadCreated"
	wait   = 2 * time.Minute // for the last acknowledgements
)

type event struct {
	TenantID, ID, Source, Type, Subject, Time string
	Data                                      map[string]any
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	complete, err := run(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if !complete {
		os.Exit(1)
	}
}

func run(ctx context.Context) (complete bool, err error) {
	// Idempotent with acks=all and the partitioner murmur2 are franz-go's defaults. It also sends again until the brokers answer, for as
	// long as this process lives: what an acknowledgement is missing for when it ends is of unknown outcome, and the next run sends it
	// again with the same id.
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Getenv("NEURONX_KAFKA_BROKERS"), ",")...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return false, err
	}
	defer client.Close()
	schema, id, err := latest(ctx)
	if err != nil {
		return false, err
	}
	var mu sync.Mutex
	open := map[string]bool{} // sent and not acknowledged
	complete = true
	report := func(id, outcome string) {
		mu.Lock()
		defer mu.Unlock()
		delete(open, id)
		complete = complete && outcome == "ok"
		_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"id": id, "outcome": outcome})
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && ctx.Err() == nil; {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return false, err
		}
		body, err := schema.Encode(e.Data)
		if err != nil {
			log.Printf("%s: %v", e.ID, err)
			report(e.ID, "failed")
			continue
		}
		// Confluent's wire format: a zero, the schema id in four bytes, the body.
		value, err := new(sr.ConfluentHeader).AppendEncode(nil, id, nil)
		if err != nil {
			return false, err
		}
		mu.Lock()
		open[e.ID] = true
		mu.Unlock()
		// The context of a record is never cancelled: an idempotent producer that gives up on one can't tell what became of those after it.
		client.Produce(context.Background(), &kgo.Record{Key: []byte(e.TenantID), Value: append(value, body...), Headers: headers(e)}, func(_ *kgo.Record, err error) {
			switch {
			case err == nil:
				report(e.ID, "ok")
			case errors.Is(err, kerr.MessageTooLarge):
				log.Printf("%s: %v", e.ID, err)
				report(e.ID, "failed")
			default: // it may have been written all the same
				log.Printf("%s: %v", e.ID, err)
				report(e.ID, "unknown")
			}
		})
	}
	last, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := client.Flush(last); err == nil {
		return complete, nil
	}
	mu.Lock()
	defer mu.Unlock()
	for id := range open {
		fmt.Printf(`{"id":%q,"outcome":"unknown"}`+"\n", id)
	}
	os.Exit(1) // without closing the client, which would fail the records that wait
	return false, nil
}

func headers(e event) []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(e.ID)},
		{Key: "ce_source", Value: []byte(e.Source)},
		{Key: "ce_type", Value: []byte(e.Type)},
		{Key: "ce_subject", Value: []byte(e.Subject)},
		{Key: "ce_time", Value: []byte(e.Time)},
		{Key: "content-type", Value: []byte("application/avro")},
	}
}

// latest asks the registry for the newest schema under TopicRecordNameStrategy, and its id. Nothing is registered here.
func latest(ctx context.Context) (*avro.Schema, int, error) {
	registry, err := sr.NewClient(sr.URLs(os.Getenv("NEURONX_SCHEMA_REGISTRY_URL")))
	if err != nil {
		return nil, 0, err
	}
	found, err := registry.SchemaByVersion(ctx, topic+"-"+record, -1)
	if err != nil {
		return nil, 0, err
	}
	schema, err := avro.Parse(found.Schema.Schema)
	return schema, found.ID, err
}
