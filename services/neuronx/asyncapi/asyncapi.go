// Package asyncapi writes the AsyncAPI 3 document of what goes through Kafka. It is made of the catalogue of schemas and of
// pkg/kafka/topology/topics.yaml, which are authoritative; docs/asyncapi.json is a copy of what `neuronx schemas asyncapi` prints, and a test
// fails when the copy is old. The document speaks as the engine: it receives what is produced to neuronx.ingress and sends the rest.
//
// How it fails: a schema that can't be parsed, or a topic that topics.yaml no longer declares, is an error that names it.
package asyncapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/schemas"
)

const (
	bindingVersion = "0.5.0" // of the Kafka bindings
	avroFormat     = "application/vnd.apache.avro+json;version=1.9.0"
)

type object = map[string]any

func ref(parts ...string) object {
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(p)
	}
	return object{"$ref": "#/" + strings.Join(parts, "/")}
}

// channel is a topic that others may read or write.
type channel struct {
	name, topic, action, operation, summary string
	messages                                []string
}

// Document writes the document, indented, with a line feed at its end. The same input gives the same bytes.
func Document(topics []topology.Topic, files []schemas.File) ([]byte, error) {
	messages, all, outside := object{}, []string(nil), []string(nil)
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			return nil, fmt.Errorf("asyncapi: %s: %w", f.Path, err)
		}
		m, err := message(s, f.Text)
		if err != nil {
			return nil, fmt.Errorf("asyncapi: %s: %w", f.Path, err)
		}
		name := s.EventType()
		messages[name], all = m, append(all, name)
		if !event.Reserved(name) {
			outside = append(outside, name)
		}
	}
	messages["deadletter"], messages["receipt"] = deadLetter(), receipt()
	doc := object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "NeuronX", "version": "1",
			"description": "Produce to neuronx.ingress, consume from neuronx.events with isolation.level=read_committed. A record's key is the tenant id, " +
				"its partition murmur2 of the key. Values are Avro in Confluent's framing, attributes are CloudEvents headers in binary mode.",
			"license": object{"name": "Apache-2.0"},
		},
		"defaultContentType": event.ContentTypeAvro,
	}
	channels, operations := object{}, object{}
	for _, c := range []channel{
		{"ingress", kafka.TopicIngress, "receive", "takeEvent", "Takes an event of a producer.", outside},
		{"events", kafka.TopicEvents, "send", "recordEvent", "Records an admitted event, numbered per tenant without gap.", all},
		{"deadletter", kafka.TopicDeadLetter, "send", "refuseEvent", "Keeps what was refused, with the reason.", []string{"deadletter"}},
		{"receipts", kafka.TopicReceipts, "send", "tellVerdict", "Tells who waits what became of an event.", []string{"receipt"}},
	} {
		ch, err := c.describe(topics)
		if err != nil {
			return nil, err
		}
		channels[c.name] = ch
		operations[c.operation] = object{"action": c.action, "channel": ref("channels", c.name), "summary": c.summary}
	}
	doc["channels"], doc["operations"] = channels, operations
	doc["components"] = object{"messages": messages, "schemas": object{"attributes": attributes()}}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, fmt.Errorf("asyncapi: %w", err)
	}
	return append(text, '\n'), nil
}

func (c channel) describe(topics []topology.Topic) (object, error) {
	for _, t := range topics {
		if t.Name != c.topic {
			continue
		}
		config, err := configuration(t.Config)
		if err != nil {
			return nil, fmt.Errorf("asyncapi: topic %s: %w", t.Name, err)
		}
		messages := object{}
		for _, m := range c.messages {
			messages[m] = ref("components", "messages", m)
		}
		return object{
			"address": t.Name, "description": t.Doc, "messages": messages,
			"bindings": object{"kafka": object{"topic": t.Name, "topicConfiguration": config, "bindingVersion": bindingVersion}},
		}, nil
	}
	return nil, fmt.Errorf("asyncapi: topics.yaml does not declare %s", c.topic)
}

