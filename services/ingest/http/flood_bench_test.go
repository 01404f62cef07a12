package httpin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

// taker acknowledges at once and keeps nothing.
type taker struct{}

func (taker) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) { go done(rec, nil) }

// BenchmarkPost_AnotherTenantAt100TimesItsRate sends a witness's events at a steady rate, in turns alone and while another tenant, with
// a quota of 50 events a second, sends 5,000. It reports the witness's p99 of both in milliseconds, and their ratio. The flood is made on
// the same cores as the door, so there is a third turn: the same flood against a server that does nothing. What it costs the witness
// is not the door's doing.
func BenchmarkPost_AnotherTenantAt100TimesItsRate(b *testing.B) {
	const (
		quota   = 50
		clients = 20
		round   = time.Second
		pace    = 5 * time.Millisecond // of the witness
	)
	f := newFixture(b, func(c *Config) { c.Quotas = Quotas{Events: quota}; c.Producer = taker{} })
	web := httptest.NewServer(f.handler)
	defer web.Close()
	idle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	defer idle.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var n, refused, passed atomic.Int64
	send := func(url, key string) int {
		r, err := http.NewRequest(http.MethodPost, url+"/v1/events", strings.NewReader(with("id", fmt.Sprint(n.Add(1)))))
		if err != nil {
			b.Error(err)
			return 0
		}
		r.Header.Set("Authorization", "Bearer "+f.keys[key])
		r.Header.Set("Content-Type", mediaStructured)
		res, err := client.Do(r)
		if err != nil {
			b.Error(err)
			return 0
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	witness := func() (took []time.Duration) {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for end := time.Now().Add(round); time.Now().Before(end); <-tick.C {
			begun := time.Now()
			if status := send(web.URL, "witness"); status != http.StatusAccepted {
				b.Errorf("the witness gets %d", status)
			}
			took = append(took, time.Since(begun))
		}
		return took
	}
	flood := func(url string, stop chan struct{}) *sync.WaitGroup {
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				tick := time.NewTicker(clients * time.Second / (100 * quota))
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					switch status := send(url, "acme"); {
					case url != web.URL:
					case status == http.StatusAccepted:
						passed.Add(1)
					default:
						refused.Add(1)
					}
				}
			})
		}
		return &all
	}
	beside := func(url string) ([]time.Duration, time.Duration) {
		stop := make(chan struct{})
		begun := time.Now()
		all := flood(url, stop)
		took := witness()
		close(stop)
		all.Wait()
		return took, time.Since(begun)
	}
	var alone, door, nothing []time.Duration
	var flooded time.Duration
	b.ResetTimer()
	for range b.N {
		alone = append(alone, witness()...)
		took, lasted := beside(web.URL)
		door, flooded = append(door, took...), flooded+lasted
		took, _ = beside(idle.URL)
		nothing = append(nothing, took...)
	}
	b.StopTimer()
	p99 := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)*99/100].Microseconds()) / 1000
	}
	b.ReportMetric(p99(alone), "ms-alone-p99")
	b.ReportMetric(p99(door), "ms-flood-p99")
	b.ReportMetric(p99(nothing), "ms-elsewhere-p99")
	b.ReportMetric(p99(door)/p99(alone), "flood/alone")
	b.ReportMetric(p99(door)/p99(nothing), "flood/elsewhere")
	b.ReportMetric(float64(refused.Load())/flooded.Seconds(), "refused/s")
	b.ReportMetric(float64(passed.Load())/flooded.Seconds(), "passed/s")
}
