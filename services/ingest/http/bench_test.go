package httpin

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// prompt is a producer that acknowledges at once: what is left is the HTTP server's own work.
type prompt struct{}

func (prompt) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) { done(rec, nil) }

const perBatch = 100

func benchmarkPost(b *testing.B, media string, events int, body []byte) {
	f := newFixture(b, func(c *Config) { c.Producer = prompt{} })
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v1/events", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		r.Header.Set("Content-Type", media)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

const benchID = "018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f"

func benchEvent(data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"/bench","type":"lead.created","subject":"lead/%s","time":"2026-11-23T12:00:00.123456789Z",%s}`, benchID, benchID, data)
}

func benchJSON() string {
	return benchEvent(`"data":{"lead_id":"` + benchID + `","source":"web","channel":"form","campaign":"spring-2027","country":"DE"}`)
}

func benchBatch(one string) []byte {
	out := []byte{'['}
	for range perBatch {
		out = append(append(out, one...), ',')
	}
	out[len(out)-1] = ']'
	return out
}

func BenchmarkPostOne(b *testing.B) { benchmarkPost(b, mediaStructured, 1, []byte(benchJSON())) }

func BenchmarkPostBatch(b *testing.B) {
	benchmarkPost(b, mediaBatch, perBatch, benchBatch(benchJSON()))
}

func BenchmarkPostBatchAvro(b *testing.B) {
	c := newCatalogue(b)
	id := c.byType["lead.created"]
	body, err := c.byID[id].EncodeMap(map[string]any{"lead_id": benchID, "source": "web", "channel": "form", "campaign": "spring-2027", "country": "DE"})
	if err != nil {
		b.Fatal(err)
	}
	one := benchEvent(`"datacontenttype":"application/avro","data_base64":"` + base64.StdEncoding.EncodeToString(event.Frame(id, body)) + `"`)
	benchmarkPost(b, mediaBatch, perBatch, benchBatch(one))
}

// BenchmarkPostRefused is what a request over the quota costs, but for net/http.
func BenchmarkPostRefused(b *testing.B) {
	f := newFixture(b, func(c *Config) { c.Producer = prompt{}; c.Quotas = Quotas{Events: 1e-3} })
	post := func() int {
		r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(benchJSON()))
		r.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		r.Header.Set("Content-Type", mediaStructured)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w.Code
	}
	for range maxBatchItems { // what may come at once
		post()
	}
	b.ReportAllocs()
	for b.Loop() {
		if code := post(); code != http.StatusTooManyRequests {
			b.Fatal(code)
		}
	}
}
