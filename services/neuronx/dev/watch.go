package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/demo"
)

// stages are the consumers in the order in which they are shown.
var stages = []string{"rules", "projector", "archiver", "gohighlevel"}

// watcher follows the log and the consumers' progress and shows both.
type watcher struct {
	e       *engine
	sup     *Supervisor
	ops     *pgxpool.Pool
	decoder *consumer.Decoder
	began   time.Time

	mu     sync.Mutex
	travel *travel
}

func newWatcher(e *engine, sup *Supervisor, ops *pgxpool.Pool, client *registry.Client, began time.Time) *watcher {
	return &watcher{e: e, sup: sup, ops: ops, decoder: consumer.NewDecoder(client), began: began, travel: newTravel(200, began)}
}

// follow feeds the log into the travel until ctx ends. The log is read from its start, so that totals are true.
func (w *watcher) follow(ctx context.Context) error {
	err := read.Follow(ctx, w.e.kafkaConfig("dev-view"), kafka.TopicEvents, true, func(rec *kafka.Record) error {
		r, err := kafka.ParseRecorded(rec)
		if err != nil {
			return nil // somebody else's record; the consumers count and report it
		}
		var data map[string]any
		if !r.RecordedTime.Before(w.began) { // of earlier runs only totals are shown
			data, _ = w.decoder.Decode(ctx, &r)
		}
		w.mu.Lock()
		w.travel.admitted(&r, data, time.Now())
		w.mu.Unlock()
		return nil
	})
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// display shows the travel twice a second on a terminal; elsewhere it writes arrivals as they come and a summary every ten seconds.
func (w *watcher) display(ctx context.Context) error {
	v := newView(w.e.out)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, arrived, told := w.snapshot(ctx)
		if v.live {
			v.draw(s)
			continue
		}
		if n == 0 {
			for _, a := range s.Addresses {
				fmt.Fprintf(w.e.out, "%-9s %s\n", a[0], a[1])
			}
		}
		for _, j := range arrived {
			fmt.Fprintln(w.e.out, arrival(j))
		}
		for _, line := range told {
			fmt.Fprintln(w.e.out, safetext.Text(line))
		}
		if n%20 == 19 {
			fmt.Fprintln(w.e.out, summary(s))
		}
	}
}

// snapshot is what is shown now, with the leads that arrived and what workflows did since the one before.
func (w *watcher) snapshot(ctx context.Context) (s snapshot, arrived []*journey, told []string) {
	done, tenants, err := w.progress(ctx)
	off, offErr := w.off(ctx)
	if err == nil {
		err = offErr
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for key, sequence := range tenants {
		w.travel.progressed(key[1], key[0], sequence, now)
	}
	s = snapshot{Up: now.Sub(w.began), Log: w.travel.head(), Addresses: w.addresses(), Off: off}
	for _, name := range w.sup.Stopped() {
		s.Off = append(s.Off, name+" was stopped: curl -X POST "+w.e.adminURL+"/services/"+name+"/start")
	}
	if err == nil {
		err = w.sup.Trouble()
	}
	if err != nil && ctx.Err() == nil {
		s.Trouble = wayOut(err.Error())
	}
	if away := w.e.postgresAway.Load(); away != nil { // the cause of the rest
		s.Trouble = *away
	}
	for _, name := range stages {
		s.Stages = append(s.Stages, stage{Name: name, Done: done[name], Lag: max(0, s.Log-done[name])})
	}
	arrived, told = w.travel.arrivals(), w.travel.stories.untold()
	s.Stories = w.travel.stories.latest()
	for _, j := range w.travel.latest(8) {
		c := *j
		s.Leads = append(s.Leads, &c)
	}
	return s, arrived, told
}

// progress reads how far every consumer has come: in all, and by consumer and tenant.
func (w *watcher) progress(ctx context.Context) (done map[string]int64, tenants map[[2]string]int64, err error) {
	done, tenants = map[string]int64{}, map[[2]string]int64{}
	rows, err := consumer.AllRows(ctx, w.ops)
	for _, r := range rows {
		name := strings.TrimPrefix(r.Consumer, "neuronx.") // a consumer is named as its group
		at := [2]string{name, r.TenantID}
		if more := r.Sequence - tenants[at]; more > 0 { // of several generations, the one that is furthest counts
			done[name] += more
			tenants[at] = r.Sequence
		}
	}
	return done, tenants, err
}

// maxOff bounds the rules that are named as off.
const maxOff = 3

// off says which rules are off, and how they are turned on again.
func (w *watcher) off(ctx context.Context) ([]string, error) {
	rows, err := w.ops.Query(ctx, `SELECT tenant_id, rule, tripped, count(*) OVER () FROM neuronx.rule_health WHERE tripped <> '' ORDER BY tenant_id, rule LIMIT $1`, maxOff)
	if err != nil {
		return nil, fmt.Errorf("read which rules are off: %w", err)
	}
	var tenant, rule, reason string
	var all int
	var out []string
	_, err = pgx.ForEachRow(rows, []any{&tenant, &rule, &reason, &all}, func() error {
		out = append(out, fmt.Sprintf("rule %s of %s is off (%s): neuronx rules reset %s --tenant %s", rule, tenant, reason, rule, tenant))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read which rules are off: %w", err)
	}
	if all > maxOff {
		out = append(out, fmt.Sprintf("%d more rules are off: neuronx rules health", all-maxOff))
	}
	return out, nil
}

func (w *watcher) addresses() [][2]string {
	out := [][2]string{
		{"HTTP", w.e.http + "/v1/events   (key of tenant demo: NEURONX_DEMO_API_KEY in " + w.e.folder.path(envFile) + ")"},
		{"Kafka", w.e.kafka.Brokers()[0] + "   registry " + w.e.registryURL},
		{"Postgres", "127.0.0.1:" + strconv.Itoa(w.e.postgres.Port())},
		{"CRM", w.e.crmURL + "   (stand-in)"},
		{"metrics", w.e.adminURL + "/metrics"},
		{"look", w.tool("status") + "   (in another terminal)"},
	}
	if w.e.cfg.Demo {
		out = append(out, [2]string{"workflow", fmt.Sprintf("call-back: a referral has an owner at once; after a minute without a call it is passed on; the demo calls after %s", demo.CallsAfter)})
	}
	return out
}

// tool is a command of this program that finds this engine, from the folder that it was started in.
func (w *watcher) tool(verb string) string {
	line := os.Args[0] + " " + verb
	file := w.e.folder.path(envFile)
	at, err := filepath.Abs(file)
	if found, foundErr := filepath.Abs(filepath.Join(defaultDataDir, envFile)); err != nil || foundErr != nil || at != found {
		line += " --env-file " + file
	}
	return line
}

// reachable is the URL under which a listener's address can be reached from this machine.
func reachable(a net.Addr) string {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	return "http://" + net.JoinHostPort("127.0.0.1", port)
}

// boundAddr is the configured address with the port that was really bound.
func boundAddr(bound net.Addr, configured string) string {
	host, _, err := net.SplitHostPort(configured)
	_, port, err2 := net.SplitHostPort(bound.String())
	if err != nil || err2 != nil {
		return configured
	}
	return net.JoinHostPort(host, port)
}
