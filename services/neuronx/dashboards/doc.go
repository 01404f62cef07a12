// Package dashboards holds the Grafana dashboards as Go values and writes them as classic dashboard JSON, which every Grafana since 9 reads.
// The files are committed in deploy/observability/dashboards, where a test keeps them current:
//
//	go test ./services/neuronx/dashboards -args -update
//
// A panel that shows nothing while all is well, such as refusals by reason, says so at the end of its description (EmptyWhenHealthy), so
// that an empty panel is never a riddle. The tests in e2e run every query against a real Prometheus that scrapes an engine under load:
// each gives data, or is marked so and names metrics that the engine registers.
package dashboards
