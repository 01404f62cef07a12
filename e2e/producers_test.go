//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
)

// TestProducers_EveryExamplePublishesOnceThoughItSendsTwice runs the programs of docs/producers.md. Those for Kafka are killed when
// they have reported something as acknowledged, which their successor does not know; the one for HTTP meets a proxy that breaks a
// connection after the event went through, and then is busy twice.
func TestProducers_EveryExamplePublishesOnceThoughItSendsTwice(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	examples := []struct {
		name    string
		program func(*testing.T, context.Context) []string
	}{
		{"curl", scriptProgram("curl")}, {"kcat", scriptProgram("kcat", "kcat")}, {"go", goProgram}, {"python", pythonProgram},
		{"java", javaProgram}, {"node", nodeProgram},
	}
	commands := map[string][]string{}
	began := time.Now()
	for _, x := range examples {
		commands[x.name] = x.program(t, ctx)
	}
	t.Logf("the programs were there after %s", time.Since(began).Truncate(time.Millisecond))
	c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})
	tenants := strayTenants(t, c.Tenants(t, "producer", 24, 0), len(examples))

	text, err := os.ReadFile(filepath.Join(producers, "leads.jsonl"))
	noError(t, err)
	ids, want := leadsOfExample(t, text)
	for i, x := range examples {
		before := judged(t, ctx, c)
		began := time.Now()
		input := strings.ReplaceAll(string(text), `"tenantid":"demo"`, fmt.Sprintf(`"tenantid":%q`, tenants[i].ID))
		env := []string{"NEURONX_KAFKA_BROKERS=" + strings.Join(c.Kafka.Brokers, ","), "NEURONX_SCHEMA_REGISTRY_URL=" + c.RegistryURL,
			"NEURONX_API_KEY=" + tenants[i].Key}
		repeats := int64(1)
		if x.name == "curl" {
			proxy := &moodyProxy{}
			env = append(env, "NEURONX_HTTP_URL="+proxy.before(t, c.HTTPURLs[0]))
			defer func() {
				if proxy.moods == 0 {
					t.Error("the proxy never failed a request")
				}
			}()
		} else {
			repeats = killedAfterAnAnswer(t, ctx, commands[x.name], input, env)
		}
		if ok := publishAll(t, ctx, commands[x.name], input, env...); !slices.Equal(ok, ids) {
			t.Errorf("%s: %v are acknowledged of %v", x.name, ok, ids)
		}
		awaitLeads(t, ctx, c, tenants[i].ID, len(ids))
		have := lines(t, ctx, c, businessColumns, tenants[i].ID)
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s: read.leads holds\n%s\nnot\n%s", x.name, strings.Join(have, "\n"), strings.Join(want, "\n"))
		}
		noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { // the repeats come last
			now, err := c.Judged(ctx)
			if err == nil && now["duplicate"]-before["duplicate"] < repeats {
				err = fmt.Errorf("%s: %d repeats are dropped of at least %d", x.name, now["duplicate"]-before["duplicate"], repeats)
			}
			return err
		}))
		after := judged(t, ctx, c)
		t.Logf("%s: %d admitted, %d repeats, in read.leads after %s", x.name, after["admitted"]-before["admitted"],
			after["duplicate"]-before["duplicate"], time.Since(began).Truncate(time.Millisecond))
		for outcome, n := range map[string]int64{"admitted": int64(len(ids)), "forwarded": 0, "refused": 0} {
			if d := after[outcome] - before[outcome]; d != n {
				t.Errorf("%s: %d records are %s, not %d", x.name, d, outcome, n)
			}
		}
	}
	noError(t, c.WaitIdle(ctx, time.Minute))
	d, err := c.Dump(ctx)
	noError(t, err)
	if len(d.DeadLetters) > 0 {
		t.Errorf("there are dead letters: %+v", d.DeadLetters)
	}
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}

// strayTenants picks tenants that librdkafka's default partitioner would put elsewhere than the engine does.
func strayTenants(t *testing.T, all []load.Tenant, n int) []load.Tenant {
	t.Helper()
	var out []load.Tenant
	for _, x := range all {
		if crcPartition(x.ID) != kafka.PartitionFor([]byte(x.ID), cluster.Partitions) && len(out) < n {
			out = append(out, x)
		}
	}
	if len(out) < n {
		t.Fatalf("only %d tenants stray", len(out))
	}
	return out
}

// leadsOfExample returns the ids of the events, and the rows of read.leads that they make.
func leadsOfExample(t *testing.T, text []byte) (ids, rows []string) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		var e struct {
			ID   string
			Time time.Time
			Data map[string]string
		}
		noError(t, json.Unmarshal([]byte(line), &e))
		ids = append(ids, e.ID)
		at := e.Time.UTC().Format("2006-01-02 15:04:05.999999") + "+00"
		rows = append(rows, strings.Join([]string{e.Data["lead_id"], "new", "", "", e.Data["channel"], "", e.Data["email"], e.Data["phone"], at, at}, "|"))
	}
	slices.Sort(ids)
	slices.Sort(rows)
	return ids, rows
}

// killedAfterAnAnswer gives a program all but the last event, kills it when it has an answer, and returns how many it had.
func killedAfterAnAnswer(t *testing.T, ctx context.Context, args []string, input string, env []string) (answers int64) {
	t.Helper()
	p, err := startProgram(ctx, args, env...)
	noError(t, err)
	all := strings.SplitAfter(strings.TrimSpace(input), "\n")
	_, err = io.WriteString(p.in, strings.Join(all[:len(all)-1], ""))
	noError(t, err)
	_, outcome, err := p.next()
	if err != nil || outcome != "ok" {
		_ = p.kill()
		_ = p.cmd.Wait()
		t.Fatalf("%s: %s %v\n%s", strings.Join(args, " "), outcome, err, p.errs.String())
	}
	noError(t, p.kill())
	_ = p.cmd.Wait() // it was killed, which is an error
	return 1
}

// moodyProxy stands before the HTTP endpoint. An event goes through and its answer is lost; the next two tries meet 503 and 429.
type moodyProxy struct {
	mu    sync.Mutex
	moods int
}

func (m *moodyProxy) before(t *testing.T, base string) string {
	t.Helper()
	to, err := url.Parse(base)
	noError(t, err)
	through := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		mood := m.moods
		m.moods++
		m.mu.Unlock()
		switch mood {
		case 0:
			through.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // closes the connection
		case 1, 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[mood-1])
		default:
			through.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}
