package httpin

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestPostEvents_IsRefusedAtOnceWhileKafkaIsKnownToBeAway(t *testing.T) {
	var away error
	f := newFixture(t, func(c *Config) { c.Away = func() error { return away } })
	lead := with("id", "1", "type", "lead.created", "subject", nil, "data", map[string]any{"lead_id": "1"})
	away = errors.New("kafka: dial tcp 10.0.0.7:9092: connection refused, since 12:00:00 UTC")
	w := f.structured(lead)
	p := decode[Problem](t, w)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" || p.Code != "unavailable" || len(f.producer.taken()) != 0 {
		t.Errorf("%d %v %+v", w.Code, w.Header(), p)
	}
	if body := w.Body.String(); strings.Contains(body, "10.0.0.7") {
		t.Errorf("a client is told about the inside: %s", body)
	}
	away = nil
	if w := f.structured(lead); w.Code != http.StatusAccepted {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	away = errors.New("kafka: the probe was slow") // an acknowledgement of this moment counts for more
	if w := f.structured(lead); w.Code != http.StatusAccepted {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
