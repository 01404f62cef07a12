//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/importer"
)

// businessColumns are those of read.leads that say something of the lead; tenant and sequence differ between tenants.
const businessColumns = `SELECT concat_ws('|', lead_id, coalesce(status, ''), coalesce(score::text, ''), coalesce(owner_id, ''), coalesce(channel, ''),
	coalesce(source, ''), coalesce(email, ''), coalesce(phone, ''), created_at, updated_at) FROM read.leads WHERE tenant_id = $1`

func TestPython_LeadsAreTheSameAsOverHTTP(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	python := pythonProgram(t, ctx)[0]
	leads := leadsOf(t, olistDir(t))
	input := jsonLines(t, leads)
	c := cluster.Start(t, cluster.Options{Broker: broker})
	tenants := c.Tenants(t, "py", 12, 0)
	strays := slices.IndexFunc(tenants[1:], func(t load.Tenant) bool {
		return crcPartition(t.ID) != kafka.PartitionFor([]byte(t.ID), cluster.Partitions)
	}) + 1
	if strays == 0 {
		t.Fatal("librdkafka's default puts every tenant where the engine does")
	}
	overHTTP, murmur2, stray := tenants[0], slices.Delete(slices.Clone(tenants[1:]), strays-1, strays)[0], tenants[strays]

	sendEvents(t, ctx, c, overHTTP.Key, leads)
	awaitLeads(t, ctx, c, overHTTP.ID, len(leads))
	want := digest(lines(t, ctx, c, businessColumns, overHTTP.ID))
	for _, x := range []struct {
		partitioner string
		tenant      string
		forwarded   int64
	}{{"murmur2_random", murmur2.ID, 0}, {"default", stray.ID, int64(len(leads))}} {
		before := judged(t, ctx, c)
		began := time.Now()
		produce(t, ctx, c, python, x.tenant, x.partitioner, input, len(leads))
		took := time.Since(began)
		awaitLeads(t, ctx, c, x.tenant, len(leads))
		if have := digest(lines(t, ctx, c, businessColumns, x.tenant)); have != want {
			t.Errorf("%s: the leads of %s hash to %s, those of HTTP to %s", x.partitioner, x.tenant, have, want)
		}
		after := judged(t, ctx, c)
		forwarded := after["forwarded"] - before["forwarded"]
		t.Logf("%s: %d leads of tenant %s produced in %s, %d forwarded; in read.leads after %s", x.partitioner, len(leads), x.tenant,
			took.Truncate(time.Millisecond), forwarded, time.Since(began).Truncate(time.Millisecond))
		if forwarded != x.forwarded {
			t.Errorf("%s: %d records are forwarded, not %d", x.partitioner, forwarded, x.forwarded)
		}
		if refused := after["refused"] - before["refused"]; refused != 0 {
			t.Errorf("%s: %d records are refused", x.partitioner, refused)
		}
	}
	noError(t, c.WaitIdle(ctx, time.Minute))
	d, err := c.Dump(ctx)
	noError(t, err)
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}

// crcPartition is where librdkafka's default partitioner, consistent_random, puts a key.
func crcPartition(key string) int32 {
	return int32(crc32.ChecksumIEEE([]byte(key)) % cluster.Partitions)
}

// leadsOf maps the leads of the data as `neuronx import` does. Their ids are those of one tenant; to others they are just ids.
func leadsOf(t *testing.T, dir string) []importer.Event {
	t.Helper()
	text, err := os.ReadFile(olistSpec)
	noError(t, err)
	spec, err := importer.Parse(text)
	noError(t, err)
	var out []importer.Event
	for i, values := range readCSV(t, filepath.Join(dir, leadsFile)) {
		row := importer.Row{Number: int64(i + 1), Line: i + 2, Values: map[string]any{}}
		for k, v := range values {
			row.Values[k] = v
		}
		events, err := spec.Map("py", spec.Inputs[0], row)
		noError(t, err)
		out = append(out, events...)
	}
	if len(out) != olistLeads {
		t.Fatalf("%d leads", len(out))
	}
	return out
}

func jsonLines(t *testing.T, events []importer.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, e := range events {
		noError(t, json.NewEncoder(&b).Encode(e))
	}
	return b.Bytes()
}

// produce runs the Python producer over the leads.
func produce(t *testing.T, ctx context.Context, c *cluster.Cluster, python, tenant, partitioner string, input []byte, n int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, python, "python/produce.py", strings.Join(c.Kafka.Brokers, ","), c.RegistryURL, tenant, partitioner)
	cmd.Stdin = bytes.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(n) {
		t.Fatalf("produce.py: %v: %s acknowledged of %d\n%s", err, bytes.TrimSpace(out), n, errs.String())
	}
}

func awaitLeads(t *testing.T, ctx context.Context, c *cluster.Cluster, tenant string, n int) {
	t.Helper()
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		var have int
		err := c.Admin.QueryRow(ctx, `SELECT count(*) FROM read.leads WHERE tenant_id = $1`, tenant).Scan(&have)
		if err == nil && have != n {
			err = fmt.Errorf("read.leads has %d of %d leads of %s", have, n, tenant)
		}
		return err
	}))
}
