//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/importer"
)

// The marketing funnel of Olist. Its licence keeps it out of the repository: NEURONX_TEST_OLIST_DIR is the folder of the published files,
// and without it files of the same layout and size are made.
const (
	olistLeads  = 8000
	olistDeals  = 842
	olistEvents = olistLeads + 2*olistDeals // a deal is lead.assigned and opportunity.won
	leadsFile   = "olist_marketing_qualified_leads_dataset.csv"
	dealsFile   = "olist_closed_deals_dataset.csv"
	olistSpec   = "../examples/import/olist.yaml"
	demoRules   = "../services/neuronx/demo/rules"
)

func TestImport_TwiceIsOnceOnRealKafka(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	c := cluster.Start(t, cluster.Options{Broker: broker})
	// The broker stamps what it appends, and its clock is the machine's. So the window is shortened until what was imported has
	// left it, which to the sequencer is the same as a day gone by.
	proveImport(t, c, func(ctx context.Context) {
		for i := range c.HTTPURLs {
			p := c.Processes[fmt.Sprintf("ingest-%d", i)]
			noError(t, p.Term())
			p.With("--key-window", "1s")
			noError(t, p.Start())
			noError(t, p.Ready(ctx))
		}
		rest(ctx, 2*time.Second)
	})
}

func TestImport_TwiceIsOnceOnKfake(t *testing.T) {
	cluster.Turn(t, cluster.Any)
	var ahead atomic.Int64
	c := cluster.Dev(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	proveImport(t, c, func(context.Context) { ahead.Store(int64(25 * time.Hour)) })
}

// proveImport imports the data into a tenant whose rules would message every lead, and imports it again: at once, without asking the
// archive, so that the key window alone must drop it all; and once more when age has moved the first import out of the window.
func proveImport(t *testing.T, c *cluster.Cluster, age func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir := olistDir(t)
	key := olistTenant(t, ctx, c)
	probe := c.Tenants(t, "probe", 1, 0)[0]

	began := time.Now()
	expect(t, "the first import", runImport(t, ctx, c, dir, key), importedOnce(admittedAll()))
	took := time.Since(began)
	noError(t, c.WaitIdle(ctx, time.Minute))
	t.Logf("%d events imported in %s, in every table after %s", olistEvents, took.Truncate(time.Millisecond), time.Since(began).Truncate(time.Millisecond))
	compareWithFiles(t, ctx, c, dir)
	checkStream(t, ctx, c)
	d, err := c.Dump(ctx)
	noError(t, err)
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
	first := digests(t, ctx, c)
	same := func(when string) {
		t.Helper()
		noError(t, c.WaitIdle(ctx, time.Minute))
		if now := digests(t, ctx, c); !maps.Equal(now, first) {
			t.Errorf("%s changed something: %v, it was %v", when, now, first)
		}
		if n, err := c.Requests(ctx); err != nil || n != 0 {
			t.Errorf("after %s the CRM has seen %d requests (%v), an import triggers none", when, n, err)
		}
		t.Logf("%s is compared %s after the beginning", when, time.Since(began).Truncate(time.Millisecond))
	}
	same("the first import")

	known := importedOnce(duplicateAll())
	expect(t, "the second import", runImport(t, ctx, c, dir, key), known)
	same("the second import")

	post(t, ctx, c, probe, "probe")
	before := judged(t, ctx, c)
	expect(t, "the import past the archive", runImport(t, ctx, c, dir, key, "--without-archive"), known)
	post(t, ctx, c, probe, "probe")
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		now, err := c.Judged(ctx)
		if n := now["duplicate"] - before["duplicate"]; err == nil && n != olistEvents+1 {
			err = fmt.Errorf("%d of %d repeats are dropped: %v after %v", n, olistEvents+1, now, before)
		}
		return err
	}))
	same("the import past the archive")

	age(ctx)
	post(t, ctx, c, probe, "probe")
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { return admittedTwice(ctx, c, probe.ID) }))
	expect(t, "the import after the window", runImport(t, ctx, c, dir, key), known)
	same("the import after the window")

	// The rules are there and work: what happens now does reach the CRM.
	post(t, ctx, c, load.Tenant{ID: "olist", Key: key}, "live")
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		n, err := c.Requests(ctx)
		if err == nil && n == 0 {
			err = fmt.Errorf("a live lead has not reached the CRM")
		}
		return err
	}))
}

// olistDir is the folder of the data.
func olistDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("NEURONX_TEST_OLIST_DIR")
	if dir == "" {
		t.Logf("NEURONX_TEST_OLIST_DIR is not set: %s and %s are made, not Olist's", leadsFile, dealsFile)
		dir = writeFunnel(t)
	}
	return dir
}

