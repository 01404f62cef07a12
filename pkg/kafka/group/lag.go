package group

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/neuronx/engine/pkg/backoff"
)

// endsInterval is how often the ends of the owned partitions are asked for. Fetches tell them too, but not while a handler
// hangs or a partition is stopped, which is when the lag matters.
const endsInterval = 5 * time.Second

// lagCollector computes the lag when it is scraped, so that it grows while a consumer hangs.
type lagCollector struct {
	group                           *Consumer
	reg                             prometheus.Registerer
	records, seconds, stop, foreign *prometheus.Desc
}

func newLagCollector(g *Consumer, reg prometheus.Registerer) (*lagCollector, error) {
	desc := func(name, help string) *prometheus.Desc {
		// The group is a constant label: the groups of one process each register their own collector.
		return prometheus.NewDesc(name, help, []string{"topic", "partition"}, prometheus.Labels{"consumergroup": g.cfg.Group})
	}
	c := &lagCollector{
		group: g, reg: reg,
		records: desc("neuronx_consumer_lag_records", "Offsets between what this member has handled and the last stable offset, by partition it owns."),
		seconds: desc("neuronx_consumer_lag_seconds", "Age of the next record to be handled, by partition; 0 when there is none."),
		stop:    desc("neuronx_consumer_partition_stopped", "1 when a partition is not read any more because records would be skipped."),
	}
	c.foreign = prometheus.NewDesc("neuronx_group_foreign_members", "Members of the group that are no program of the engine and take its partitions; told by the leader of the group if that is one of the engine's, 0 at others.",
		nil, prometheus.Labels{"consumergroup": g.cfg.Group})
	if reg != nil {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("kafka: metrics of group %s: %w", g.cfg.Group, err)
		}
	}
	return c, nil
}

func (c *lagCollector) unregister() {
	if c.reg != nil {
		c.reg.Unregister(c)
	}
}

// Describe implements prometheus.Collector.
func (c *lagCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.records
	ch <- c.seconds
	ch <- c.stop
	ch <- c.foreign
}

// Collect implements prometheus.Collector.
func (c *lagCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(c.foreign, prometheus.GaugeValue, float64(c.group.foreign.Load()))
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	for tp, p := range c.group.owned {
		stopped := 0.0
		if p.stopped != nil {
			stopped = 1
		}
		send := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, tp.Topic, strconv.Itoa(int(tp.Partition)))
		}
		send(c.records, float64(p.lag()))
		send(c.seconds, p.lagSeconds(time.Now()))
		send(c.stop, stopped)
	}
}

// position is the offset behind what was handled in this assignment, or where it began; -1 before that is known.
func (p *partition) position() int64 {
	if p.done.Offset >= 0 {
		return p.done.Offset
	}
	return p.from
}

func (p *partition) lag() int64 {
	if at := p.position(); at >= 0 && p.end > at {
		return p.end - at
	}
	return 0
}

func (p *partition) lagSeconds(now time.Time) float64 {
	if p.waiting.IsZero() {
		return 0
	}
	return max(0, now.Sub(p.waiting).Seconds())
}

// sawEnd notes a last stable offset: when records wait that no fetch has brought yet, they have waited since about now.
func (p *partition) sawEnd(end int64, now time.Time) {
	p.end = max(p.end, end)
	switch {
	case p.lag() == 0:
		p.waiting = time.Time{}
	case p.waiting.IsZero():
		p.waiting = now
	}
}

// watchEnds asks for the ends of the log now and then, and returns a function that stops it.
func (g *Consumer) watchEnds(ctx context.Context, adm *kadm.Client) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for backoff.Wait(ctx, endsInterval) == nil {
			ends, err := adm.ListCommittedOffsets(ctx, g.cfg.Topics...)
			if err != nil {
				continue // the next fetch or the next round tells; a broker that is away is logged where it is needed
			}
			g.mu.Lock()
			for tp, p := range g.owned {
				if o, ok := ends.Lookup(tp.Topic, tp.Partition); ok && o.Err == nil {
					p.sawEnd(o.Offset, time.Now())
				}
			}
			g.mu.Unlock()
		}
	}()
	return func() { cancel(); <-done }
}