// configuration keeps the settings that the binding knows, in its types.
func configuration(config map[string]string) (object, error) {
	out := object{}
	for _, key := range []string{"retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"} {
		if config[key] == "" {
			continue
		}
		n, err := strconv.ParseInt(config[key], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out[key] = n
	}
	if policy := config["cleanup.policy"]; policy != "" {
		out["cleanup.policy"] = strings.Split(policy, ",")
	}
	return out, nil
}

func message(s *avro.Schema, text []byte) (object, error) {
	var tree object
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	doc, _ := tree["doc"].(string)
	out := object{
		"name": s.FullName(), "title": s.EventType(), "summary": doc, "contentType": event.ContentTypeAvro,
		"headers": ref("components", "schemas", "attributes"),
		"payload": object{"schemaFormat": avroFormat, "schema": json.RawMessage(text)},
		"bindings": object{"kafka": object{
			"key": object{"type": "string", "description": "Tenant id.", "pattern": "^[a-z0-9-]{1,63}$"}, "schemaIdLocation": "payload",
			"schemaIdPayloadEncoding": "confluent", "schemaLookupStrategy": "TopicRecordNameStrategy", "bindingVersion": bindingVersion,
		}},
	}
	if bounds := s.Bounds(); len(bounds) > 0 {
		out["x-max-bytes"] = bounds // of texts, by field: what has more is refused (invalid_body)
	}
	return out, nil
}

func deadLetter() object {
	headers := object{
		event.DeadCode:         object{"type": "string", "description": "Why it was refused."},
		event.DeadDetail:       object{"type": "string"},
		event.DeadValueHash:    object{"type": "string", "description": "Of a value that was cut to 64 KiB."},
		event.DeadRecordedTime: object{"type": "string", "format": "date-time"},
	}
	for _, h := range []string{event.DeadTopic, event.DeadPartition, event.DeadOffset} {
		headers[h] = object{"type": "string", "description": "Where the refused record stood."}
	}
	return object{
		"title": "A refused record", "summary": "Key, headers and value as they came, and the reason in headers.",
		"headers": object{"type": "object", "required": []string{event.DeadCode, event.DeadDetail}, "properties": headers},
		"payload": object{"type": "string", "format": "binary"},
	}
}

func receipt() object {
	text := object{"type": "string"}
	number := object{"type": "string", "pattern": "^[1-9][0-9]*$"}
	return object{
		"title": "A verdict", "summary": "For the waiter that the signed header neuronx-receipt of the event named.", "contentType": "application/json",
		"payload": object{
			"type": "object", "required": []string{"id", "tenant", "outcome"},
			"properties": object{
				"id": text, "tenant": text, "outcome": object{"enum": []string{event.OutcomeAdmitted, event.OutcomeDuplicate, event.OutcomeRefused}},
				"code": text, "detail": text, "sequence": number, "position": number, "of": number,
			},
		},
		"bindings": object{"kafka": object{"key": object{"type": "string", "description": "The waiter."}, "bindingVersion": bindingVersion}},
	}
}

// attributes are the headers of an event. At the door all may be left out: it fills in what it can.
func attributes() object {
	properties := object{"ce_time": object{"type": "string", "format": "date-time"}, "ce_specversion": object{"const": "1.0"}}
	for name, doc := range map[string]string{
		"ce_id": "With ce_source what makes a repeat.", "ce_source": "A URI reference.", "ce_type": "As the schema's event_type.",
		"ce_subject": "Such as lead/42.", "ce_correlationid": "Of the conversation that it belongs to.", "ce_tenantid": "The same as the key.",
		"ce_origin": "live, import or backfill.", "content-type": event.ContentTypeAvro, "traceparent": "W3C Trace Context.",
		"tracestate": "W3C Trace Context.", "idempotency-key": "What makes a repeat, instead of source and id.",
		"ce_sequence": "On neuronx.events: the tenant's number, 1, 2, 3 … without gap, 20 digits.",
		"ce_position": "On neuronx.events: orders all tenants, 20 digits.", "ce_recordedtime": "On neuronx.events: when it was appended, RFC 3339.",
		"ce_logid": "On neuronx.events: identity of the log's partition.",
		"ce_quiet": "On neuronx.events: storm, on a fact over the rate of its subject, which triggers nothing.",
	} {
		properties[name] = object{"type": "string", "description": doc}
	}
	return object{"type": "object", "description": "CloudEvents 1.0 in Kafka's binary mode.", "properties": properties}
}
