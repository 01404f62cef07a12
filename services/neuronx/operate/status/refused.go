package status

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics of what was refused, by reason and tenant.
const (
	refusedMetric  = "neuronx_http_refused_total"        // requests, for what they would hold
	rejectedMetric = "neuronx_http_tenant_refused_total" // events and requests, through a fault in them or for the tenant's rates
)

// manyRejected is how many of those a tenant must have for `status` to name it: everybody sends something wrong now and then.
const manyRejected = 1000

// maxRefused bounds the tenants that `status` names for it.
const maxRefused = 20

// Refused is what the HTTP roles refused one tenant since they were started: for what its requests would hold, or very many for other reasons.
type Refused struct {
	Tenant   string `json:"tenant_id"`
	Reason   string `json:"reason"` // memory_full, tenant_memory_full or slow_body; invalid or rate_limited
	Requests int64  `json:"requests"`
}

// refused sums that up over the admin ports, the most refused first. A port without the metric, or that does not answer, adds nothing:
// that it does not answer is told elsewhere.
func refused(ctx context.Context, client *http.Client, urls []string) []Refused {
	sum := map[[2]string]int64{}
	for _, url := range urls {
		for k, n := range refusedAt(ctx, client, url) {
			sum[k] += n
		}
	}
	rows := make([]Refused, 0, len(sum))
	for k, n := range sum {
		if (k[1] == "invalid" || k[1] == "rate_limited") && n < manyRejected {
			continue
		}
		rows = append(rows, Refused{Tenant: k[0], Reason: k[1], Requests: n})
	}
	slices.SortFunc(rows, func(a, b Refused) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Reason, b.Reason))
	})
	return rows[:min(len(rows), maxRefused)]
}

func refusedAt(ctx context.Context, client *http.Client, url string) map[[2]string]int64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/metrics", nil)
	if err != nil {
		return nil
	}
	res, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = res.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil
	}
	out := map[[2]string]int64{}
	for _, m := range slices.Concat(families[refusedMetric].GetMetric(), families[rejectedMetric].GetMetric()) {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if n := int64(m.GetCounter().GetValue()); n > 0 {
			out[[2]string{labels["tenant"], labels["reason"]}] += n
		}
	}
	return out
}
