package dashboards

// Dashboard is one file.
type Dashboard struct {
	UID   string // also the name of the file
	Title string
	Help  string
	Rows  []Row
}

// Row is a titled group of panels, from left to right and top to bottom.
type Row struct {
	Title  string
	Panels []Panel
}

// Kind is how a panel draws.
type Kind string

// The kinds.
const (
	Lines Kind = "timeseries"
	Stat  Kind = "stat"  // one number, coloured by its thresholds
	Table Kind = "table" // the series that there are now, with their labels
)

// The units, by Grafana's names.
const (
	perSecond = "cps" // of events, records, batches
	requests  = "reqps"
	seconds   = "s"
	unitBytes = "bytes"
	byteRate  = "Bps"
	share     = "percentunit" // 1 is 100 %
	number    = "short"
)

// Panel is one panel.
type Panel struct {
	Title string
	Kind  Kind // default Lines
	Unit  string
	Help  string // what it shows, and what is unusual

	// EmptyWhenHealthy marks a panel that has no series while nothing is wrong. A panel that is not marked must have data under load.
	EmptyWhenHealthy bool

	Warn, Bad float64 // thresholds: yellow and red from here on; 0: none
	Queries   []Query
}

// Query is one PromQL expression. SEL stands for the matchers of the dashboard's variables.
type Query struct {
	Expr   string
	Legend string // such as {{service}}
}

// selector is what SEL stands for.
const selector = `service=~"$service",instance=~"$instance"`

// EmptyWhenHealthy ends the description of a panel that is marked so.
const EmptyWhenHealthy = "Empty when healthy."

// All returns the dashboards.
func All() []Dashboard { return []Dashboard{overview(), ingest(), consumers(), rules(), crm()} }

func q(expr, legend string) []Query { return []Query{{expr, legend}} }

// rate is the sum of a counter's rate by labels.
func rate(by, counter, matchers string) string {
	if matchers != "" {
		matchers += ","
	}
	return "sum by (" + by + ") (rate(" + counter + "{" + matchers + "SEL}[$__rate_interval]))"
}

// quantiles are the median and the 99th percentile of a histogram by labels, which may be none.
func quantiles(by, histogram, legend string) []Query {
	le := "le"
	if by != "" {
		le = by + ", le"
	}
	buckets := "sum by (" + le + ") (rate(" + histogram + "_bucket{SEL}[$__rate_interval]))"
	return []Query{
		{"histogram_quantile(0.5, " + buckets + ")", "p50 " + legend},
		{"histogram_quantile(0.99, " + buckets + ")", "p99 " + legend},
	}
}
