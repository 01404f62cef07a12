//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/e2e/soak"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// What a soak is.
const (
	soakTenants   = 200
	soakConnected = 10   // of them have a CRM, and one in a hundred of their events asks for a note in it
	soakRate      = 1000 // events a second that must be acknowledged, all clients together
	soakSpare     = 1.15 // what is asked for is more, because an outage is not made up for at its end
	faultEvery    = 10 * time.Second
	recoverLimit  = 10 * time.Minute // reported, however long; in the end a run fails for it
	judgeLimit    = 2 * time.Minute  // until readers see what a committed offset covers
)

// soakShares are the clients' parts of the load.
var soakShares = map[string]float64{"http": 0.6, "python": 0.1, "java": 0.1, "landing": 0.2}

// TestSoakCluster sends events from HTTP, Python, Java and landing topics to a cluster of three brokers for NEURONX_TEST_SOAK minutes,
// with a fault every ten seconds, asks the checker while things are down and at the end, and keeps what the clients saw, with seed
// and commit, in a folder. Without NEURONX_TEST_SOAK it is skipped, and says so.
func TestSoakCluster(t *testing.T) {
	if os.Getenv("NEURONX_TEST_SOAK") == "" {
		t.Skip("NEURONX_TEST_SOAK is not set: it is for how many minutes to run, on three brokers")
	}
	minutes, err := strconv.ParseFloat(os.Getenv("NEURONX_TEST_SOAK"), 64)
	noError(t, err)
	s := &soaked{t: t, rate: soakRate, report: soakReport{Seed: seedOf(t), Commit: commit(t), Minutes: minutes, Started: time.Now().UTC()}}
	if v := os.Getenv("NEURONX_TEST_SOAK_RATE"); v != "" {
		s.rate, err = strconv.ParseUint(v, 10, 64)
		noError(t, err)
	}
	s.run(time.Duration(minutes * float64(time.Minute)))
}

// soakReport is what is written next to the histories.
type soakReport struct {
	Seed       uint64                  `json:"seed"`
	Commit     string                  `json:"commit"`
	Started    time.Time               `json:"started"`
	Minutes    float64                 `json:"minutes"`
	Clients    map[string]clientReport `json:"clients"`
	Rate       float64                 `json:"acknowledged_per_second"`
	Faults     []soak.Struck           `json:"faults"`
	Kinds      map[string]soak.Summary `json:"recovery_by_fault"`
	Landed     int                     `json:"landed"`
	Checked    int                     `json:"events_checked"`
	Ledger     checker.Ledger          `json:"ledger"`
	Violations []string                `json:"violations"`
}

type clientReport struct {
	OK       int64   `json:"ok"`
	Fail     int64   `json:"fail"`
	Unknown  int64   `json:"unknown"`
	Retries  int64   `json:"retries"`
	SlowestS float64 `json:"slowest_s"`
}

// soaked is one cluster under load and faults.
type soaked struct {
	t       *testing.T
	rate    uint64
	dir     string
	c       *cluster.Cluster
	tenants []load.Tenant
	brokers *soak.Brokers
	watch   *soak.Watch
	encode  func(map[string]string) ([]byte, error)
	admin   *admin.Client
	report  soakReport
	stats   map[string]*load.Stats
}

func (s *soaked) run(lasts time.Duration) {
	t, ctx := s.t, context.Background()
	seeds, err := cluster.Brokers()
	noError(t, err)
	s.brokers, err = soak.OpenBrokers(seeds)
	noError(t, err)
	defer s.brokers.Close()
	s.dir = keptIn(t, s.report)
	python, java := pythonProgram(t, ctx), javaProgram(t, ctx)
	var planted cluster.Seed
	if bug := os.Getenv("NEURONX_TEST_SOAK_SEED"); bug != "" {
		planted = cluster.Seed{Bug: bug, Program: "neuronx-ingest"}
	}
	s.c = cluster.Start(t, cluster.Options{Seed: planted})
	defer s.keepLogs()
	s.open(ctx)
	defer s.admin.Close()
	defer s.watch.Close()

	reading, stop := context.WithCancel(ctx)
	defer stop()
	var background, clients sync.WaitGroup
	background.Go(func() { s.watch.Read(reading) })
	loading, end := context.WithTimeout(ctx, lasts)
	defer end()
	began := time.Now()
	probing, enough := context.WithCancel(ctx) // goes on until the last fault has healed: its recovery is told by probes
	defer enough()
	background.Go(func() { noErrorLater(t, s.watch.Probe(probing)) })
	for name, run := range s.clients(python, java) {
		stats := &load.Stats{}
		s.stats[name] = stats
		h, err := checker.CreateHistory(filepath.Join(s.dir, "history-"+name+".jsonl"))
		noError(t, err)
		clients.Go(func() {
			defer h.Close()
			noErrorLater(t, run(loading, h, stats))
		})
	}
	nemesis := soak.Nemesis{Faults: s.faults(), Every: faultEvery, Seed: s.report.Seed, Watch: s.watch, Limit: recoverLimit, Struck: s.during,
		Log: func(format string, args ...any) {
			t.Logf("%4.0f s: "+format, append([]any{time.Since(began).Seconds()}, args...)...)
		}}
	s.report.Faults = nemesis.Run(loading)
	enough()
	clients.Wait()
	t.Logf("load and faults ended after %s", time.Since(began).Truncate(time.Second))
	s.judge(ctx, lasts)
	stop()
	background.Wait()
}

