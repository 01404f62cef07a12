package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// leads is an archive of tenant acme: two events about lead/42 from outside, each with its own consequences, and one about lead/7.
func leads(t *testing.T) *postgrestest.DB {
	t.Helper()
	db := postgrestest.New(t, provision.Migrations()...)
	pool := db.Pool(t, "")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%v: %s", err, sql)
		}
	}
	exec(`SELECT neuronx.ensure_tenant('acme')`)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i, e := range []struct{ id, typ, subject, cause, rule, data string }{
		{"a", "lead.created", "lead/42", "", "", `{"email": "Ada@Example.com"}`},
		{"b", "lead.scored", "lead/42", "a", "score@3", `{"score": 75}`},
		{"c", "lead.created", "lead/7", "", "", `{"email": "eve@example.com"}`},
		{"d", "lead.contacted", "lead/42", "", "", `{"note": "ada@example.com"}`},
		{"e", "crm.note.add.requested", "effect/9", "d", "note@1", `{"body": "called"}`},
	} {
		r := event.Recorded{Event: event.Event{TenantID: "acme", ID: e.id, Source: "/t", Type: e.typ, Subject: e.subject, Time: at, Value: event.Frame(1, []byte{0}), CausationID: e.cause},
			Sequence: int64(i + 1), Position: event.PositionAt(at.UnixMilli()) + int64(i), RecordedTime: at.Add(time.Duration(i) * time.Second), LogID: "11111111-1111-4111-8111-111111111111"}
		if e.rule != "" {
			r.Deriver, r.DeriverNumber, r.Path = "rules", int64(i), []string{e.typ + "<" + e.rule}
		}
		payload, err := archive.Stored(r, [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		exec(`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition,
			log_offset, hash, payload, data) VALUES ('acme', $1, $1, $2, $3, $4, '/t', $5, '', $6, 1, 'l', 0, $1, sha256($7), $7, $8)`,
			r.Sequence, e.id, e.typ, e.subject, r.RecordedTime, e.cause, payload, e.data)
	}
	for _, consumer := range []string{"neuronx.rules", "neuronx.archiver", "neuronx.projector"} {
		exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state) VALUES ($1, 1, 'acme', 0, CASE $1 WHEN 'neuronx.rules' THEN 'stalled' ELSE 'live' END)`, consumer)
		exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition) VALUES ($1, 1, 'globex', 0)`, consumer)
	}
	return db
}

func TestEvents_AreListedByWhatIsKnownOfThemAndTracedByLead(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{operate.EnvPostgres: leads(t).URL(postgres.RoleOps)}
	for _, c := range []struct {
		args string
		want []string // the first words of the lines below the header
	}{
		{"list", []string{"1 lead.created", "2 lead.scored", "3 lead.created", "4 lead.contacted", "5 crm.note.add.requested"}},
		{"list --subject lead/42", []string{"1 lead.created", "2 lead.scored", "4 lead.contacted"}},
		{"list --type lead.created", []string{"1 lead.created", "3 lead.created"}},
		{"list --email ada@example.com", []string{"1 lead.created", "4 lead.contacted"}},
		{"list --email ada@example.com --type lead.created", []string{"1 lead.created"}},
		{"list --since 2026-11-01T00:00:03Z", []string{"4 lead.contacted", "5 crm.note.add.requested"}},
		{"list --until 2026-11-01T00:00:01Z", []string{"1 lead.created"}},
		{"list -n 2", []string{"4 lead.contacted", "5 crm.note.add.requested"}},
		{"list --email nobody@example.com", nil},
		{"trace lead/42", []string{"1 lead.created -", "2 └─ lead.scored score@3", "4 lead.contacted -", "5 └─ crm.note.add.requested note@1"}},
		{"trace e", []string{"4 lead.contacted -", "5 └─ crm.note.add.requested note@1"}},
		{"trace c", []string{"3 lead.created - {\"email\":"}},
	} {
		code, stdout, stderr := try(t, env, append([]string{"events"}, strings.Fields(c.args+" --tenant acme --timeout 20s")...)...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")[1:]
		if code != exitOK || len(lines) != len(c.want) {
			t.Errorf("%s: exit %d\n%s%s", c.args, code, stdout, stderr)
			continue
		}
		for i, want := range c.want {
			if got := strings.Join(strings.Fields(lines[i]), " "); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q, want %q", c.args, got, want)
			}
		}
		if len(c.want) == 0 && !strings.Contains(stderr, "none found with --email nobody@example.com") {
			t.Errorf("%s: it does not say what was looked for: %s", c.args, stderr)
		}
	}
	for args, says := range map[string]string{"list --subject lead/4": "did you mean lead/42?", "trace lead/4": "did you mean lead/42?", "trace nope": "events list", "get aa": "did you mean a?"} {
		code, _, stderr := try(t, env, append([]string{"events"}, strings.Fields(args+" --tenant acme --timeout 20s")...)...)
		if code != exitFailed || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d: %s", args, code, stderr)
		}
	}
}

