package httpin

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/neuronx/engine/pkg/event"
)

type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	events    *prometheus.CounterVec
	ignored   *prometheus.CounterVec
	waits     *prometheus.CounterVec
	lookups   *prometheus.CounterVec
	refused   *prometheus.CounterVec
	rejected  *prometheus.CounterVec
	crowded   prometheus.Counter
	tenants   sync.Map // those with a series of their own
	series    atomic.Int64
}

// maxTenantSeries bounds the tenants that have a series of their own; the others are "other".
const maxTenantSeries = 100

func newMetrics(reg prometheus.Registerer, s *Server) *metrics {
	auto := promauto.With(reg)
	m := &metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_http_requests_total", Help: "HTTP requests by route, method and status code.",
		}, []string{"route", "method", "code"}),
		durations: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "neuronx_http_request_duration_seconds", Help: "Time from the request's headers to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		events: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_http_events_total", Help: "Events by outcome at the HTTP endpoint: accepted, refused, unknown; reason is the refusal's code.",
		}, []string{"outcome", "reason"}),
		ignored: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_http_ignored_attributes_total", Help: "System attributes that clients tried to set and that were dropped.",
		}, []string{"attribute"}),
		waits: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_http_waits_total", Help: "Requests that asked to wait for the verdict: answered in time, late, or no_room (too many wait, or receipts are not followed).",
		}, []string{"outcome"}),
		lookups: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "neuronx_http_lookups_total", Help: "Events asked for by id, by where they were found: archive, log, ingress, receipts, nowhere, or undecided (a bound was reached).",
		}, []string{"found"}),
	}
	m.refused = auto.NewCounterVec(prometheus.CounterOpts{
		Name: "neuronx_http_refused_total",
		Help: "Requests that were refused for what they would hold: memory_full (of the process), tenant_memory_full, slow_body. 100 tenants have series of their own, the rest is other.",
	}, []string{"reason", "tenant"})
	m.rejected = auto.NewCounterVec(prometheus.CounterOpts{
		Name: "neuronx_http_tenant_refused_total",
		Help: "Events and requests of a tenant that were refused for what is wrong with them (invalid), or because it is over its rates (rate_limited). 100 tenants have series of their own, the rest is other.",
	}, []string{"reason", "tenant"})
	m.crowded = auto.NewCounter(prometheus.CounterOpts{
		Name: "neuronx_http_connections_refused_total", Help: "Connections that were closed because too many were open; whose they were is not known.",
	})
	gauge := func(name, help string, value func() float64) {
		auto.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	gauge("neuronx_http_body_memory_bytes", "Memory reserved for requests in flight: what is read, decompressed and parsed.",
		func() float64 { return float64(s.memory.reserved()) })
	gauge("neuronx_http_body_memory_limit_bytes", "How much of that there may be before requests are refused.",
		func() float64 { return float64(s.memory.limit) })
	gauge("neuronx_http_waiting_verdicts", "Events for whose verdict a client waits now.",
		func() float64 { return float64(s.waitlist.size()) })
	gauge("neuronx_http_waiting_records", "Records handed to Kafka and not acknowledged yet.",
		func() float64 { return float64(s.gate.records.reserved()) })
	return m
}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, knownMethod(method), strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) event(outcome string, code event.Code) {
	m.events.WithLabelValues(outcome, string(code)).Inc()
}

// reject counts an event or a request of a tenant that was refused through a fault in it, or for its rates.
func (m *metrics) reject(code event.Code, tenant string) {
	m.event(statusRefused, code)
	reason := "invalid"
	switch code {
	case event.CodeRateLimited:
		reason = string(code)
	case event.CodeUnavailable:
		return
	}
	m.rejected.WithLabelValues(reason, m.named(tenant)).Inc()
}

// overload counts a request that was refused for what it would hold.
func (m *metrics) overload(code event.Code, tenant string) {
	m.refused.WithLabelValues(string(code), m.named(tenant)).Inc()
}

// named is a tenant that has series of its own, or "other".
func (m *metrics) named(tenant string) string {
	if _, known := m.tenants.Load(tenant); !known {
		if m.series.Load() >= maxTenantSeries {
			return "other"
		} else if _, other := m.tenants.LoadOrStore(tenant, true); !other {
			m.series.Add(1)
		}
	}
	return tenant
}

// stored counts n events that were accepted.
func (m *metrics) stored(n int) { m.events.WithLabelValues(statusAccepted, "").Add(float64(n)) }

// knownMethod keeps invented methods from making new series (the class of
// CVE-2022-21698).
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
