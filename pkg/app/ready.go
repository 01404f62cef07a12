package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Grace is how long attempts of a component may fail before the process stops being ready: a broker that is restarted or a
// connection that is cut should not take a process out of service.
const Grace = 5 * time.Second

// maxReasonText bounds what is kept of an error, in bytes.
const maxReasonText = 600

// Readiness collects what keeps a process from being ready, and what it waits for. It is ready when all components that Serving named
// have reported, or at least one where it named none, and none that counts is in trouble.
//
// Trouble is reported by activity: "writing a batch" may be blamed on postgres now and on the registry a minute later. A component
// is in trouble while any activity blames it.
type Readiness struct {
	mu         sync.Mutex
	now        func() time.Time
	activities map[string]*activity
	components map[string]bool // all that were ever reported
	serving    map[string]bool // those that decide about readiness; nil: all
	histories  map[string]*history
}

// activity is what one activity reported last.
type activity struct {
	component string
	reason    string    // empty: no trouble
	since     time.Time // of the first failure in a row
	attempts  int       // failures in a row
	patient   bool      // counts only after Grace
}

// Component is what is known of one component.
type Component struct {
	Name     string    `json:"component"`
	Ready    bool      `json:"ready"`            // false after Grace, or at once for what was set
	Reason   string    `json:"reason,omitempty"` // why it is waited for; empty when it is fine
	Since    time.Time `json:"since,omitzero"`   // since when it is waited for
	Attempts int       `json:"attempts"`         // failures in a row, where attempts are counted
	Serving  bool      `json:"serving"`          // whether it decides about the readiness of the process
	Lost     *Losses   `json:"lost,omitempty"`   // how often it was lost lately; nil: never, or it is no dependency
}

// Waiting is how long the component has been waited for; 0 when it is fine.
func (c *Component) Waiting(now time.Time) time.Duration {
	if c.Since.IsZero() {
		return 0
	}
	return max(0, now.Sub(c.Since))
}

// String says what is waited for, since when and how often that was tried.
func (c *Component) String() string {
	if c.Reason == "" {
		return c.Name + ": ok"
	}
	s := c.Name + ": " + c.Reason
	if !c.Since.IsZero() {
		s += ", since " + c.Since.UTC().Format("15:04:05 MST")
	}
	if c.Attempts > 1 {
		s += fmt.Sprintf(", retried %d times", c.Attempts-1)
	}
	return s
}

// NewReadiness makes one that is not ready.
func NewReadiness() *Readiness {
	return &Readiness{now: time.Now, activities: map[string]*activity{}, components: map[string]bool{}, histories: map[string]*history{}}
}

// Set says at once how a component is: nil is fine.
func (r *Readiness) Set(component string, err error) { r.report("", component, err, false) }

// Attempt reports how an attempt that will be repeated went, and which component is to blame for a failure. The component counts as
// not ready when attempts have failed for Grace; the time it is waited for begins with the first failure. An attempt that went well
// clears whatever the activity blamed before.
//
// An error that was marked with Blamed is of the component that it names.
func (r *Readiness) Attempt(activity, component string, err error) {
	if b, ok := errors.AsType[*blamedError](err); ok {
		component = b.component
	}
	r.report(activity, component, err, true)
}

// Serving names the components without which the process can't do what clients ask of it. Trouble of the others is told, but does
// not take the process out of service.
func (r *Readiness) Serving(components ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving = map[string]bool{}
	for _, c := range components {
		r.serving[c] = true
	}
}

func (r *Readiness) report(name, component string, err error, patient bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.components[component] = true
	key := name
	if !patient {
		key = "\x00" + component
	}
	// The report may begin or end a spell, also one of the component that was blamed before.
	blamed := component
	if a := r.activities[key]; a != nil {
		blamed = a.component
	}
	r.look(component)
	r.look(blamed)
	r.take(key, component, err, patient)
	r.look(component)
	r.look(blamed)
}

// take notes a report. The caller holds mu.
func (r *Readiness) take(key, component string, err error, patient bool) {
	a := r.activities[key]
	if err == nil {
		if a == nil || !patient {
			r.activities[key] = &activity{component: component, patient: patient}
			return
		}
		*a = activity{component: a.component, patient: true}
		return
	}
	if a == nil || a.reason == "" || a.component != component {
		a = &activity{component: component, since: r.now(), patient: patient}
		r.activities[key] = a
	}
	a.reason = reasonText(err)
	if patient {
		a.attempts++
	}
}

