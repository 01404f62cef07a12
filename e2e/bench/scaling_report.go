package main

import (
	"fmt"
	"math"
	"slices"
)

// scaling adds a job for every axis, CPU an event and rate as ratios to the base of the same round, and a table of all points.
func (r *report) scaling(name, what string, points []point, all [][]scaled) {
	t := table{heading: fmt.Sprintf("%s: medians of %d rounds; ratios are to the base of the same round, with the lowest and the highest", name, len(all[0])),
		lines: [][]string{{"point", "events", "tenants", "partitions", "own µs", "ratio", "broker µs", "ratio", "Postgres µs", "CPU ratio",
			"events/s", "ratio", "peak MB", "ratio", "events/txn", "state B/event"}}}
	base := points[0]
	for i, p := range points {
		line := []string{p.String(), fmt.Sprint(p.events), fmt.Sprint(p.tenants), fmt.Sprint(p.partitions)}
		for _, value := range []func(scaled) float64{ownCost, brokerCost} {
			line = append(line, number(median(values(all[i], value))), spread(ratios(all[i], all[0], value)))
		}
		cost, rate := ratios(all[i], all[0], totalCost), ratios(all[i], all[0], rateOf)
		line = append(line, number(median(values(all[i], postgresCost))), spread(cost), number(median(values(all[i], rateOf))), spread(rate),
			number(median(values(all[i], peakMB))), spread(ratios(all[i], all[0], peakMB)))
		if all[i][0].counts.transactions > 0 {
			line = append(line, number(median(values(all[i], eventsPerTxn))), number(median(values(all[i], statePerEvent))))
		} else {
			line = append(line, "-", "-")
		}
		t.lines = append(t.lines, line)
		if p.axis == "" {
			continue
		}
		ones := slices.Repeat([]float64{1}, len(cost))
		r.add(name+"_"+p.axis, "CPU an event, base 1", fmt.Sprintf("%s; %d events, %d tenants, %d partitions, against %d, %d, %d in the same round; value and ratio_cpu are CPU an event, "+
			"ratio_wall is events a second, all to that base", what, p.events, p.tenants, p.partitions, base.events, base.tenants, base.partitions), len(cost), cost, ones, rate, cost)
	}
	r.tables = append(r.tables, t)
}

func ownCost(s scaled) float64       { return float64(s.cpu.own.Microseconds()) / s.n }
func brokerCost(s scaled) float64    { return float64(s.cpu.broker.Microseconds()) / s.n }
func postgresCost(s scaled) float64  { return float64(s.cpu.postgres.Microseconds()) / s.n }
func totalCost(s scaled) float64     { return s.cost() }
func rateOf(s scaled) float64        { return s.rate() }
func peakMB(s scaled) float64        { return float64(s.peak) / (1 << 20) }
func eventsPerTxn(s scaled) float64  { return s.n / s.counts.transactions }
func statePerEvent(s scaled) float64 { return s.counts.state / s.n }

// values are of all rounds of a point.
func values(rounds []scaled, of func(scaled) float64) []float64 {
	out := make([]float64, len(rounds))
	for i, s := range rounds {
		out[i] = of(s)
	}
	return out
}

// ratios are to the base, round by round.
func ratios(rounds, base []scaled, of func(scaled) float64) []float64 {
	out := values(rounds, of)
	for i, s := range base {
		out[i] /= of(s)
	}
	return out
}

// spread is a median with the lowest and the highest.
func spread(all []float64) string {
	if math.IsNaN(all[0]) || math.IsInf(all[0], 0) { // a base that was not measured: no broker that can be looked into
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(all), slices.Min(all), slices.Max(all))
}
