package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

const (
	traceA = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceB = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
)

// TestIngest_JudgesAttributesAlikeOverHTTPAndKafka sends each set of headers over HTTP in binary mode, as JSON, and over Kafka as Avro.
func TestIngest_JudgesAttributesAlikeOverHTTPAndKafka(t *testing.T) {
	b := startBoth(t)
	schemas := b.schemas
	id, schema, err := schemas.ByType(t.Context(), "lead.created")
	if err != nil {
		t.Fatal(err)
	}
	fat := strings.Repeat("x", 6_000)
	cases := []struct {
		name    string
		headers []string // %s is the case's own id; names are written with _ for -
		refused bool
		subject string // "": the one that follows
		origin  string
	}{
		{name: "what is asked for", headers: []string{"ce_id", "%s"}},
		{name: "an empty subject", headers: []string{"ce_id", "%s", "ce_subject", ""}},
		{name: "the subject of the data", headers: []string{"ce_id", "%s", "ce_subject", "lead/%s"}},
		{name: "another subject", headers: []string{"ce_id", "%s", "ce_subject", "lead/other"}, refused: true},
		{name: "an empty time", headers: []string{"ce_id", "%s", "ce_time", ""}},
		{name: "no time", headers: []string{"ce_id", "%s", "ce_time", "yesterday"}, refused: true},
		{name: "an empty correlation", headers: []string{"ce_id", "%s", "ce_correlationid", ""}},
		{name: "an empty tenant", headers: []string{"ce_id", "%s", "ce_tenantid", ""}},
		{name: "another tenant", headers: []string{"ce_id", "%s", "ce_tenantid", "zeta"}, refused: true},
		{name: "an empty key with an id", headers: []string{"ce_id", "%s", "Idempotency-Key", ""}},
		{name: "an empty key alone", headers: []string{"Idempotency-Key", ""}, refused: true},
		{name: "an empty id", headers: []string{"ce_id", ""}, refused: true},
		{name: "a key alone", headers: []string{"Idempotency-Key", "%s"}},
		{name: "a key in another spelling", headers: []string{"Idempotency_Key", "%s"}},
		{name: "an id in another spelling", headers: []string{"CE_ID", "%s"}},
		{name: "the same id in two spellings", headers: []string{"CE_ID", "%s", "ce-id", "%s"}},
		{name: "two ids in two spellings", headers: []string{"ce_id", "%s", "ce-id", "other"}, refused: true},
		{name: "an import", headers: []string{"ce_id", "%s", "ce_origin", "import"}, origin: "import"},
		{name: "an import in another spelling", headers: []string{"ce_id", "%s", "CE-Origin", "import"}, origin: "import"},
		{name: "a misspelt origin", headers: []string{"ce_id", "%s", "ce_origin", "Import"}, refused: true},
		{name: "a misspelt origin in another spelling", headers: []string{"ce_id", "%s", "CE_ORIGIN", "imported"}, refused: true},
		{name: "an empty origin", headers: []string{"ce_id", "%s", "ce_origin", ""}, refused: true},
		{name: "an origin in one word", headers: []string{"ce_id", "%s", "ceorigin", "import"}, refused: true},
		{name: "an origin with a dot", headers: []string{"ce_id", "%s", "ce.origin", "import"}, refused: true},
		{name: "an origin without a letter", headers: []string{"ce_id", "%s", "ce_orgin", "import"}, refused: true},
		{name: "an origin with two letters swapped", headers: []string{"ce_id", "%s", "ce_oirgin", "import"}, refused: true},
		{name: "an extension that is no origin", headers: []string{"ce_id", "%s", "ce_region", "eu"}},
		{name: "the engine's origin", headers: []string{"ce_id", "%s", "ce_origin", "echo"}, refused: true},
		{name: "a trace", headers: []string{"ce_id", "%s", "traceparent", traceA, "tracestate", "a=1"}},
		{name: "two traces", headers: []string{"ce_id", "%s", "traceparent", traceA, "traceparent", traceB}},
		{name: "an empty trace state", headers: []string{"ce_id", "%s", "traceparent", traceA, "tracestate", ""}},
		{name: "a huge trace state", headers: []string{"ce_id", "%s", "traceparent", traceA, "tracestate", fat}},
		{name: "two trace states", headers: []string{"ce_id", "%s", "traceparent", traceA, "tracestate", "a=1", "tracestate", "b=2"}},
		{name: "a malformed trace", headers: []string{"ce_id", "%s", "traceparent", "00-xyz"}},
		{name: "a huge foreign header", headers: []string{"ce_id", "%s", "x-jwt", fat}},
		{name: "an unsigned system attribute", headers: []string{"ce_id", "%s", "ce_hops", "3"}},
		{name: "an unreadable id", headers: []string{"ce_id", "a\x01b"}, refused: true},
	}
	for i, c := range cases {
		var got [2]string
		for way := range 2 {
			own := fmt.Sprintf("c%d-%d", i, way)
			headers := []string{"ce_specversion", "1.0", "ce_source", "/attributes", "ce_type", "lead.created"}
			for _, h := range c.headers {
				headers = append(headers, strings.ReplaceAll(h, "%s", own))
			}
			if way == 0 {
				got[way] = b.overHTTP(own, headers)
				continue
			}
			body, err := schema.EncodeMap(map[string]any{"lead_id": own})
			if err != nil {
				t.Fatal(err)
			}
			rec := &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: event.Frame(id, body)}
			for h := 0; h < len(headers); h += 2 {
				rec.Headers = append(rec.Headers, kafka.RecordHeader{Key: headers[h], Value: []byte(headers[h+1])})
			}
			kafkatest.Produce(t, b.cfg, rec)
			got[way] = b.became(own)
		}
		for way, what := range got {
			want := "refused"
			if !c.refused {
				want = fmt.Sprintf("admitted lead/c%d-%d %s", i, way, c.origin)
			}
			if strings.Replace(what, " live", " ", 1) != want {
				t.Errorf("%s, over %s: %q, want %q", c.name, []string{"HTTP", "Kafka"}[way], what, want)
			}
		}
	}
}