func TestEvents_SayThatTheArchiveIsBehindTheLog(t *testing.T) {
	t.Chdir(t.TempDir())
	db := leads(t)
	if _, err := db.Pool(t, "").Exec(t.Context(), `UPDATE neuronx.progress SET sequence = CASE consumer WHEN 'neuronx.archiver' THEN 5 ELSE 7 END,
		updated_at = now() - interval '1 minute' WHERE tenant_id = 'acme'`); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps)}
	const behind = "ends at sequence 5, and the log has at least 7"
	for args, code := range map[string]int{"trace lead/4": exitFailed, "trace aa": exitFailed, "get aa": exitFailed, "list --subject lead/4": exitFailed,
		"trace lead/42": exitOK, "list": exitOK, "list --email nobody@example.com": exitOK} {
		got, _, stderr := try(t, env, append([]string{"events"}, strings.Fields(args+" --tenant acme --timeout 20s")...)...)
		if got != code || !strings.Contains(stderr, behind) || strings.Contains(stderr, "did you mean") {
			t.Errorf("%s: exit %d: %s", args, got, stderr)
		}
	}
	if _, _, stderr := try(t, env, "events", "list", "--until", "2026-11-01T00:00:01Z", "--tenant", "acme"); strings.Contains(stderr, behind) {
		t.Errorf("what ends before the archive does lacks nothing: %s", stderr)
	}
}

func TestStatus_CountsATenantOnceByItsWorstState(t *testing.T) {
	pool := leads(t).Pool(t, postgres.RoleOps)
	got, err := consumer.TenantStates(t.Context(), pool)
	if err != nil || len(got) != 2 || got["stalled"] != 1 || got["live"] != 1 {
		t.Errorf("%v %v; want acme stalled and globex live, each once", got, err)
	}
}

func TestTail_EndsAtTheEndOfTheLogOrInTime(t *testing.T) {
	t.Chdir(t.TempDir())
	broker := kafkatest.Start(t)
	env := map[string]string{operate.EnvBrokers: strings.Join(broker.Brokers, ","), operate.EnvRegistry: "http://127.0.0.1:1"}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i, tenant := range []string{"acme", "globex", "acme", "initech"} {
		e := event.Recorded{Event: event.Event{TenantID: tenant, ID: fmt.Sprintf("%s-%d", tenant, i), Source: "/t", Type: "tenant.suspended", Time: at, Value: event.Frame(1, []byte{0})},
			Sequence: int64(i + 1), Position: event.PositionAt(at.UnixMilli()) + int64(i), RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111"}
		kafkatest.Produce(t, broker, kafka.RecordedToRecord(&e))
	}
	for args, want := range map[string]int{"--until-end": 4, "--until-end --tenant acme": 2, "--until-end --limit 3": 3, "--until-end --type lead.created": 0, "--timeout 1s": 0} {
		code, stdout, stderr := try(t, env, append([]string{"events", "tail"}, strings.Fields(args)...)...)
		if code != exitOK || strings.Count(stdout, "\n") != want {
			t.Errorf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
		if want == 0 && !strings.Contains(stderr, "none") {
			t.Errorf("%s says nothing: %s", args, stderr)
		}
	}
}
