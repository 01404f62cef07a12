package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules/backtest"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func leadRule(name, on, when, emit string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: " + name + "}\nspec:\n  on: [" + on + "]\n  when: " + when + "\n  emit: [" + emit + "]\n"}
}

func noteRules(least int) []ruleset.File {
	return []ruleset.File{
		leadRule("score", "lead.created", "data.channel != null", `{type: lead.scored, data: {lead_id: data.lead_id, score: 'data.channel == "ads" ? 40 : 60'}}`),
		leadRule("tell", "lead.scored", fmt.Sprintf("data.score >= %d", least), `{type: crm.note.add.requested, data: {lead_id: data.lead_id, body: '"score " + string(data.score)'}}`),
	}
}

// backtestBench has a tenant with rules in force, and thirty leads in its archive, an hour apart, of which ten came by ads. Its environment
// names no Kafka.
func backtestBench(t *testing.T) (env map[string]string, db *postgrestest.DB) {
	t.Helper()
	db = postgrestest.New(t, provision.Migrations()...)
	url, reg := registrytest.Start(t, kafkatest.Start(t))
	root := db.Pool(t, "")
	run := func(sql string, args ...any) {
		t.Helper()
		if _, err := root.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
	for _, tenant := range []string{"acme", "empty", "new"} {
		run(`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ($1, 'control', 1)`, tenant)
		run(`INSERT INTO projection.tenants (tenant_id, generation, id, status, sequence) VALUES ($1, 1, $1, 'active', 1)`, tenant)
		run(`SELECT neuronx.ensure_tenant($1)`, tenant)
	}
	files, err := json.Marshal(noteRules(50))
	if err != nil {
		t.Fatal(err)
	}
	run(`INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_by, published_at) VALUES ('acme', 1, 'published', 3, $1, $2, $3, 'ann', now())`,
		ruleset.Hash(noteRules(50)), ruleset.SemanticsOf(noteRules(50)), string(files))
	begin := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	add := func(tenant string, sequence int64, at time.Time, id, typ string, data map[string]any) {
		t.Helper()
		n, s, err := reg.ByType(context.Background(), typ)
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.EncodeMap(data)
		if err != nil {
			t.Fatal(err)
		}
		prefix, rest := s.Subject(typ, body)
		e := event.Recorded{Event: event.Event{TenantID: tenant, ID: id, Source: "/test", Type: typ, Subject: prefix + string(rest), Time: at, ContentType: event.ContentTypeAvro, Value: event.Frame(n, body)},
			Sequence: sequence, Position: event.PositionAt(at.UnixMilli()), RecordedTime: at, LogID: "l"}
		stored, err := archive.Stored(e, s.Fingerprint())
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(stored)
		run(`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload)
			VALUES ($1, $2, $3, $4, $5, $6, '/test', $7, '', '', $8, 'l', 0, $2, $9, $10)`, tenant, sequence, e.Position, id, typ, e.Subject, at, n, hash[:], stored)
	}
	add("acme", 1, begin.Add(-time.Hour), "published", "rules.published", ruleset.PublishedData(noteRules(50), 3, "ann"))
	for i := range int64(30) {
		add("acme", i+2, begin.Add(time.Duration(i)*time.Hour), fmt.Sprintf("created-%d", i), "lead.created", map[string]any{"lead_id": fmt.Sprint(i), "channel": []string{"ads", "referral", "web"}[i%3]})
	}
	add("new", 1, begin, "created-0", "lead.created", map[string]any{"lead_id": "0", "channel": "ads"})
	return map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), operate.EnvRegistry: url, "COLUMNS": "160"}, db
}