// open makes the tenants and what looks at the cluster.
func (s *soaked) open(ctx context.Context) {
	t := s.t
	noError(t, s.c.Joined(ctx, kafka.GroupSequencer, len(s.c.HTTPURLs)))
	s.tenants = s.c.Tenants(t, "t", soakTenants, soakConnected)
	s.stats = map[string]*load.Stats{}
	id, schema, err := s.c.Registry.ByType(ctx, "lead.created")
	noError(t, err)
	s.encode = func(data map[string]string) ([]byte, error) {
		values := map[string]any{}
		for k, v := range data {
			values[k] = v
		}
		body, err := schema.EncodeMap(values)
		return event.Frame(id, body), err
	}
	s.admin, err = admin.New(s.c.Kafka)
	noError(t, err)
	noError(t, s.makeLandings(ctx))
	h, err := checker.CreateHistory(filepath.Join(s.dir, "history-probe.jsonl"))
	noError(t, err)
	t.Cleanup(func() { _ = h.Close() })
	var names []string
	for _, x := range s.tenants {
		names = append(names, x.ID)
	}
	s.watch, err = soak.NewWatch(soak.WatchConfig{Brokers: s.c.Kafka.Brokers, Tenants: names, History: h, Encode: s.encode, Seed: s.report.Seed})
	noError(t, err)
}

// clients are the load: what each of them runs.
func (s *soaked) clients(python, java []string) map[string]func(context.Context, *checker.History, *load.Stats) error {
	rate := func(name string) int { return int(float64(s.rate) * soakSpare * soakShares[name]) }
	env := []string{"NEURONX_KAFKA_BROKERS=" + strings.Join(s.c.Kafka.Brokers, ","), "NEURONX_SCHEMA_REGISTRY_URL=" + s.c.RegistryURL}
	program := func(name string, command []string) func(context.Context, *checker.History, *load.Stats) error {
		return func(ctx context.Context, h *checker.History, stats *load.Stats) error {
			return load.Program{Command: command, Env: env, Log: filepath.Join(s.dir, name+".log")}.Run(ctx,
				load.Feed{Name: name, Tenants: s.tenants, Rate: rate(name), History: h, Seed: s.report.Seed, Stats: stats})
		}
	}
	return map[string]func(context.Context, *checker.History, *load.Stats) error{
		"python": program("python", python),
		"java":   program("java", java),
		"http": func(ctx context.Context, h *checker.History, stats *load.Stats) error {
			return load.Run(ctx, load.Plan{URLs: s.c.HTTPURLs, Tenants: s.tenants, Rate: rate("http"), Batch: 20, Clients: 24, History: h, Seed: s.report.Seed}, stats)
		},
		"landing": func(ctx context.Context, h *checker.History, stats *load.Stats) error {
			return s.landing(ctx, load.Feed{Name: "landing", Rate: rate("landing"), History: h, Seed: s.report.Seed, Stats: stats})
		},
	}
}

// during is asked after every fault has struck, while what it took away is away: what is committed is durable, what is in the log is whole.
func (s *soaked) during(ctx context.Context) error {
	sequencer, err := s.committed(ctx, kafka.GroupSequencer, kafka.TopicIngress)
	if err != nil {
		return err
	}
	if err := s.watch.Judged(ctx, sequencer, judgeLimit); err != nil {
		return err
	}
	for _, group := range groups {
		offsets, err := s.committed(ctx, group, kafka.TopicEvents)
		if err != nil {
			return err
		}
		progress, err := s.c.Progress(ctx)
		if err != nil {
			return err
		}
		if err := s.watch.Ask(func(w *checker.Witness) { w.Covered(group, offsets, progress) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *soaked) committed(ctx context.Context, group, topic string) (map[int32]int64, error) {
	out := map[int32]int64{}
	err := cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { // a coordinator may be away
		all, err := s.admin.Committed(ctx, group)
		for tp, o := range all {
			if tp.Topic == topic && o.Present {
				out[tp.Partition] = o.Offset
			}
		}
		return err
	})
	return out, err
}

// keptIn makes the folder that the run is kept in, below that of NEURONX_TEST_SOAK_DIR or the repository's .soak.
func keptIn(t *testing.T, r soakReport) string {
	t.Helper()
	above := os.Getenv("NEURONX_TEST_SOAK_DIR")
	if above == "" {
		above = filepath.Join("..", ".soak")
	}
	dir, err := filepath.Abs(filepath.Join(above, fmt.Sprintf("%s-seed-%d-%s", r.Started.Format("20060102T150405Z"), r.Seed, r.Commit)))
	noError(t, err)
	noError(t, os.MkdirAll(dir, 0o755))
	return dir
}

// commit is what is checked out, with a mark if something differs from it.
func commit(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Logf("git describe: %s", failed.Stderr)
		}
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// noErrorLater is noError for goroutines, and for what must not end the test.
func noErrorLater(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