// olistTenant makes the tenant as an operator does, with a CRM that is written to and the demo's rules, and returns its key.
func olistTenant(t *testing.T, ctx context.Context, c *cluster.Cluster, moreRules ...string) string {
	t.Helper()
	noError(t, os.WriteFile(filepath.Join(c.Secrets, "olist-crm@1"), []byte("standin-olist"), 0o600))
	rules := t.TempDir()
	noError(t, os.CopyFS(rules, os.DirFS(demoRules)))
	for i, text := range moreRules {
		noError(t, os.WriteFile(filepath.Join(rules, fmt.Sprintf("more-%d.yaml", i)), []byte(text), 0o600))
	}
	cli := func(args ...string) string {
		out, errs, code := c.CLI(ctx, args...)
		if code != 0 {
			t.Fatalf("neuronx %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
		return strings.TrimSpace(out)
	}
	cli("tenant", "create", "olist", "--execute")
	cli("crm", "connect", "olist", "--location", "olist", "--token", "secret://olist-crm@1", "--mode", "send", "--execute")
	cli("rules", "publish", rules, "--tenant", "olist", "--execute")
	return cli("key", "issue", "--tenant", "olist", "-q", "--execute")
}

// runImport runs `neuronx import` over all of the data and returns the counts of both files together.
func runImport(t *testing.T, ctx context.Context, c *cluster.Cluster, dir, key string, flags ...string) importer.Counts {
	t.Helper()
	spec, err := filepath.Abs(olistSpec)
	noError(t, err)
	resume := t.TempDir() // a new one each time: no import goes on where another ended
	cmd := c.Command(ctx, append([]string{"import", spec, "--dir", dir, "--resume-dir", resume, "--tenant", "olist", "-o", "json"}, flags...)...)
	cmd.Env = append(cmd.Env, "NEURONX_API_KEY="+key)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("neuronx import: %v\n%s%s", err, out, errs.String())
	}
	var results []importer.Result
	noError(t, json.Unmarshal(out, &results))
	var sum importer.Counts
	for _, r := range results {
		if n := r.Admitted + r.Duplicate + r.Conflict + r.Refused + r.LeftOut + r.Unjudged; n != r.Rows {
			t.Errorf("%s: %d rows are told of %d", r.File, n, r.Rows)
		}
		sum.Rows += r.Rows
		sum.LeftOut += r.LeftOut
		sum.Tally = plus(sum.Tally, r.Tally)
		sum.Events = plus(sum.Events, r.Events)
		sum.Updates += r.Updates
	}
	return sum
}

func plus(a, b importer.Tally) importer.Tally {
	return importer.Tally{Admitted: a.Admitted + b.Admitted, Duplicate: a.Duplicate + b.Duplicate, Conflict: a.Conflict + b.Conflict,
		Refused: a.Refused + b.Refused, Unjudged: a.Unjudged + b.Unjudged}
}

// importedOnce are the counts of an import in which every row, and every event, has one outcome.
func importedOnce(rows, events importer.Tally) importer.Counts {
	return importer.Counts{Rows: olistLeads + olistDeals, Tally: rows, Events: events}
}

func admittedAll() (rows, events importer.Tally) {
	return importer.Tally{Admitted: olistLeads + olistDeals}, importer.Tally{Admitted: olistEvents}
}

func duplicateAll() (rows, events importer.Tally) {
	return importer.Tally{Duplicate: olistLeads + olistDeals}, importer.Tally{Duplicate: olistEvents}
}

func expect(t *testing.T, what string, got, want importer.Counts) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %+v, want %+v", what, got, want)
	}
}

// compareWithFiles holds the read models against the files, read here without the importer.
func compareWithFiles(t *testing.T, ctx context.Context, c *cluster.Cluster, dir string) {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	noError(t, err)
	when := func(layout, s string) string {
		at, err := time.ParseInLocation(layout, s, zone)
		noError(t, err)
		if layout == time.DateOnly && at.Day() != at.Add(time.Hour).Day() {
			at = at.Add(time.Hour) // clocks were put forward at midnight: the day began at one
		}
		return at.UTC().Format("2006-01-02 15:04:05")
	}
	owner := map[string]string{}
	var leads, deals []string
	for _, r := range readCSV(t, filepath.Join(dir, dealsFile)) {
		owner[r["mql_id"]] = r["sr_id"]
		deals = append(deals, strings.Join([]string{r["mql_id"], r["mql_id"], "won", r["declared_monthly_revenue"], "BRL", r["business_segment"], r["sr_id"],
			when("2006-01-02 15:04:05", r["won_date"])}, "|"))
	}
	for _, r := range readCSV(t, filepath.Join(dir, leadsFile)) {
		leads = append(leads, strings.Join([]string{r["mql_id"], "new", owner[r["mql_id"]], r["origin"], r["landing_page_id"], when(time.DateOnly, r["first_contact_date"])}, "|"))
	}
	if len(leads) != olistLeads || len(deals) != olistDeals {
		t.Fatalf("the files hold %d leads and %d deals, not %d and %d", len(leads), len(deals), olistLeads, olistDeals)
	}
	compare(t, "read.leads", leads, lines(t, ctx, c, `SELECT concat_ws('|', lead_id, status, coalesce(owner_id, ''), coalesce(channel, ''), source,
		to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) FROM read.leads WHERE tenant_id = $1`, "olist"))
	compare(t, "read.opportunities", deals, lines(t, ctx, c, `SELECT concat_ws('|', opportunity_id, lead_id, status, to_char(value, 'FM999999999990.0'), currency,
		coalesce(segment, ''), owner_id, to_char(closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')) FROM read.opportunities WHERE tenant_id = $1`, "olist"))
}