// written puts rules into a folder, in which a command runs.
func written(t *testing.T, name string, files []ruleset.File) {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(name, f.Name), []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// backtests are command lines whose output testdata/backtest.txt has.
var backtests = []string{
	"new --tenant acme --from 2026-03-02T14:00:00Z", "new --tenant acme --from 2026-03-02T14:00:00Z -o json", "same --tenant acme --from 2026-03-02T14:00:00Z --to 2026-03-02T20:00:00Z",
	"new --tenant acme --from 2026-03-02T20:00:00Z --to 2026-03-03T01:00:00Z --against v3 --warm PT2H --outcomes fail=50%", "new --tenant new --from 2026-03-02T14:00:00Z --outcomes recorded",
	"new --tenant acme --from 2026-03-02T14:00:00Z --against v7", "new --tenant acme --from 2026-03-02T14:00:00Z --against seven", "new --tenant acme --from yesterday", "new --tenant acme --from -30x", "new --tenant acme",
	"new --tenant acme --from 2026-03-02T14:00:00Z --to 2026-03-02T14:00:00Z", "new --tenant acme --from 2026-03-02T14:00:00Z --to 2026-03-05T00:00:00Z", "new --tenant acme --from 2026-03-02T14:10:00Z --to 2026-03-02T14:50:00Z",
	"new --tenant acme --from 2026-03-09T14:00:00Z", "new --tenant acme --from 2999-01-01T00:00:00Z", "new --tenant acme --from -1d --to 2999-01-01T00:00:00Z", "new --tenant empty --from -30d", "new --tenant acme --from -30d --warm 90d",
	"new --tenant acme --from -30d --outcomes fail=200%", "new --tenant acme --from -30d --outcomes succeeds", "new --tenant acme --form -30d", "broken --tenant acme --from -30d", "nowhere --tenant acme --from -30d", "new --tenant acmee --from -30d",
	"new --tenant acme --from -30d -o junit",
}

func TestRulesBacktest_SaysWhatIsDecidedOtherwise(t *testing.T) {
	file, err := filepath.Abs("testdata/backtest.txt")
	if err != nil {
		t.Fatal(err)
	}
	env, db := backtestBench(t)
	t.Chdir(t.TempDir())
	written(t, "new", noteRules(40))
	written(t, "same", noteRules(50))
	written(t, "broken", []ruleset.File{leadRule("score", "lead.created", "data.chanel != null", "{type: lead.lost, data: {lead_id: data.lead_id}}")})
	before := rowsOf(t, db)
	var text strings.Builder
	for _, line := range backtests {
		code, out, errs := try(t, env, append([]string{"rules", "backtest", "--timeout", patient}, strings.Fields(line)...)...)
		fmt.Fprintf(&text, "$ neuronx rules backtest %s\nexit %d\n%s", line, code, out)
		if errs != "" {
			fmt.Fprintf(&text, "stderr:\n%s", errs)
		}
	}
	if after := rowsOf(t, db); after != before {
		t.Errorf("a backtest writes: %s, it was %s", after, before)
	}
	shown := text.String()
	for _, c := range changing {
		shown = c.what.ReplaceAllString(shown, c.with)
	}
	golden(t, file, shown)
}

// rowsOf counts the rows that anything could be sent by, and those that a fold would write.
func rowsOf(t *testing.T, db *postgrestest.DB) (out string) {
	t.Helper()
	err := db.Pool(t, "").QueryRow(t.Context(), `SELECT concat_ws(' ', (SELECT count(*) FROM neuronx.outbox), (SELECT count(*) FROM neuronx.outbox_numbers), (SELECT count(*) FROM neuronx.effects),
		(SELECT count(*) FROM neuronx.rule_state), (SELECT count(*) FROM neuronx.rule_health), (SELECT count(*) FROM neuronx.timers), (SELECT count(*) FROM neuronx.tenant_events))`).Scan(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The ten leads that came by ads pass the lower threshold, and no others.
func TestRulesBacktest_CountsExactlyWhatChanges(t *testing.T) {
	env, _ := backtestBench(t)
	t.Chdir(t.TempDir())
	written(t, "new", noteRules(40))
	args := []string{"rules", "backtest", "new", "--tenant", "acme", "--from", "2026-03-02T14:00:00Z", "--timeout", patient}
	code, out, errs := try(t, env, append(args, "-o", "json")...)
	var r backtest.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if len(r.Decisions) != 2 || r.Decisions[1].Name != "tell" || r.Decisions[1].Added != 10 || r.Decisions[1].Same != 20 || r.Decisions[0].Same != 30 || r.Facts.Total != 30 || len(r.Examples.Added) != 10 || r.Against.Version != 3 {
		t.Errorf("%s", out)
	}
	code, out, errs = try(t, env, append(args, "-o", "html")...)
	if code != exitOK || !strings.HasPrefix(out, "<!DOCTYPE html>") || !strings.Contains(out, "lead/27") || !strings.HasSuffix(strings.TrimSpace(out), "</html>") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
