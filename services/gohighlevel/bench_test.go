package gohighlevel

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/vendorapi"
	"github.com/neuronx/engine/services/standin"
)

// BenchmarkCall_ThreeIntervalsOfALocation asks as fast as an account lets it, for three of the vendor's intervals of 100 requests in 10 s. It
// takes half a minute: go test ./services/gohighlevel -run - -bench Intervals -benchtime 1x
func BenchmarkCall_ThreeIntervalsOfALocation(b *testing.B) {
	const length = 30 * time.Second
	for range b.N {
		crm, err := standin.New(standin.Config{Tokens: map[string]string{"tok": "loc"}}, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		srv := httptest.NewServer(crm.Handler())
		client := vendorapi.New(10*time.Second, srv.URL)
		w := newWorker(workerConfig{client: client, metrics: newMetrics(prometheus.NewRegistry())})
		acct := newAccount(time.Now())
		ctx, cancel := context.WithTimeout(b.Context(), length)
		var senders sync.WaitGroup
		for range 4 { // what a tenant has of 16 workers
			senders.Go(func() {
				j := &job{account: acct, baseURL: srv.URL, token: "tok"}
				for ctx.Err() == nil {
					w.call(ctx, nil, j, effect.Lookup("loc", "email", "ann@example.com"))
				}
			})
		}
		senders.Wait()
		cancel()
		var taken []time.Time
		refused, most, from := 0, 0, 0
		for _, e := range crm.Requests(0, "") {
			if e.Status == http.StatusTooManyRequests {
				refused++
				continue
			}
			taken = append(taken, e.Time)
			for e.Time.Sub(taken[from]) >= 10*time.Second {
				from++
			}
			most = max(most, len(taken)-from)
		}
		b.ReportMetric(float64(len(taken))/length.Seconds()*10, "accepted/10s")
		b.ReportMetric(float64(most), "most/10s")
		b.ReportMetric(float64(refused), "429s")
		client.Close()
		_ = crm.Close()
		srv.Close()
	}
}
