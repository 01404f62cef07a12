package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

// Judged sums neuronx_admission_records_total by outcome over all sequencers. It counts since the start of each process.
func (c *Cluster) Judged(ctx context.Context) (map[string]int64, error) {
	admins := []string{}
	if c.admin != "" {
		admins = append(admins, c.admin)
	}
	for name, p := range c.Processes {
		if strings.HasPrefix(name, "ingest-") && p.Running() {
			admins = append(admins, "http://"+p.Admin)
		}
	}
	sum := map[string]int64{}
	for _, url := range admins {
		body, _, err := get(ctx, url+"/metrics")
		if err != nil {
			return nil, fmt.Errorf("read metrics: %w", err)
		}
		for line := range strings.Lines(body) {
			labels, ok := strings.CutPrefix(line, "neuronx_admission_records_total{")
			if !ok {
				continue
			}
			labels, value, _ := strings.Cut(labels, "} ")
			_, outcome, _ := strings.Cut(labels, `outcome="`)
			outcome, _, _ = strings.Cut(outcome, `"`)
			var n float64
			if _, err := fmt.Sscan(value, &n); err != nil {
				return nil, fmt.Errorf("read metrics: %q: %w", line, err)
			}
			sum[outcome] += int64(n)
		}
	}
	return sum, nil
}

// Counted is what the sequencers' state says of every tenant's records. A derived event that came before its turn counts as a repeat: it
// is sent again.
func (c *Cluster) Counted(ctx context.Context) (map[string]checker.Ledger, error) {
	ledgers, err := statelog.Ledgers(ctx, c.Kafka)
	out := map[string]checker.Ledger{}
	for tenant, l := range ledgers {
		out[tenant] = checker.Ledger{Admitted: int(l.Admitted), Refused: int(l.Refused), Repeats: int(l.Duplicates + l.Ignored), Forwarded: int(l.Forwarded)}
	}
	return out, err
}

// Requests is how many requests the stand-in CRM has in its log, at most 1,000; refused ones count too, those for tokens do not.
func (c *Cluster) Requests(ctx context.Context) (int, error) {
	body, code, err := get(ctx, c.CRMURL+"/_standin/requests")
	if err != nil || code != http.StatusOK {
		return 0, fmt.Errorf("ask the stand-in: %d %w", code, err)
	}
	var log struct {
		Requests []struct {
			Path string `json:"path"`
		} `json:"requests"`
	}
	if err := json.Unmarshal([]byte(body), &log); err != nil {
		return 0, fmt.Errorf("read the stand-in's answer: %w", err)
	}
	n := 0
	for _, r := range log.Requests {
		if !strings.HasPrefix(r.Path, "/oauth/") { // a token is asked for when the account is connected
			n++
		}
	}
	return n, nil
}