func readCSV(t *testing.T, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	noError(t, err)
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	noError(t, err)
	var out []map[string]string
	for _, r := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = r[i]
		}
		out = append(out, row)
	}
	return out
}

// compare tells the first lines that only one of two sets has.
func compare(t *testing.T, what string, want, have []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(have)
	if slices.Equal(want, have) {
		return
	}
	t.Errorf("%s: %d rows, want %d", what, len(have), len(want))
	for i := range min(len(want), len(have)) {
		if want[i] != have[i] {
			t.Fatalf("%s: have %s\nwant %s", what, have[i], want[i])
		}
	}
}

// lines returns the one text column of a query about a tenant.
func lines(t *testing.T, ctx context.Context, c *cluster.Cluster, query, tenant string) []string {
	t.Helper()
	rows, err := c.Admin.Query(ctx, query, tenant)
	noError(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		noError(t, rows.Scan(&s))
		out = append(out, s)
	}
	noError(t, rows.Err())
	return out
}

// checkStream checks that the tenant's stream is 1..n and that nothing was derived from what was imported.
func checkStream(t *testing.T, ctx context.Context, c *cluster.Cluster) {
	t.Helper()
	log, err := c.Log(ctx)
	noError(t, err)
	types := map[string]int{}
	next := int64(1)
	for i := range log {
		r := &log[i]
		if r.TenantID != "olist" {
			continue
		}
		if r.Sequence != next {
			t.Fatalf("sequence %d where %d is due", r.Sequence, next)
		}
		next++
		types[r.Type]++
		if r.Derived() || !event.Reserved(r.Type) && r.Origin != event.OriginImport {
			t.Fatalf("sequence %d is %s of origin %q by %q", r.Sequence, r.Type, r.Origin, r.Deriver)
		}
	}
	want := map[string]int{"tenant.created": 1, "tenant.crm_connected": 1, "rules.published": 1, "tenant.key_issued": 1,
		"lead.created": olistLeads, "lead.assigned": olistDeals, "opportunity.won": olistDeals}
	if !maps.Equal(types, want) {
		t.Fatalf("the stream has %v, want %v", types, want)
	}
}

// digests are the hashes of all that is kept for the tenant.
func digests(t *testing.T, ctx context.Context, c *cluster.Cluster) map[string]string {
	t.Helper()
	log, err := c.Log(ctx)
	noError(t, err)
	h := sha256.New()
	for i := range log {
		if log[i].TenantID == "olist" {
			fmt.Fprintf(h, "%+v\n", log[i])
		}
	}
	out := map[string]string{"log": fmt.Sprintf("%.12x", h.Sum(nil))}
	for _, table := range []string{"neuronx.tenant_events", "neuronx.dead_letters", "neuronx.effects", "read.leads", "read.opportunities", "read.activities", "read.funnel_daily"} {
		out[table] = digest(lines(t, ctx, c, `SELECT r::text FROM `+table+` r WHERE tenant_id = $1`, "olist"))
	}
	return out
}

func digest(lines []string) string {
	slices.Sort(lines)
	return fmt.Sprintf("%d:%.12x", len(lines), sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

func judged(t *testing.T, ctx context.Context, c *cluster.Cluster) map[string]int64 {
	t.Helper()
	n, err := c.Judged(ctx)
	noError(t, err)
	return n
}

// post sends a live lead of this id, the same bytes each time, and waits for the answer.
func post(t *testing.T, ctx context.Context, c *cluster.Cluster, tenant load.Tenant, id string) {
	t.Helper()
	sendEvents(t, ctx, c, tenant.Key, []importer.Event{{SpecVersion: "1.0", ID: id, Source: "/e2e", Type: "lead.created", Subject: "lead/" + id,
		Time: "2026-01-01T00:00:00Z", Data: map[string]any{"lead_id": id, "email": id + "@example.com"}}})
}

func sendEvents(t *testing.T, ctx context.Context, c *cluster.Cluster, key string, events []importer.Event) {
	t.Helper()
	sender := importer.HTTPSender{URL: c.HTTPURLs[0], Key: key, Client: &http.Client{Timeout: 30 * time.Second}, Note: t.Logf}
	for batch := range slices.Chunk(events, 500) {
		outcomes, err := sender.Send(ctx, batch)
		noError(t, err)
		for i, o := range outcomes {
			if o.Status == event.OutcomeRefused {
				t.Fatalf("event %s is refused: %s %s", batch[i].ID, o.Code, o.Detail)
			}
		}
	}
}

// admittedTwice is nil once the log holds the tenant's event "probe" twice, which shows that the window of the first one is over.
func admittedTwice(ctx context.Context, c *cluster.Cluster, tenant string) error {
	log, err := c.Log(ctx)
	n := 0
	for i := range log {
		if log[i].TenantID == tenant && log[i].ID == "probe" {
			n++
		}
	}
	if err == nil && n != 2 {
		err = fmt.Errorf("the log has the probe %d times", n)
	}
	return err
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