// look notes whether a component is ready. It is called before and after every change, so that no spell is missed however rarely
// metrics are read.
func (r *Readiness) look(component string) *history {
	now := r.now()
	var worst *activity
	for _, a := range r.activities {
		if a.component == component && a.down(now) && (worst == nil || a.since.Before(worst.since)) {
			worst = a
		}
	}
	h := r.histories[component]
	if h == nil {
		h = &history{}
		r.histories[component] = h
	}
	h.note(component, worst, now)
	return h
}

// down reports whether an activity keeps its component from being ready.
func (a *activity) down(now time.Time) bool {
	return a.reason != "" && (!a.patient || now.Sub(a.since) >= Grace)
}

// Spells is how often a component stopped being ready.
func (r *Readiness) Spells(component string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look(component).total
}

// Components lists every component that was ever reported, sorted by name. Of several activities that blame the same one, the one
// that has waited longest tells the reason.
func (r *Readiness) Components() []Component {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list()
}

func (r *Readiness) list() []Component {
	byName := make(map[string]*Component, len(r.components)+len(r.serving))
	out := make([]Component, 0, len(r.components)+len(r.serving))
	for name := range r.components {
		out = append(out, Component{Name: name, Ready: true, Serving: r.serving == nil || r.serving[name], Lost: r.look(name).losses(r.now())})
	}
	for name := range r.serving {
		if !r.components[name] { // another component may be fine long before this one is there
			out = append(out, Component{Name: name, Reason: "starting", Serving: true})
		}
	}
	slices.SortFunc(out, func(a, b Component) int { return strings.Compare(a.Name, b.Name) })
	for i := range out {
		byName[out[i].Name] = &out[i]
	}
	for _, a := range r.activities {
		if a.reason == "" {
			continue
		}
		c := byName[a.component]
		if a.down(r.now()) {
			c.Ready = false
		}
		if c.Since.IsZero() || a.since.Before(c.Since) {
			c.Since, c.Reason, c.Attempts = a.since, a.reason, a.attempts
		}
	}
	return out
}

// Err is nil when the process is ready, else says what is not, sorted by component.
func (r *Readiness) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.components) == 0 {
		return errors.New("starting")
	}
	var errs []error
	for _, c := range r.list() {
		if !c.Ready && c.Serving {
			errs = append(errs, errors.New(c.String()))
		}
	}
	return errors.Join(errs...)
}

// Down is why a component is not ready, or nil.
func (r *Readiness) Down(component string) error {
	for _, c := range r.Components() {
		if c.Name == component && !c.Ready {
			return errors.New(c.String())
		}
	}
	return nil
}

// reasonText is an error's text on one line, bounded, without control characters and without what looks like a credential.
func reasonText(err error) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, hideCredentials(err.Error()))
	if len(s) > maxReasonText {
		s = strings.ToValidUTF8(s[:maxReasonText], "") + " …"
	}
	if s == "" {
		return "an error without a text"
	}
	return s
}

// readyCollector tells a Readiness as metrics.
type readyCollector struct {
	r              *Readiness
	ready, waiting *prometheus.Desc
	spells         *prometheus.Desc
}

func newReadyCollector(r *Readiness) *readyCollector {
	return &readyCollector{
		r:       r,
		ready:   prometheus.NewDesc("neuronx_ready", "1 when the component is fine, 0 when the process waits for it.", []string{"component"}, nil),
		waiting: prometheus.NewDesc("neuronx_waiting_seconds", "How long the process has been waiting for the component; 0 when it is fine.", []string{"component"}, nil),
		spells:  prometheus.NewDesc("neuronx_not_ready_total", "How often the component stopped being ready.", []string{"component"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *readyCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.ready
	ch <- c.waiting
	ch <- c.spells
}

// Collect implements prometheus.Collector. The component is one of a fixed few, or a partition's number.
func (c *readyCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.r.now()
	for _, s := range c.r.Components() {
		ready := 0.0
		if s.Ready {
			ready = 1
		}
		ch <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, ready, s.Name)
		ch <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, s.Waiting(now).Seconds(), s.Name)
		ch <- prometheus.MustNewConstMetric(c.spells, prometheus.CounterValue, float64(c.r.Spells(s.Name)), s.Name)
	}
}