// An id that is the empty text names no one: all leads that have it would share one row, one rule state and one contact.
func TestIngest_RefusesAnIDThatIsTheEmptyText(t *testing.T) {
	b := startBoth(t)
	for _, c := range []struct {
		typ, subject string
		data         map[string]any
		refused      bool
	}{
		{"lead.created", "", map[string]any{"lead_id": ""}, true},
		{"lead.created", "lead/1", map[string]any{"lead_id": ""}, true},
		{"opportunity.created", "", map[string]any{"opportunity_id": "", "lead_id": "1"}, true},
		{"activity.recorded", "", map[string]any{"activity_id": "", "lead_id": "1", "kind": "call"}, true},
		{"activity.recorded", "", map[string]any{"activity_id": "1", "lead_id": "", "kind": "call"}, false}, // optional
	} {
		schemaID, schema, err := b.schemas.ByType(t.Context(), c.typ)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(c.data)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%s %v", c.typ, c.data)
		status, answer := b.binary(string(text), []string{"ce-specversion", "1.0", "ce-source", "/http", "ce-id", id, "ce-type", c.typ, "ce-subject", c.subject})
		if refused := status == http.StatusUnprocessableEntity && strings.Contains(answer, "is the id of nothing"); refused != c.refused || !refused && status != http.StatusOK {
			t.Errorf("%s over HTTP: %d %s", id, status, answer)
		}
		body, err := schema.EncodeMap(c.data)
		if err != nil {
			t.Fatal(err)
		}
		rec := &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: event.Frame(schemaID, body)}
		for name, value := range map[string]string{"ce_specversion": "1.0", "ce_id": id, "ce_source": "/kafka", "ce_type": c.typ, "ce_subject": c.subject} {
			rec.Headers = append(rec.Headers, kafka.RecordHeader{Key: name, Value: []byte(value)})
		}
		kafkatest.Produce(t, b.cfg, rec)
		topic := kafka.TopicEvents
		if c.refused {
			topic = kafka.TopicDeadLetter
		}
		kafkatest.WaitFor(t, id+" in "+topic, func(context.Context) bool {
			for _, r := range kafkatest.Consume(t, b.cfg, topic) {
				found := map[string]string{}
				for _, h := range r.Headers {
					found[h.Key] = string(h.Value)
				}
				if found["ce_id"] == id && found["ce_source"] == "/kafka" {
					return true
				}
			}
			return false
		})
	}
}

// overHTTP sends one event in binary mode and tells what became of it.
func (b *both) overHTTP(lead string, headers []string) string {
	b.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		if name := headers[i]; strings.HasPrefix(name, "ce_") { // as CloudEvents' HTTP binding writes it
			headers[i] = "ce-" + name[3:]
		}
	}
	status, text := b.binary(fmt.Sprintf(`{"lead_id":%q}`, lead), headers)
	if status >= 400 {
		return "refused"
	}
	var it item
	if err := json.Unmarshal([]byte(text), &it); err != nil || it.Status != "admitted" {
		return fmt.Sprint(status, text)
	}
	return b.became(lead)
}

// became waits for the event about a lead, in the log or among the dead letters.
func (b *both) became(lead string) string {
	b.t.Helper()
	var what string
	kafkatest.WaitFor(b.t, "what became of "+lead, func(context.Context) bool {
		for _, topic := range []string{kafka.TopicEvents, kafka.TopicDeadLetter} {
			for _, r := range kafkatest.Consume(b.t, b.cfg, topic) {
				if !strings.HasSuffix(strings.TrimRight(string(r.Value), "\x00"), lead) {
					continue
				}
				if what = "refused"; topic == kafka.TopicEvents {
					e, err := kafka.ParseRecorded(r)
					if err != nil {
						b.t.Fatal(err)
					}
					what = fmt.Sprintf("admitted %s %s", e.Subject, e.Origin)
				}
				return true
			}
		}
		return false
	})
	return what
}

// binary posts data as JSON with the attributes as headers, whose names and doubles are sent as they are.
func (b *both) binary(data string, headers []string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.urls[0]+"/v1/events", strings.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + b.key}, "Content-Type": {"application/json"}, "Prefer": {"wait=20"}}
	for i := 0; i < len(headers); i += 2 {
		value := headers[i+1]
		if strings.ContainsRune(value, 1) { // not possible in HTTP but so
			value = url.PathEscape(value)
		}
		r.Header[headers[i]] = append(r.Header[headers[i]], value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
