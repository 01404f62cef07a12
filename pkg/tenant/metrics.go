package tenant

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// newMetrics registers the directory's age. reg may be nil.
func newMetrics(reg prometheus.Registerer, d *Directory) {
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "neuronx_tenant_directory_age_seconds",
		Help: "Seconds since tenants and API keys were last read from Postgres; -1 before the first load.",
	}, func() float64 {
		at := d.loaded.Load()
		if at == 0 {
			return -1
		}
		return d.now().Sub(unixNano(at)).Seconds()
	})
}
