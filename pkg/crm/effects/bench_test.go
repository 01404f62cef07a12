package effects

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/services/standin"
)

// BenchmarkCall_ThreeIntervalsOfALocation asks as fast as an account lets it, for three of the vendor's intervals of 100 requests in 10 s. It
// takes half a minute: go test ./pkg/crm/effects -run - -bench Intervals -benchtime 1x
func BenchmarkCall_ThreeIntervalsOfALocation(b *testing.B) {
	const length = 30 * time.Second
	for range b.N {
		far, err := standin.New(standin.Config{Tokens: map[string]string{"tok": "loc"}}, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		srv := httptest.NewServer(far.Handler())
		client := transport.New(10*time.Second, srv.URL, "test")
		w := newWorker(workerConfig{adapter: gohighlevel.Adapter{}, client: client, metrics: newMetrics(prometheus.NewRegistry())})
		acct := newAccount(gohighlevel.Adapter{}, time.Now())
		ctx, cancel := context.WithTimeout(b.Context(), length)
		var senders sync.WaitGroup
		for range 4 { // what a tenant has of 16 workers
			senders.Go(func() {
				j := &job{account: acct, baseURL: srv.URL, token: "tok"}
				for ctx.Err() == nil {
					w.call(ctx, nil, j, crm.Call{Op: "contact_lookup", Method: http.MethodGet, Path: "/contacts/search/duplicate?locationId=loc&email=ann@example.com", Version: "2021-07-28"}, false)
				}
			})
		}
		senders.Wait()
		cancel()
		var taken []time.Time
		refused, most, from := 0, 0, 0
		for _, e := range far.Requests(0, "") {
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
		_ = far.Close()
		srv.Close()
	}
}
